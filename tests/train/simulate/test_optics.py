"""The microscope's formulas hold at places known from elsewhere."""

import math

import numpy as np
import pytest

from dep.train.simulate.optics import (
    UM,
    Optics,
    critical_dose,
    damage,
    interaction,
    transmission,
    wavelength,
)


# Kirkland (2010), table 2.2 and fig. 5.1, in Å and rad / (V Å).
@pytest.mark.parametrize(
    ("voltage", "length", "sigma"),
    [(100, 0.0370, 9.24e-4), (200, 0.0251, 7.29e-4), (300, 0.0197, 6.53e-4)],
)
def test_wavelength_and_interaction_are_those_of_the_tables(voltage, length, sigma):
    assert wavelength(voltage) == pytest.approx(length, abs=5e-5)
    assert interaction(voltage) == pytest.approx(sigma, rel=2e-3)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_transfer_vanishes_where_the_formula_says(order):
    optics = Optics(voltage=300, cs=0, amplitude_contrast=0.1)
    # pi lambda z k² + asin(A) = n pi, without spherical aberration
    phase = order * math.pi - math.asin(0.1)
    k = math.sqrt(phase / (math.pi * wavelength(300) * 3 * UM))
    assert optics.transfer(np.array(k), np.array(0.0), 3 * UM) == pytest.approx(0)
    near = [optics.transfer(np.array(k * f), np.array(0.0), 3 * UM) for f in (0.9, 1.1)]
    assert near[0] * near[1] < 0


def test_underfocused_protein_is_dark():
    k = np.array([1 / 200, 1 / 50])
    assert (Optics().transfer(k, np.zeros(2), 4 * UM) > 0).all()


def test_without_defocus_there_is_amplitude_contrast_alone():
    transfer = Optics(amplitude_contrast=0.07).transfer(np.array(0.0), np.array(0.0), 0)
    assert transfer == pytest.approx(0.07)


def test_astigmatism_is_defocus_by_direction():
    optics, k = Optics(), np.array(0.02)
    none = np.array(0.0)
    along = optics.transfer(k, none, 3 * UM, 0.2 * UM, 0.0)
    across = optics.transfer(none, k, 3 * UM, 0.2 * UM, 0.0)
    assert along == pytest.approx(optics.transfer(k, none, 3.2 * UM))
    assert across == pytest.approx(optics.transfer(k, none, 2.8 * UM))


def test_at_the_critical_dose_the_power_has_faded_to_1_over_e():
    k = np.array([0.05, 0.1, 0.3])
    dose = critical_dose(k, 300)
    for frequency, critical in zip(k, dose, strict=True):
        left = damage(np.array(frequency), float(critical), 1e-6, 300)
        assert left**2 == pytest.approx(math.exp(-1), rel=1e-4)
    assert (np.diff(dose) < 0).all()  # fine detail goes first


def test_lower_voltage_damages_sooner():
    k = np.array(0.1)
    assert critical_dose(k, 200) == pytest.approx(0.8 * critical_dose(k, 300))


def test_the_mean_contrast_is_not_damaged():
    assert damage(np.array(0.0), 100.0, 3.0, 300) == pytest.approx(1)


def test_an_exposure_fades_as_its_parts_do():
    k = np.array(0.05)
    halves = damage(k, 10, 2, 300) + damage(k, 12, 2, 300)
    assert damage(k, 10, 4, 300) == pytest.approx(halves / 2)


def test_a_tilted_slab_takes_electrons_as_a_thicker_one():
    tilted = transmission(1000, math.radians(60), 3100)
    assert tilted == pytest.approx(transmission(2000, 0.0, 3100))
    assert transmission(3100, 0.0, 3100) == pytest.approx(math.exp(-1))
