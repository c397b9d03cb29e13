"""Rotations, and templates turned, masked and without their missing wedge."""

import mrcfile
import numpy as np
import pytest

from dep.engine.baseline.rotations import how_many, matrices, rotations
from dep.engine.baseline.template import (
    SOFT,
    ball,
    low_passed,
    open_template,
    prepare,
    template_of,
    wedge,
)
from dep.engine.errors import DepError, SettingError

ALL_TILTS = (-90.0, 90.0)


def random_rotations(n, seed=0):
    q = np.random.default_rng(seed).normal(size=(n, 4))
    return matrices(q / np.linalg.norm(q, axis=1)[:, None])


@pytest.mark.parametrize("step", [90.0, 45.0, 30.0])
def test_rotations_are_rotations_and_cover_all_of_them(step):
    turns = rotations(step)
    assert len(turns) == how_many(step)
    np.testing.assert_allclose(
        turns @ np.moveaxis(turns, 1, 2),
        np.tile(np.eye(3), (len(turns), 1, 1)),
        0,
        1e-9,
    )
    np.testing.assert_allclose(np.linalg.det(turns), 1)
    # The angle from a random rotation to the nearest: of cubes of edge `step`, half a
    # diagonal at most, if they were cubes.
    others = random_rotations(500)
    trace = np.einsum("aij,bij->ab", others, turns)
    angle = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))).min(axis=1)
    assert angle.max() < step
    assert np.median(angle) < 0.6 * step


def test_steps_give_the_numbers_that_the_help_names():
    assert [how_many(step) for step in (60, 45, 30)] == [69, 163, 551]


def gaussian_at(shape, place, sigma, voxel=10.0):
    """Density: a Gaussian at x, y, z (Å from the middle voxel)."""
    z, y, x = (
        (axis - n // 2) * voxel
        for axis, n in zip(np.indices(shape), shape, strict=True)
    )
    square = (x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2
    return np.exp(-square / (2 * sigma**2)).astype(np.float32)


@pytest.mark.parametrize("voxel", [10.0, 7.0, 13.0])
def test_turning_takes_each_place_where_the_rotation_takes_it(voxel):
    """r_tomogram = R r_template, whatever voxels the template came in."""
    place = np.array([60.0, -35.0, 20.0])
    edge = int(400 / voxel)
    density = gaussian_at((edge, edge + 1, edge + 2), place, 28.0, voxel)
    template = template_of(density, voxel, "spot")
    ready = prepare(template, 10.0, ALL_TILTS, mask_radius=110.0)
    for turn in random_rotations(2):
        seen = ready.turned(turn)
        expected = gaussian_at(seen.shape, turn @ place, 28.0)
        inside = ready.mask > 0.999
        # The masked values are the density but for a factor and an offset.
        fit = np.polyfit(expected[inside], seen[inside], 1)
        residual = seen[inside] - np.polyval(fit, expected[inside])
        assert np.abs(residual).max() < 0.02 * np.ptp(seen[inside])


def test_a_turned_template_is_ready_for_a_weighted_correlation():
    density = np.random.default_rng(0).random((15, 15, 15)).astype(np.float32)
    ready = prepare(template_of(density, 10.0, "noise"), 10.0, (-60, 60))
    total = ready.mask.sum(dtype=float)
    for turn in random_rotations(3):
        weighted = ready.turned(turn).astype(float)
        assert abs(weighted.sum()) < 1e-4 * total
        inside = ready.mask > 0
        power = (weighted[inside] ** 2 / ready.mask[inside]).sum()
        assert power == pytest.approx(total, rel=1e-4)


def test_the_mask_is_a_soft_ball():
    mask = ball(6.5)
    assert mask.shape == (17, 17, 17)
    z, y, x = np.indices(mask.shape) - 8
    distance = np.sqrt(z**2 + y**2 + x**2)
    assert (mask[distance <= 6.5] == 1).all()
    assert (mask[distance >= 6.5 + SOFT] == 0).all()
    edge = (distance > 6.5) & (distance < 6.5 + SOFT)
    assert ((mask[edge] > 0) & (mask[edge] < 1)).all()


def test_the_missing_wedge_is_what_the_tilts_leave_out():
    np.testing.assert_array_equal(wedge(16, ALL_TILTS), 1)
    there = wedge(32, (-60.0, 60.0))
    assert there[0, 0, 0] == 1  # the mean is known
    assert there[0, :, 5].all()  # across the beam all is known
    assert there[5, 3, 0] == 0  # along the beam nothing is
    assert there.mean() == pytest.approx(1 - 0.5 / np.sqrt(3), abs=0.02)
    # One-sided: a projection at tilt t holds (x, z) = (cos t, sin t).
    positive = wedge(32, (0.0, 60.0))
    assert positive[4, 0, 8] == 1
    assert positive[-4, 0, 8] == 0


def test_a_tilt_series_blurs_along_the_beam():
    density = gaussian_at((32, 32, 32), (0, 0, 0), 25.0)
    ready = prepare(template_of(density, 10.0, "spot"), 10.0, (-60, 60), None, 140.0)
    seen = ready.turned(np.eye(3))
    middle = seen.shape[0] // 2
    assert seen[middle + 3, middle, middle] > 1.1 * seen[middle, middle + 3, middle]


def test_low_pass_removes_what_is_finer_and_keeps_the_rest():
    x = np.arange(48) * 10.0
    waves = {period: np.cos(2 * np.pi * x / period) for period in (240.0, 40.0)}
    for period, wave in waves.items():
        density = np.tile(wave, (48, 48, 1)).astype(np.float32)
        kept = low_passed(density, 10.0, 80.0)
        expected = density if period > 80 else np.zeros_like(density)
        np.testing.assert_allclose(kept, expected, atol=1e-5)


def write(path, density, voxel=10.0):
    with mrcfile.new(path) as mrc:
        mrc.set_data(density)
        mrc.voxel_size = voxel
    return path


def test_a_file_is_read_with_its_voxel_size_and_radius(tmp_path):
    density = np.zeros((20, 20, 20), np.float32)
    density[6:15, 10, 10] = 5.0
    path = write(tmp_path / "rod.mrc", density, 8.0)
    template = open_template(path)
    assert (template.name, template.voxel_size) == ("rod", 8.0)
    assert template.radius == pytest.approx(4.5 * 8)
    renamed = open_template(path, "stick", 4.0)
    assert (renamed.name, renamed.diameter) == ("stick", pytest.approx(36))


def test_density_beside_the_middle_of_its_box_is_remarked(tmp_path):
    places = np.indices((20, 20, 20))
    for shift, remark in ((0, ""), (1, ""), (4, "lies 32 Å off")):
        distance = np.linalg.norm(places.T - (10, 10, 10 + shift), axis=-1).T
        density = (distance < 5).astype(np.float32)
        template = open_template(write(tmp_path / f"{shift}.mrc", density, 8.0))
        assert template.off_centre == pytest.approx(8.0 * shift)
        assert remark in template.remark
        assert bool(remark) == bool(template.remark)


@pytest.mark.parametrize(
    ("density", "voxel", "words"),
    [
        (np.zeros((8, 8, 8), np.float32), 10.0, "no positive density"),
        (-np.ones((8, 8, 8), np.float32), 10.0, "no positive density"),
        (np.full((8, 8, 8), np.nan, np.float32), 10.0, "NaN"),
        (np.eye(8, dtype=np.float32)[None].repeat(8, 0), 0.0, "template-voxel-size"),
        (np.ones((2, 2, 600), np.float32), 10.0, "512 at most"),
    ],
)
@pytest.mark.filterwarnings("ignore:Data array contains NaN:RuntimeWarning")
def test_what_is_no_template_is_refused(tmp_path, density, voxel, words):
    path = write(tmp_path / "t.mrc", density, voxel)
    with pytest.raises(SettingError, match=words) as error:
        open_template(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DepError, match=r"nothing\.mrc: no such file"):
        open_template(tmp_path / "nothing.mrc")


def test_a_mask_of_nothing_is_refused():
    density = gaussian_at((24, 24, 24), (90.0, 0, 0), 8.0)
    template = template_of(density, 10.0, "far")
    with pytest.raises(SettingError, match=r"radius; expected 1\.5"):
        prepare(template, 10.0, (-60, 60), mask_radius=12.0)
    ready = prepare(template, 10.0, (-60, 60), mask_radius=20.0)
    with pytest.raises(SettingError, match="nothing of the template is left"):
        ready.turned(np.eye(3))
