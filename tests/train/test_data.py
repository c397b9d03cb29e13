"""Patches show what the tomogram shows, wherever they are cut."""

import dataclasses
import mmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dep.train.config import load_config
from dep.train.data import AnnotatedTomogram, PatchSampler, _cut
from dep.train.intake import load_data
from dep.train.labels import UNKNOWN, hide_unannotated, weak_labels

SHAPE = (30, 40, 50)


@pytest.fixture
def tomograms(run_files):
    config = load_config(run_files.config)
    return load_data(config).train


def one_particle(xyz=(25.2, 19.9, 14.6), *, fully_annotated=True):
    """A tomogram whose voxels say where they are, with one particle."""
    z, y, x = np.indices(SHAPE)
    labels = weak_labels(SHAPE, [xyz], [1], 3)
    if not fully_annotated:
        labels = hide_unannotated(labels, [xyz], [4.0])
    return AnnotatedTomogram(
        name="one",
        voxels=(z * 10000 + y * 100 + x).astype(np.int32),
        mean=-1.0,
        std=1.0,
        labels=labels,
        xyz=np.array([xyz], np.float32),
        class_id=np.array([1], np.uint8),
        fully_annotated=fully_annotated,
    )


def centres(sampler, steps):
    """Centre voxels (n, 3) z, y, x of crops of `one_particle`; 0 is beyond it."""
    e = sampler.edge
    middle = np.concatenate(
        [sampler(step)[0][:, 0, e // 2, e // 2, e // 2] for step in range(steps)]
    )
    place = np.rint(middle).astype(int) - 1
    return np.stack((place // 10000, place // 100 % 100, place % 100), axis=1)


@given(st.tuples(*[st.integers(-20, n + 4) for n in SHAPE]), st.booleans())
def test_a_crop_is_the_normalised_tomogram_and_padding_beyond_it(origin, full):
    tomogram = one_particle(fully_annotated=full)
    tomogram = dataclasses.replace(tomogram, mean=70_000.3, std=1234.5)
    image = np.zeros((16, 16, 16), np.float32)
    labels = np.zeros((16, 16, 16), np.uint8)
    _cut(tomogram, np.array(origin), image, labels)
    padded = np.pad((tomogram.voxels - tomogram.mean) / tomogram.std, 20)
    known = np.pad(tomogram.labels, 20, constant_values=0 if full else UNKNOWN)
    there = tuple(slice(a + 20, a + 36) for a in origin)
    np.testing.assert_allclose(image, padded[there], rtol=1e-5, atol=1e-4)
    assert (labels == known[there]).all()


def test_tomograms_are_mapped_not_copied(tomograms):
    voxels = tomograms[0].voxels
    assert voxels.dtype == np.int8
    while not isinstance(voxels, mmap.mmap):
        assert voxels.base is not None
        voxels = voxels.base


def test_batches_depend_on_seed_and_step_alone(tomograms):
    sampler = PatchSampler(tomograms, 20, 16, 3, 0.2, 4, 7)
    a, b = sampler(5), sampler(5)
    assert all((p == q).all() for p, q in zip(a, b, strict=True))
    assert (sampler(6)[0] != a[0]).any()
    assert (PatchSampler(tomograms, 20, 16, 3, 0.2, 4, 8)(5)[0] != a[0]).any()


def test_ranks_together_cut_what_one_alone_would(tomograms):
    alone = PatchSampler(tomograms, 20, 16, 6, 0.2, 4, 7)(3)
    sampler = PatchSampler(tomograms, 20, 16, 2, 0.2, 4, 7)
    ranks = [sampler(3, rank, 3) for rank in range(3)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert (np.concatenate(parts) == whole).all()
    assert (ranks[0][0] != ranks[1][0]).any()


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (1, 1)])
def test_a_rank_that_is_not_there_is_refused(tomograms, rank, world):
    sampler = PatchSampler(tomograms, 20, 16, 2, 0.2, 4, 7)
    with pytest.raises(ValueError, match=f"found {rank}"):
        sampler(0, rank, world)


def test_patches_hold_particles(tomograms):
    sampler = PatchSampler(tomograms, 16, 16, 4, 0.0, 4, 1)
    assert all(sampler(step)[1].any(axis=(1, 2, 3)).all() for step in range(20))


@pytest.mark.parametrize(("patch", "jitter", "most"), [(16, 0.2, 3), (16, 0.0, 0)])
def test_particles_lie_within_the_jitter(patch, jitter, most):
    sampler = PatchSampler([one_particle()], patch, patch, 4, 0.0, 16, 1, jitter)
    offsets = centres(sampler, 60) - [15, 20, 25]
    assert (offsets.min(axis=0) == -most).all()
    assert (offsets.max(axis=0) == most).all()


def test_the_published_jitter_can_be_asked_for():
    particle = one_particle()
    sampler = PatchSampler([particle], 8, 72, 4, 0.0, 72, 1, 14 / 72)
    offsets = centres(sampler, 80) - [15, 20, 25]
    assert offsets.min() == -14
    assert offsets.max() == 14


def test_random_patches_come_from_everywhere():
    sampler = PatchSampler([one_particle()], 4, 4, 10, 1.0, 2, 1)
    found = centres(sampler, 60)
    assert (found.min(axis=0) <= 1).all()
    assert (found.max(axis=0) >= np.array(SHAPE) - 2).all()


def test_patches_reach_no_farther_beyond_the_tomogram_than_tiles_do():
    corner = one_particle((0, 0, 0))
    sampler = PatchSampler([corner], 12, 12, 4, 0.0, 2, 1)
    found = centres(sampler, 40)
    assert found.min() == 12 // 2 - 2


def test_a_tomogram_without_particles_is_cut_anywhere():
    empty = dataclasses.replace(
        one_particle(),
        labels=np.zeros(SHAPE, np.uint8),
        xyz=np.zeros((0, 3), np.float32),
        class_id=np.zeros(0, np.uint8),
    )
    sampler = PatchSampler([empty], 4, 4, 10, 0.0, 2, 1)
    assert len(np.unique(centres(sampler, 4), axis=0)) > 30


def test_rare_classes_are_seen_more_often_than_they_occur():
    """By the square root of their numbers: 1 of 26 particles in a sixth of patches."""
    many = dataclasses.replace(
        one_particle(),
        xyz=np.array([[10, 10, 10]] * 25 + [[40, 30, 20]], np.float32),
        class_id=np.array([1] * 25 + [3], np.uint8),
    )
    found = centres(PatchSampler([many], 4, 4, 10, 0.0, 2, 1, 0.0), 60)
    assert (found[:, 2] == 40).mean() == pytest.approx(1 / 6, abs=0.04)


def test_tomograms_are_drawn_by_their_weights():
    first = one_particle()
    second = dataclasses.replace(first, voxels=first.voxels + 1_000_000)

    def share(weight):
        heavy = dataclasses.replace(second, weight=weight)
        sampler = PatchSampler([first, heavy], 4, 4, 10, 0.0, 2, 1)
        crops = np.concatenate([sampler(step)[0] for step in range(60)])
        return (crops.max(axis=(1, 2, 3, 4)) > 1_000_000).mean(), crops

    assert share(3.0)[0] == pytest.approx(0.75, abs=0.05)
    assert share(0.25)[0] == pytest.approx(0.2, abs=0.05)
    # Where all weigh alike, whatever that is, the draws are those without weights.
    alike = [dataclasses.replace(one, weight=7.0) for one in (first, second)]
    crops = PatchSampler(alike, 4, 4, 10, 0.0, 2, 1)(5)[0]
    np.testing.assert_array_equal(crops, share(1.0)[1][50:60])


def test_classes_that_are_not_configured_are_left_out(tomograms):
    assert np.bincount(tomograms[0].class_id).tolist() == [0, 5, 5, 5]
