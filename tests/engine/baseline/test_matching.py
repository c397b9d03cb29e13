"""Template matching: the coefficient, its threshold, blocks, orientations, classes."""

import numpy as np
import pytest

from dep.engine.baseline import Template, TemplateSettings, pick_baseline
from dep.engine.baseline.blocks import cut
from dep.engine.baseline.matching import correlate, match_templates, threshold_of
from dep.engine.baseline.picking import Reading
from dep.engine.baseline.rotations import rotations
from dep.engine.baseline.template import prepare, template_of
from dep.engine.errors import SettingError
from dep.engine.normalise import Normaliser
from dep.engine.volume import open_volume

ALL_TILTS = (-90.0, 90.0)
RNG = np.random.default_rng


def lump(seed=1, edge=13, voxel=10.0, name="lump") -> Template:
    """A template without symmetry: a few Gaussians."""
    rng = RNG(seed)
    z, y, x = np.indices((edge, edge, edge)) - edge // 2
    density = np.zeros((edge, edge, edge))
    for _ in range(5):
        cz, cy, cx = rng.uniform(-2.5, 2.5, 3)
        density += np.exp(-((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) / 3)
    return template_of(density.astype(np.float32), voxel, name)


def whole(shape):
    (block,) = cut(shape, 10, 10_000, lambda _: 1)
    return block


def nothing():
    """Tell nobody."""


def test_it_is_the_weighted_correlation_coefficient():
    """Against the definition, voxel by voxel, at the faces too (0 beyond them)."""
    rng = RNG(0)
    f = rng.normal(size=(19, 22, 24)).astype(np.float32)
    ready = prepare(lump(), 10.0, (-60, 60), mask_radius=40.0)
    turn = rotations(90.0)[7]
    best, squares = correlate(f, whole(f.shape), f.shape, ready, [turn], nothing)
    mask, weighted = ready.mask.astype(float), ready.turned(turn).astype(float)
    half = mask.shape[0] // 2
    t = np.divide(weighted, mask, out=np.zeros_like(mask), where=mask > 0)
    padded = np.pad(f.astype(float), half)
    for place in ((9, 11, 12), (0, 0, 0), (18, 3, 23), (5, 21, 1)):
        box = padded[tuple(slice(p, p + 2 * half + 1) for p in place)]
        mean = (mask * box).sum() / mask.sum()
        covariance = (mask * t * (box - mean)).sum()
        spread = np.sqrt((mask * t * t).sum() * (mask * (box - mean) ** 2).sum())
        assert best[place] == pytest.approx(covariance / spread, abs=2e-5)
    assert squares == pytest.approx(float((best.astype(float) ** 2).sum()), rel=1e-4)


def embedded(template, turn, place, shape=(40, 44, 48), noise=0.0, seed=0):
    """A tomogram with the template in one pose, dark as particles are."""
    ready = prepare(template, 10.0, ALL_TILTS)
    particle = ready.turned(turn)
    half = particle.shape[0] // 2
    voxels = RNG(seed).normal(size=shape) * noise
    box = tuple(slice(p - half, p + half + 1) for p in place[::-1])
    voxels[box] -= particle
    return voxels.astype(np.float32)


def test_a_particle_in_a_tried_pose_correlates_completely():
    template, turn, place = lump(), rotations(90.0)[12], (20, 21, 18)
    voxels = embedded(template, turn, place)
    settings = TemplateSettings(templates=(template,), angles=90.0, tilt=ALL_TILTS)
    picks = pick_baseline(voxels, settings, Reading(voxel_size=10.0))
    assert picks.score[0] == pytest.approx(1, abs=0.02)  # the mask's soft edge squared
    np.testing.assert_allclose(picks.xyz[0], place, atol=0.25)
    assert picks.class_names[0] == "lump"


@pytest.mark.parametrize(("scale", "shift"), [(5.0, 300.0), (0.01, -7.0)])
def test_brightness_and_contrast_do_not_matter(scale, shift):
    voxels = embedded(lump(), rotations(60.0)[3], (20, 21, 18), noise=0.3)
    settings = TemplateSettings(templates=(lump(),), angles=90.0, number=5)
    reading = Reading(voxel_size=10.0)
    plain = pick_baseline(voxels, settings, reading)
    changed = pick_baseline(voxels * scale + shift, settings, reading)
    np.testing.assert_allclose(changed.xyz, plain.xyz, atol=1e-2)
    np.testing.assert_allclose(changed.score, plain.score, atol=1e-3)


def test_blocks_agree_with_the_whole():
    voxels = RNG(2).normal(size=(40, 44, 60)).astype(np.float32)
    source = open_volume(voxels, 10.0)
    settings = TemplateSettings(
        templates=(lump(),), angles=180.0, threshold=0.0, mask_radius=40.0
    )
    counted = []
    results = []
    for memory in (900, 6):
        seen = []
        results.append(
            match_templates(
                source,
                10.0,
                Normaliser(0.0, 1.0),
                settings,
                memory,
                lambda done, total, seen=seen: seen.append((done, total)),
                1,
            )
        )
        assert seen[-1][0] == seen[-1][1] == len(seen)
        counted.append(len(seen))
    assert counted[1] > 2 * counted[0]
    one, many = results
    order = [np.lexsort(np.rint(each.xyz.T * 50)) for each in results]
    # Rounding may make or unmake a peak among neighbours that are all but equal.
    assert abs(len(one.xyz) - len(many.xyz)) <= 2
    if len(one.xyz) == len(many.xyz):
        np.testing.assert_allclose(
            many.score[order[1]].sum(), one.score[order[0]].sum(), rtol=1e-4
        )
    best = [np.sort(each.score)[-100:] for each in results]
    np.testing.assert_allclose(best[0], best[1], atol=1e-5)


def test_noise_passes_the_threshold_about_as_often_as_asked():
    """The formula's promise, for a normal distribution and 40 voxels expected."""
    voxels = RNG(3).normal(size=(64, 64, 64)).astype(np.float32)
    ready = prepare(lump(), 10.0, ALL_TILTS, mask_radius=40.0)
    turns = rotations(120.0)
    counted = 0
    tried = voxels.size * len(turns)
    squares = 0.0
    every = []
    for turn in turns:
        values, square = correlate(
            voxels, whole(voxels.shape), voxels.shape, ready, [turn], nothing
        )
        squares += square
        every.append(values)
    threshold = threshold_of(np.sqrt(squares / tried), tried, 40.0)
    counted = sum(int((values > threshold).sum()) for values in every)
    assert 5 < counted < 120


def test_fewer_false_positives_demand_more():
    strict, lax = (threshold_of(0.1, 10**9, n) for n in (0.1, 100.0))
    assert 0.5 < lax < strict < 1
    assert threshold_of(0.1, 4, 10**6) == pytest.approx(0, abs=1e-12)


def test_classes_are_told_apart_by_their_templates():
    a, b = lump(1, name="a"), lump(8, name="b")
    turns = rotations(90.0)
    voxels = embedded(a, turns[2], (14, 15, 15), (30, 30, 46), 0.2)
    voxels += embedded(b, turns[9], (32, 15, 15), (30, 30, 46), 0.2, seed=1)
    settings = TemplateSettings(templates=(a, b), angles=90.0, tilt=ALL_TILTS, number=2)
    picks = pick_baseline(voxels, settings, Reading(voxel_size=10.0))
    where = dict(zip(picks.class_names, picks.xyz[:, 0], strict=True))
    assert where["a"] == pytest.approx(14, abs=0.5)
    assert where["b"] == pytest.approx(32, abs=0.5)
    assert picks.counts() == {"a": 1, "b": 1}


def test_flat_voxels_correlate_with_nothing():
    voxels = np.zeros((36, 36, 36), np.float32)
    voxels[:12] = RNG(0).normal(size=(12, 36, 36))
    ready = prepare(lump(), 10.0, ALL_TILTS, mask_radius=40.0)
    best, _ = correlate(
        voxels, whole(voxels.shape), voxels.shape, ready, [np.eye(3)], nothing
    )
    assert np.isfinite(best).all()
    assert (best[20:] == 0).all()
    assert np.abs(best).max() <= 1 + 1e-5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"templates": ()}, "a template"),
        ({"templates": (lump(), lump())}, "same name"),
        ({"angles": 2.0}, "--angles"),
        ({"tilt": (60.0, -60.0)}, "lower one first"),
        ({"tilt": (-100.0, 60.0)}, "from -90"),
        ({"threshold": 1.5}, "correlation"),
        ({"false_positives": 0.0}, "false positives"),
        ({"low_pass": -1.0}, "--low-pass"),
        ({"mask_radius": float("nan")}, "--mask-radius"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(SettingError, match=words):
        TemplateSettings(**{"templates": (lump(),), **changes})


def test_too_little_memory_names_the_tomogram_and_what_would_do():
    voxels = RNG(0).normal(size=(64, 64, 64))
    settings = TemplateSettings(templates=(lump(),), angles=120.0)
    with pytest.raises(SettingError, match=r"tomogram: 1 MiB .*--memory"):
        pick_baseline(voxels, settings, Reading(voxel_size=10.0, memory=1))
