"""Projection and back-projection keep places, mass and the missing wedge."""

import math

import numpy as np
import pytest

from dep.train.simulate import Acquisition, Reconstruction
from dep.train.simulate.geometry import (
    OVERSAMPLING,
    back_projection_matrix,
    detector_for,
    projection_matrix,
)
from dep.train.simulate.ice import Ice
from dep.train.simulate.optics import Optics, interaction
from dep.train.simulate.reconstruct import back_project
from dep.train.simulate.tilt_series import image_specimen, plan_tilts

SHAPE = (40, 48, 56)  # z, y, x
# Pure projection: all contrast is amplitude contrast, and nothing fades or moves.
PERFECT = {"amplitude_contrast": 1.0, "cs": 0.0, "free_path": 0.0, "damage": False}
STILL = {
    "dose": 1e4,
    "defocus": 0.0,
    "defocus_error": 0.0,
    "astigmatism": 0.0,
    "shift_error": 0.0,
    "rotation_error": 0.0,
    "tilt_error": 0.0,
}


def blob(xyz, width):
    z, y, x = np.indices(SHAPE).astype(float)
    square = (x - xyz[0]) ** 2 + (y - xyz[1]) ** 2 + (z - xyz[2]) ** 2
    return np.exp(-square / (2 * width**2)).astype(np.float32)


def series_of(volume, acquisition=None, **drawn):
    acquisition = acquisition or Acquisition(**PERFECT)
    ice = Ice(SHAPE, 1.0)
    ice.particles += volume
    rng = np.random.default_rng(0)
    tilts = plan_tilts(acquisition, {**STILL, **drawn}, SHAPE[0] * 10, 10.0, rng)
    return image_specimen(ice, tilts, acquisition, 10.0, 0.0, rng)


def rebuilt(series, **settings):
    return back_project(
        series.clean,
        series.tilts,
        series.detector,
        (SHAPE[0], SHAPE[2]),
        Reconstruction(dose_weighting=False, **settings),
        Optics(300.0, 0.0, 1.0),
        10.0,
    )


@pytest.mark.parametrize("number", [0, 7, 20, 35])
def test_the_projection_of_a_gaussian_is_the_analytic_one(number):
    x, y, z, width = 31.3, 22.6, 17.2, 3.0
    series = series_of(blob((x, y, z), width))
    # Back from intensity to volts times voxels.
    found = series.clean[number] / (-2 * interaction(300) * 10.0)
    angle = math.radians(series.tilts[number].angle)
    u = np.arange(series.detector.width) - series.detector.centre
    at = (x - (SHAPE[2] - 1) / 2) * math.cos(angle)
    at += (z - (SHAPE[0] - 1) / 2) * math.sin(angle)
    # Specimens repeat themselves in x.
    copies = at + SHAPE[2] * math.cos(angle) * np.arange(-4, 5)
    across = np.exp(-((u[:, None] - copies) ** 2) / (2 * width**2)).sum(axis=1)
    down = np.exp(-((np.arange(SHAPE[1]) - y) ** 2) / (2 * width**2))
    expected = width * math.sqrt(2 * math.pi) * across[:, None] * down[None, :]
    seen = np.abs(u) < SHAPE[2] / 2 * math.cos(angle) + 4
    assert np.abs(found - expected)[seen].max() < 0.013 * expected.max()


def test_back_projection_is_the_adjoint_of_projection():
    angle = math.radians(33)
    detector = detector_for(20, 12, np.array([angle]), 0)
    forward = projection_matrix(20, 12, angle, detector).toarray()
    back = back_projection_matrix(20, 12, angle, detector).toarray().T
    assert np.allclose(back.sum(axis=0), 1)  # every voxel is seen
    own = back > 0  # the rest of the projection is of the specimen's copies
    assert np.allclose(forward[own] / OVERSAMPLING, back[own], atol=1e-6)


def test_the_image_is_in_units_of_radians():
    """A slab of V volts and t voxels turns the phase by sigma V t: intensity 1 - 2x."""
    volume = np.full(SHAPE, 0.2, np.float32)
    series = series_of(volume, Acquisition(**PERFECT, tilt_range=1.5, tilt_step=1.5))
    flat = series.clean[1]
    assert series.tilts[1].angle == 0
    middle = flat[flat.shape[0] // 2 - 10 : flat.shape[0] // 2 + 10]
    expected = -2 * interaction(300) * 0.2 * SHAPE[0] * 10.0
    assert middle.mean() == pytest.approx(expected, rel=1e-2)


def peak(values):
    """Place of the highest value to a fraction: a parabola through its neighbours."""
    top = np.array(np.unravel_index(values.argmax(), values.shape))
    place = []
    for axis, step in enumerate(np.eye(values.ndim, dtype=int)):
        a, b, c = (values[tuple(top + step * k)] for k in (-1, 0, 1))
        place.append(top[axis] + 0.5 * (a - c) / (a - 2 * b + c))
    return np.array(place)


def peak_near_axis(series, number):
    """Place of one image's darkest spot from the tilt axis; copies lie farther."""
    middle = int(series.detector.centre)
    near = -series.clean[number][middle - 12 : middle + 13]
    return peak(near) - [12, 0]


@pytest.mark.parametrize(
    "place", [(27.5, 23.5, 19.5), (20.0, 30.0, 14.0), (35.2, 12.7, 26.1), (5, 3, 20)]
)
def test_a_back_projected_point_lies_where_it_was(place):
    tomogram = -rebuilt(series_of(blob(place, 1.5)))
    assert peak(tomogram)[::-1] == pytest.approx(place, abs=0.1)


def test_shift_errors_move_images_by_that_much():
    series = series_of(blob((27.5, 23.5, 19.5), 2.0), shift_error=20.0)
    moves = np.array([tilt.shift for tilt in series.tilts])
    assert moves.std(axis=0) == pytest.approx([2.0, 2.0], rel=0.3)  # voxels
    for number, shift in enumerate(moves):
        expected = shift + np.array([0, 23.5])
        assert peak_near_axis(series, number) == pytest.approx(expected, abs=0.05)


def test_rotation_errors_turn_images_about_the_middle_of_the_axis():
    # On the tilt axis, 16.5 voxels from its middle.
    series = series_of(blob((27.5, 40.0, 19.5), 2.0), rotation_error=5.0)
    turned = np.radians([tilt.rotation for tilt in series.tilts])
    assert np.degrees(turned).std() == pytest.approx(5.0, rel=0.3)
    places = [peak_near_axis(series, number) for number in range(41)]
    across, along = np.array(places).T
    assert across == pytest.approx(-16.5 * np.sin(turned), abs=0.1)
    assert along - 23.5 == pytest.approx(16.5 * np.cos(turned), abs=0.1)


@pytest.mark.parametrize("weighting", ["ramp", "exact"])
def test_both_filters_restore_a_blob(weighting):
    volume = blob((27.5, 23.5, 19.5), 2.5)
    tomogram = -rebuilt(series_of(volume), filter=weighting)
    plane = (slice(None), 23)
    match = np.corrcoef(tomogram[plane].ravel(), volume[plane].ravel())[0, 1]
    assert match > 0.8  # what the missing wedge leaves


def test_the_exact_filter_knows_where_tilts_are_dense():
    """With half the tilts left out on one side, those that remain weigh more there."""
    from dep.train.simulate.reconstruct import _radial

    angles = np.radians([-60, -54, -48, -42, -36, -30, -27, -24, -21, -18, -15])
    exact = Reconstruction(filter="exact")
    sparse = _radial(1, angles, 64, 64, exact)
    dense = _radial(8, angles, 64, 64, exact)
    low = slice(2, 7)
    assert (sparse[low] > 1.3 * dense[low]).all()
    assert sparse[0] == dense[0] == 0


def test_a_cutoff_removes_what_is_finer():
    series = series_of(blob((27.5, 23.5, 19.5), 0.8))
    full = np.fft.fftn(rebuilt(series))[:, 0, :]
    cut = np.fft.fftn(rebuilt(series, cutoff=0.5))[:, 0, :]
    kx = np.abs(np.fft.fftfreq(SHAPE[2]))
    assert np.abs(cut[0, kx > 0.27]).max() < 0.02 * np.abs(full[0, kx > 0.27]).max()
    kept, whole = cut[0, kx < 0.18], full[0, kx < 0.18]
    assert np.abs(kept - whole).max() < 0.02 * np.abs(whole).max()


def test_phase_flipping_gathers_what_defocus_spread():
    acquisition = Acquisition(**{**PERFECT, "amplitude_contrast": 0.07})
    series = series_of(blob((27.5, 23.5, 19.5), 0.8), acquisition, defocus=5.0)

    def centre(*, phase_flip):
        tomogram = back_project(
            series.clean,
            series.tilts,
            series.detector,
            (SHAPE[0], SHAPE[2]),
            Reconstruction(phase_flip=phase_flip, dose_weighting=False),
            Optics(300.0, 0.0, 0.07),
            10.0,
        )
        return -tomogram[19:21, 23:25, 27:29].mean()

    assert centre(phase_flip=True) > 1.3 * centre(phase_flip=False)


def test_the_images_vanish_where_the_transfer_does():
    chosen = {**PERFECT, "amplitude_contrast": 0.07, "tilt_range": 3.0}
    series = series_of(blob((28, 24, 20), 0.9), Acquisition(**chosen), defocus=4.0)
    assert series.tilts[1].angle == 0
    amplitude = np.abs(np.fft.rfft(series.clean[1].sum(axis=0)))  # along v, ku = 0
    k = np.fft.rfftfreq(SHAPE[1], 10.0)
    transfer = np.abs(Optics(300.0, 0.0, 0.07).transfer(np.zeros_like(k), k, 4e4))
    expected = transfer * np.exp(-2 * (np.pi * k * 10 * 0.9) ** 2)
    expected *= amplitude[1] / expected[1]
    zero = 1 + transfer[1:-1].argmin()
    assert transfer[zero] < 0.05 < 0.3 < transfer[zero + 1]
    assert amplitude[zero] < 0.15 * amplitude[zero - 1]
    assert amplitude == pytest.approx(expected, abs=0.02 * expected.max())
