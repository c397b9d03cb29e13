"""A whole simulation: poses, noise, wedge and seeds are what was asked for."""

import subprocess
import sys

import numpy as np
import pytest

from dep.train.simulate import simulate
from dep.train.simulate.poses import random_angles, rotation
from dep.train.simulate.settings import draw
from dep.train.simulate.tilt_series import exposure_order, tilt_angles


def match(result, molecule, turn, xyz):
    """Correlate the tomogram with a molecule in a pose, dark on bright."""
    middle = np.rint(xyz).astype(int)
    density = molecule.sample(turn, xyz - middle, result.voxel_size)
    half = density.shape[0] // 2
    index = np.ix_(
        *(
            np.arange(at - half, at + half + 1) % n
            for at, n in zip(middle[::-1], result.tomogram.shape, strict=True)
        )
    )
    return -np.corrcoef(result.tomogram[index].ravel(), density.ravel())[0, 1]


def test_molecules_match_best_in_their_true_poses(settings):
    result = simulate(
        settings({"molecules": ("cluster:200",), "particles": 4, "size": (80, 80, 64)}),
        seed=2,
    )
    molecule = result.sample.molecules[0]
    rng = np.random.default_rng(0)
    moves = np.concatenate([np.eye(3), -np.eye(3)]) * 1.5
    assert len(result.bodies.xyz) == 4
    for xyz, angles in zip(result.bodies.xyz, result.bodies.angles, strict=True):
        turn = rotation(angles)
        true = match(result, molecule, turn, xyz)
        assert all(match(result, molecule, turn, xyz + by) < true for by in moves)
        others = [rotation(random_angles(rng)) for _ in range(15)]
        others += [turn.T, turn @ np.diag([1.0, -1.0, -1.0])]
        assert all(match(result, molecule, other, xyz) < true for other in others)


def test_protein_is_dark_unless_asked_otherwise(settings):
    dark = simulate(settings(), seed=1)
    bright = simulate(settings(reconstruction={"contrast": "bright"}), seed=1)
    inside = dark.sample.ice.particles > 2.0
    assert dark.tomogram[inside].mean() < 0 < bright.tomogram[inside].mean()
    assert np.array_equal(dark.tomogram, -bright.tomogram)


def test_the_missing_wedge_is_empty(simulation):
    tomogram = simulation.tomogram.astype(float)
    for axis in (0, 2):  # the tomogram's faces would leak into the wedge
        window = np.hanning(tomogram.shape[axis])
        tomogram *= window.reshape([-1 if a == axis else 1 for a in range(3)])
    power = (np.abs(np.fft.fftn(tomogram)) ** 2).mean(axis=1)  # kz, kx
    kz = np.abs(np.fft.fftfreq(tomogram.shape[0]))[:, None]
    kx = np.abs(np.fft.fftfreq(tomogram.shape[2]))[None, :]
    band = (np.hypot(kz, kx) > 0.15) & (np.hypot(kz, kx) < 0.4)
    angle = np.degrees(np.arctan2(kz, kx))
    wedge, seen = power[band & (angle > 66)], power[band & (angle < 54)]
    assert wedge.mean() < 0.01 * seen.mean()


@pytest.mark.parametrize("snr", [0.05, 0.5])
def test_the_signal_to_noise_ratio_is_the_one_asked_for(settings, snr):
    series = simulate(settings(acquisition={"snr": snr}), seed=3).tilt_series
    noise = series.images - series.clean
    assert series.snr == pytest.approx(snr)
    assert series.clean.var(axis=(1, 2)).mean() / noise.var() == pytest.approx(
        snr, rel=0.05
    )


def test_vesicles_and_gold_do_not_count_as_signal(settings):
    gold = settings({"vesicles": 0, "gold": 2}, {"snr": 0.2})
    plain = settings({"vesicles": 0, "gold": 0}, {"snr": 0.2})
    with_gold, without = simulate(gold, seed=3), simulate(plain, seed=3)
    assert with_gold.tilt_series.snr == pytest.approx(0.2)
    # Though gold is far above molecules, the noise is about that without it.
    one, other = with_gold.tilt_series.electrons, without.tilt_series.electrons
    assert one == pytest.approx(other, rel=0.5)
    assert with_gold.tilt_series.clean.var() > 2 * without.tilt_series.clean.var()


def test_electrons_are_those_of_the_dose(settings):
    chosen = settings({"particles": 0}, {"dose": 80.0})
    series = simulate(chosen, seed=1).tilt_series
    # 41 tilts of 80 e/Å² in all on pixels of 100 Å²
    assert series.electrons == pytest.approx(80 / 41 * 100)
    for tilt, image in zip(series.tilts, series.images, strict=True):
        expected = 1 / (series.electrons * tilt.transmission)
        assert image.var() == pytest.approx(expected, rel=0.08)
    assert series.tilts[20].transmission > 1.1 * series.tilts[0].transmission


def test_the_ratio_of_the_tomogram_follows_the_electrons(settings):
    low, high = (
        simulate(settings(acquisition={"snr": snr}), seed=3).snr for snr in (0.1, 0.4)
    )
    assert high / low == pytest.approx(4, rel=0.1)


def test_radiation_takes_fine_detail_from_late_exposures(settings):
    fresh = simulate(settings(acquisition={"damage": False, "snr": 1.0}), seed=1)
    spoilt = simulate(settings(acquisition={"snr": 1.0}), seed=1)
    before = [tilt.before for tilt in spoilt.tilt_series.tilts]
    first, last = int(np.argmin(before)), int(np.argmax(before))
    kept = [
        spoilt.tilt_series.clean[n].var() / fresh.tilt_series.clean[n].var()
        for n in (first, last)
    ]
    assert kept[1] < kept[0] <= 1.0


def test_the_same_seed_gives_the_same_voxels(simulation):
    again = simulate(simulation.settings, seed=4)
    assert np.array_equal(again.tomogram, simulation.tomogram)
    other = simulate(simulation.settings, seed=5)
    assert not np.array_equal(other.bodies.xyz, simulation.bodies.xyz)


def test_other_noise_leaves_the_specimen_alone(settings):
    one = simulate(settings(acquisition={"snr": 0.1}), seed=7)
    other = simulate(settings(acquisition={"snr": 0.4, "defocus": 5.0}), seed=7)
    assert np.array_equal(one.bodies.xyz, other.bodies.xyz)
    assert np.array_equal(one.sample.ice.particles, other.sample.ice.particles)


def test_spans_are_drawn_for_each_tomogram(settings):
    chosen = settings({"particles": (3, 6)}, {"defocus": (2.0, 4.0)})
    drawn = [simulate(chosen, seed=seed).drawn for seed in range(4)]
    assert len({one["defocus"] for one in drawn}) == 4
    assert all(2 <= one["defocus"] <= 4 and 3 <= one["particles"] <= 6 for one in drawn)


def test_draws_cover_their_span():
    rng = np.random.default_rng(0)
    whole = {draw((2, 4), rng, whole=True) for _ in range(100)}
    assert whole == {2.0, 3.0, 4.0}
    assert draw(5.0, rng) == 5.0
    logs = [draw((0.01, 1.0), rng, log=True) for _ in range(2000)]
    assert np.median(logs) == pytest.approx(0.1, rel=0.15)


def test_tilts_are_symmetric_and_exposed_in_the_order_named(settings):
    acquisition = settings(
        acquisition={"tilt_range": 9.0, "tilt_step": 3.0}
    ).acquisition
    angles = tilt_angles(acquisition)
    assert angles.tolist() == [-9, -6, -3, 0, 3, 6, 9]

    def order(name):
        return angles[exposure_order(angles, name)].tolist()

    assert order("dose-symmetric") == [0, 3, -3, -6, 6, 9, -9]
    assert order("unidirectional") == [-9, -6, -3, 0, 3, 6, 9]
    assert order("bidirectional") == [0, 3, 6, 9, -3, -6, -9]


def test_progress_reaches_its_end(settings):
    seen = []
    simulate(
        settings(), seed=1, progress=lambda done, total: seen.append((done, total))
    )
    total = seen[0][1]
    assert [done for done, _ in seen] == list(range(1, total + 1))


def test_the_simulator_loads_no_torch():
    program = (
        "import sys, dep.train.simulate\n"
        "heavy = {'torch', 'pydantic', 'typer', 'onnx'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_trainer_has_its_public_names_and_no_others():
    import dep.train

    assert set(dep.train.__all__) <= set(dir(dep.train))
    for name in dep.train.__all__:
        assert getattr(dep.train, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        _ = dep.train.frobnicate
