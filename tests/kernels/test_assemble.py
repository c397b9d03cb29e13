"""Label assembly: every voxel of the core from its scores, nothing else touched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.kernels import assemble

TWINS = ("c", "reference")


def one_voxel(scores, t_seg, joint, background):
    """Label and byte of one voxel, from the definition, in float32 scalars."""
    p = [np.float32(v) for v in scores]
    t_seg = np.float32(t_seg)
    classes = p[1:] if background else p
    if joint and background:
        if not np.float32(1) - p[0] > t_seg:
            return 0, 0
        able = [v for v in classes if not np.isnan(v) and v != -np.inf]
    else:
        able = [v for v in classes if v > t_seg]
    if not able:
        return 0, 0
    best = max(able)
    held = min(max(best, np.float32(0)), np.float32(1))
    byte = int(np.floor(held * np.float32(255) + np.float32(0.5)))
    return list(classes).index(best) + 1, byte


@st.composite
def cases(draw):
    background = draw(st.booleans())
    classes = draw(st.integers(1, 4))
    tile = draw(st.tuples(*[st.integers(1, 5)] * 2, st.integers(1, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([np.float32, np.float16]))
    scores = rng.random((classes + background, *tile)).astype(dtype)
    if draw(st.booleans()):  # ties, and scores on the threshold
        scores = np.round(scores * 4) / 4
    if draw(st.booleans()):
        odd = [np.nan, np.inf, -np.inf, -1, 0, 1e-7, 6e-8, 1, 1.001, 5, 0.5]
        chosen = rng.random(scores.shape) < 0.3
        scores[chosen] = rng.choice(odd, chosen.sum())
    scores = scores.astype(dtype)
    size = tuple(int(rng.integers(0, t + 1)) for t in tile)
    source = tuple(
        int(rng.integers(0, t - s + 1)) for t, s in zip(tile, size, strict=True)
    )
    slab = tuple(int(s + rng.integers(0, 4)) for s in size)
    target = tuple(
        int(rng.integers(0, t - s + 1)) for t, s in zip(slab, size, strict=True)
    )
    t_seg = draw(st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75]))
    return scores, slab, source, target, size, t_seg, draw(st.booleans()), background


@settings(max_examples=200, deadline=None)
@given(cases())
def test_twins_follow_the_definition(case):
    scores, slab, source, target, size, t_seg, joint, background = case
    expected = np.full((2, *slab), 77, np.uint8)
    for offset in np.ndindex(size):
        inner = tuple(o + s for o, s in zip(offset, source, strict=True))
        outer = tuple(o + t for o, t in zip(offset, target, strict=True))
        voxel = one_voxel(scores[(slice(None), *inner)], t_seg, joint, background)
        expected[(slice(None), *outer)] = voxel
    for twin in TWINS:
        labels, probability = np.full((2, *slab), 77, np.uint8)
        assemble(
            scores,
            labels,
            probability,
            source,
            target,
            size,
            t_seg=t_seg,
            joint=joint,
            background=background,
            backend=twin,
        )
        np.testing.assert_array_equal(labels, expected[0])
        np.testing.assert_array_equal(probability, expected[1])


def written(scores, twin="c", **settings):
    shape = scores.shape[1:]
    labels, probability = np.zeros((2, *shape), np.uint8)
    options = {"t_seg": 0.5, "joint": True, "backend": twin} | settings
    assemble(scores, labels, probability, (0, 0, 0), (0, 0, 0), shape, **options)
    return labels, probability


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_every_float16_is_widened_exactly(joint, background):
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    scores = np.stack([every, np.roll(every, 1), np.roll(every, 777)])
    scores = scores.reshape(3, 16, 64, 64)
    options = {"t_seg": 0.2, "joint": joint, "background": background}
    for half, single in zip(
        written(scores, **options),
        written(scores.astype(np.float32), **options),
        strict=True,
    ):
        np.testing.assert_array_equal(half, single)


@pytest.mark.parametrize("twin", TWINS)
def test_probability_bytes_round_to_nearest(twin):
    p = np.arange(256, dtype=np.float32) / np.float32(255)
    scores = np.stack([1 - p, p]).reshape(2, 1, 1, 256)
    labels, probability = written(scores, twin, t_seg=0.0)
    np.testing.assert_array_equal(probability.ravel(), np.arange(256))
    np.testing.assert_array_equal(labels.ravel(), np.arange(256) > 0)


@pytest.mark.parametrize("twin", TWINS)
def test_joint_keeps_a_particle_whose_class_is_in_doubt(twin):
    scores = np.array([0.1, 0.3, 0.35, 0.25], np.float32).reshape(4, 1, 1, 1)
    assert written(scores, twin, joint=True)[0].item() == 2
    assert written(scores, twin, joint=False)[0].item() == 0


@pytest.mark.parametrize("joint", [False, True])
def test_threads_and_strides_leave_no_trace(joint):
    rng = np.random.default_rng(0)
    scores = rng.random((13, 40, 44, 50)).astype(np.float32)
    expected = written(scores, joint=joint, threads=1)
    views = [
        (scores, 2),
        (scores, 64),
        (np.asfortranarray(scores), 2),
        (scores[:, ::-1][:, ::-1], 3),
        (np.repeat(scores, 2, axis=2)[:, :, ::2], 2),
    ]
    for view, threads in views:
        found = written(view, joint=joint, threads=threads)
        np.testing.assert_array_equal(found, expected)


def test_slabs_may_be_part_of_a_larger_array():
    rng = np.random.default_rng(1)
    scores = rng.random((3, 6, 7, 20)).astype(np.float32)
    expected, _ = written(scores)
    ring = np.zeros((2, 30, 9, 25), np.uint8)
    labels, probability = ring[0, 4:20:2, 1:8, 2:22], ring[1, 20:4:-2, 1:8, 2:22]
    assemble(
        scores,
        labels,
        probability,
        (0, 0, 0),
        (1, 0, 0),
        (6, 7, 20),
        t_seg=0.5,
        joint=True,
    )
    np.testing.assert_array_equal(labels[1:7], expected)
    labels[1:7] = probability[1:7] = 0
    assert not ring.any()
