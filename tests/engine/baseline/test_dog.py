"""Difference of Gaussians: the scale of a ball, blocks, contrast, scores."""

import math

import numpy as np
import pytest

from dep.engine.baseline import Blob, DogSettings, pick_baseline
from dep.engine.baseline.dog import APART, response
from dep.engine.baseline.picking import Reading
from dep.engine.errors import SettingError, TomogramError

VOXEL = 10.0


def balls(shape, centres, radius, value=-6.0, seed=0):
    voxels = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    z, y, x = np.indices(shape)
    for cx, cy, cz in centres:
        inside = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= radius**2
        voxels[inside] += value
    return voxels


def at_centre(sigma, radius, ratio):
    """The response at the centre of a solid ball: integrals of two Gaussians."""

    def within(u):
        return math.erf(u / math.sqrt(2)) - math.sqrt(2 / math.pi) * u * math.exp(
            -u * u / 2
        )

    return within(radius / sigma) - within(radius / sigma / ratio)


@pytest.mark.parametrize("ratio", [1.05, 1.6, 3.0])
def test_a_ball_answers_most_to_its_own_diameter(ratio):
    settings = DogSettings(blobs=(Blob(200.0),), ratio=ratio)
    sigma, coarse = settings.sigmas(settings.blobs[0], VOXEL)
    assert coarse == pytest.approx(ratio * sigma)
    best = at_centre(sigma, 10.0, ratio)
    for other in (0.98 * sigma, 1.02 * sigma):
        assert at_centre(other, 10.0, ratio) < best
    if ratio == 1.05:
        assert sigma == pytest.approx(10 / math.sqrt(3), rel=0.05)


def test_the_filter_does_what_the_integral_says():
    z, y, x = np.indices((41, 41, 41)) - 20
    ball = (z**2 + y**2 + x**2 <= 5.0**2).astype(np.float32)
    # The digital ball has the volume of one of this radius.
    radius = (3 * ball.sum() / (4 * math.pi)) ** (1 / 3)
    sigma, coarse = DogSettings(blobs=(Blob(100.0),)).sigmas(Blob(100.0), VOXEL)
    middle = response(ball, sigma, coarse)[20, 20, 20]
    assert middle == pytest.approx(at_centre(sigma, radius, 1.6), rel=0.02)


def test_balls_are_found_where_they_are():
    centres = [(12, 14, 16), (40, 12, 30), (25, 40, 20)]
    voxels = balls((44, 52, 56), centres, 4)
    settings = DogSettings(blobs=(Blob(80.0, "ball"),), threshold=6)
    picks = pick_baseline(voxels, settings, Reading(voxel_size=VOXEL))
    assert picks.class_names == ["ball"] * 3
    assert picks.classes[0].diameter == 80.0
    apart = np.linalg.norm(picks.xyz[:, None] - np.array(centres), axis=2)
    assert (apart.min(axis=0) < 0.5).all()


def test_bright_particles_need_invert():
    centres = [(12, 14, 16), (40, 12, 30)]
    voxels = balls((44, 52, 56), centres, 4, value=6.0)
    settings = DogSettings(blobs=(Blob(80.0),), threshold=8)
    dark = pick_baseline(voxels, settings, Reading(voxel_size=VOXEL))
    bright = pick_baseline(voxels, settings, Reading(voxel_size=VOXEL, invert=True))
    assert len(dark) == 0
    assert "--invert" in dark.warnings[0]
    assert len(bright) == 2


def test_blocks_give_the_same_picks_to_the_last_bit():
    """Memory for many blocks, or for one: every number is the same."""
    rng = np.random.default_rng(4)
    voxels = rng.integers(-100, 100, (40, 60, 70)).astype(np.int8)
    settings = DogSettings(blobs=(Blob(40.0), Blob(60.0)), threshold=1.0)
    whole, parts = (
        pick_baseline(voxels, settings, Reading(voxel_size=VOXEL, memory=memory))
        for memory in (900, 3)
    )
    assert len(whole) > 50
    np.testing.assert_array_equal(whole.xyz, parts.xyz)
    np.testing.assert_allclose(whole.score, parts.score, rtol=1e-6)


def test_two_sizes_are_told_apart():
    voxels = balls((60, 60, 90), [(20, 30, 30)], 3)
    z, y, x = np.indices(voxels.shape)
    voxels[(x - 65) ** 2 + (y - 30) ** 2 + (z - 30) ** 2 <= 9**2] -= 6
    settings = DogSettings(
        blobs=(Blob(60.0, "small"), Blob(180.0, "large")), number=2, t_dist=12
    )
    picks = pick_baseline(voxels, settings, Reading(voxel_size=VOXEL))
    where = dict(zip(picks.class_names, picks.xyz[:, 0], strict=True))
    assert where["small"] == pytest.approx(20, abs=1)
    assert where["large"] == pytest.approx(65, abs=1)


def test_scores_are_deviations_in_disguise():
    """The score z / (1 + z) gives z back, and the threshold is on z."""
    voxels = np.random.default_rng(5).normal(size=(48, 48, 48))
    settings = DogSettings(blobs=(Blob(50.0),), threshold=2.0, t_dist=0.0)
    picks = pick_baseline(voxels, settings, Reading(voxel_size=VOXEL))
    z = picks.score / (1 - picks.score)
    assert 2.0 <= z.min() < 2.1
    assert (np.diff(picks.score) <= 0).all()
    fewer = pick_baseline(
        voxels,
        DogSettings(blobs=(Blob(50.0),), threshold=2.5, t_dist=0.0),
        Reading(voxel_size=VOXEL),
    )
    np.testing.assert_array_equal(fewer.xyz, picks.xyz[: len(fewer)])
    assert len(fewer) == (z >= 2.5).sum()


def test_a_number_takes_the_best_and_no_two_are_near():
    voxels = np.random.default_rng(6).normal(size=(48, 48, 48))
    every = DogSettings(blobs=(Blob(50.0),), threshold=0.0)
    best = DogSettings(blobs=(Blob(50.0),), number=7)
    reading = Reading(voxel_size=VOXEL)
    all_of_them = pick_baseline(voxels, every, reading)
    few = pick_baseline(voxels, best, reading)
    np.testing.assert_array_equal(few.xyz, all_of_them.xyz[:7])
    apart = np.linalg.norm(all_of_them.xyz[:, None] - all_of_them.xyz, axis=2)
    assert apart[~np.eye(len(apart), dtype=bool)].min() >= APART * 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blobs": ()}, "no diameter"),
        ({"blobs": (Blob(0.0),)}, "above 0 Å"),
        ({"blobs": (Blob(80.0), Blob(80.0))}, "twice"),
        ({"ratio": 1.0}, "ratio"),
        ({"threshold": -1.0}, "threshold"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(SettingError, match=words):
        DogSettings(**{"blobs": (Blob(80.0),), **changes})


def test_a_diameter_of_too_few_voxels_is_refused():
    with pytest.raises(SettingError, match=r"2\.0 voxels of 10 Å"):
        pick_baseline(
            np.random.default_rng(0).normal(size=(20, 20, 20)),
            DogSettings(blobs=(Blob(20.0),)),
            Reading(voxel_size=VOXEL),
        )


def test_voxels_that_are_not_finite_are_refused():
    voxels = np.zeros((20, 20, 20), np.float32)
    voxels[3, 4, 5] = np.nan
    with pytest.raises(TomogramError, match="NaN"):
        pick_baseline(
            voxels, DogSettings(blobs=(Blob(50.0),)), Reading(voxel_size=VOXEL)
        )
