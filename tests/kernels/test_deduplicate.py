"""Deduplication: greedy, exact, linear, and blind to the order of its input."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.kernels import deduplicate

TWINS = ("c", "reference")


def greedy(xyz, score, t_dist, class_id=None):
    """From the definition, with Python numbers: what stays, as indices, best first."""
    points = [[float(v) for v in p] for p in np.asarray(xyz, np.float32)]
    classes = [0] * len(points) if class_id is None else [int(c) for c in class_id]
    order = sorted(
        range(len(points)),
        key=lambda i: (-float(score[i]), *points[i][::-1], classes[i], i),
    )
    kept = []
    while order:
        best, *rest = order
        kept.append(best)
        order = []
        for i in rest:
            d2 = 0.0
            for a, b in zip(points[best], points[i], strict=True):
                d2 += (a - b) * (a - b)
            if classes[i] != classes[best] or not d2 < t_dist * t_dist:
                order.append(i)
    return kept


@st.composite
def clusters(draw):
    """Candidates on grids and off them, with ties in place and score."""
    n = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([1e-3, 1.0, 30.0, 1e6]))
    xyz = (rng.normal(size=(n, 3)) * scale).astype(np.float32)
    if draw(st.booleans()):
        xyz = np.round(xyz / np.float32(scale)) * np.float32(scale)
    offset = np.float32(draw(st.sampled_from([0, -1000, 1e9])))
    xyz = (xyz + offset).astype(np.float32)
    score = rng.choice(draw(st.sampled_from([[0.5], [-1, 0, -0.0, 2], range(50)])), n)
    t_dist = scale * draw(st.sampled_from([0.0, 0.3, 1.0, math.sqrt(2), 2.0, 50.0]))
    classes = rng.integers(-2, 2, n) if draw(st.booleans()) else None
    return xyz, score.astype(np.float32), t_dist, classes


@settings(max_examples=250, deadline=None)
@given(clusters())
def test_twins_follow_the_definition(case):
    expected = greedy(*case)
    for twin in TWINS:
        assert deduplicate(*case, backend=twin).tolist() == expected


@settings(max_examples=150, deadline=None)
@given(clusters(), st.integers(0, 2**32))
def test_the_order_of_the_input_leaves_no_trace(case, seed):
    xyz, score, t_dist, classes = case
    shuffled = np.random.default_rng(seed).permutation(len(xyz))

    def result(order):
        of_class = None if classes is None else classes[order]
        kept = deduplicate(xyz[order], score[order], t_dist, of_class)
        columns = [xyz[order][kept], score[order][kept, None]]
        if classes is not None:
            columns.append(of_class[kept, None])
        return np.concatenate(columns, axis=1)

    straight = result(np.arange(len(xyz)))
    np.testing.assert_array_equal(straight, result(shuffled))


@pytest.mark.parametrize("twin", TWINS)
def test_exactly_t_dist_apart_both_stay(twin):
    # 3-4-5: |a - b|^2 = t_dist^2 is not below it.
    xyz = [[0, 0, 0], [3, 4, 0]]
    assert deduplicate(xyz, [1, 2], 5, backend=twin).tolist() == [1, 0]
    just_more = np.nextafter(5.0, 6.0)
    assert deduplicate(xyz, [1, 2], just_more, backend=twin).tolist() == [1]


@pytest.mark.parametrize("twin", TWINS)
def test_nothing_is_nearer_than_zero(twin):
    xyz = np.zeros((5, 3), np.float32)
    assert deduplicate(xyz, np.ones(5), 0, backend=twin).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("twin", TWINS)
def test_ties_go_by_z_then_y_then_x(twin):
    xyz = [[0, 0, 9], [0, 9, 0], [9, 0, 0], [0, 0, 0]]
    kept = deduplicate(xyz, [1, 1, 1, 1], 1, backend=twin)
    assert kept.tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("twin", TWINS)
def test_a_dropped_candidate_drops_nobody(twin):
    # A chain: the best drops its neighbour, whose other neighbour stays.
    xyz = [[0, 0, 0], [2, 0, 0], [4, 0, 0], [6, 0, 0]]
    assert deduplicate(xyz, [4, 3, 2, 1], 3, backend=twin).tolist() == [0, 2]


@pytest.mark.parametrize("twin", TWINS)
def test_classes_apart_and_together(twin):
    xyz = [[0, 0, 0], [1, 0, 0], [2, 0, 0]]
    score = [3, 2, 1]
    assert deduplicate(xyz, score, 5, backend=twin).tolist() == [0]
    kept = deduplicate(xyz, score, 5, [7, -7, 7], backend=twin)
    assert kept.tolist() == [0, 1]


@pytest.mark.parametrize("t_dist", [1e-300, 1e-160, 1e-45, 1e-3, 1.0, 1e38, 1e200])
@pytest.mark.parametrize("scale", [1e-45, 1.0, 3e38])
def test_any_scale_of_coordinates_and_distance(t_dist, scale):
    rng = np.random.default_rng(2)
    xyz = (rng.integers(-1, 2, (40, 3)) * scale).astype(np.float32)
    score = rng.random(40)
    expected = greedy(xyz, score, t_dist)
    for twin in TWINS:
        assert deduplicate(xyz, score, t_dist, backend=twin).tolist() == expected


def test_neighbours_far_from_the_origin():
    # At 1e9 neighbouring float32 are 64 apart, at 1e30 far more: cells must keep up.
    for base in (1e9, -1e9, 1e30):
        xyz = np.full((4, 3), base, np.float32)
        xyz[1, 0] = np.nextafter(xyz[0, 0], np.float32(np.inf))
        xyz[2, 1] = np.nextafter(xyz[0, 1], np.float32(-np.inf))
        step = float(xyz[1, 0]) - float(xyz[0, 0])
        for t_dist in (step / 1e6, step, 1.01 * abs(step), 3 * abs(step)):
            expected = greedy(xyz, [4, 3, 2, 1], t_dist)
            assert deduplicate(xyz, [4, 3, 2, 1], t_dist).tolist() == expected


def test_many_candidates_agree_with_the_reference():
    rng = np.random.default_rng(11)
    xyz = (rng.random((1200, 3)) * [40, 40, 20]).astype(np.float32)
    score = np.round(rng.random(1200), 2).astype(np.float32)
    classes = rng.integers(1, 13, 1200)
    for t_dist in (0.5, 3.0, 12.0):
        for of_class in (None, classes):
            expected = deduplicate(xyz, score, t_dist, of_class, backend="reference")
            found = deduplicate(xyz, score, t_dist, of_class)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("spread", ["one point", "one cell", "equal scores"])
def test_very_many_candidates_in_one_place(spread):
    # Quadratic work on them would take hours: the test ends because only kept
    # candidates are compared with, and few of those fit in a cell.
    rng = np.random.default_rng(3)
    n = 300_000
    xyz = np.zeros((n, 3), np.float32)
    score = rng.random(n).astype(np.float32)
    if spread == "one cell":
        xyz = rng.random((n, 3), dtype=np.float32)
    if spread == "equal scores":
        xyz = rng.random((n, 3), dtype=np.float32) * 300
        score[:] = 1
    kept = deduplicate(xyz, score, 2.0)
    assert kept[0] == np.lexsort((*xyz.T, -score))[0]
    if spread == "equal scores":
        assert len(kept) > 100_000
    else:
        assert len(kept) == 1


def test_what_is_kept_keeps_its_distance():
    rng = np.random.default_rng(6)
    n = 300_000
    xyz = (rng.random((n, 3), dtype=np.float32) - 0.5) * 270
    score = rng.random(n, dtype=np.float32)
    kept = deduplicate(xyz, score, 5.0)
    assert (np.diff(score[kept]) <= 0).all()
    again = deduplicate(xyz[kept], score[kept], 5.0)
    assert len(again) == len(kept)  # what is kept is t_dist apart: nothing more to drop
    # Every dropped candidate has a better one within t_dist: sampled.
    keeps = xyz[kept].astype(np.float64)
    for i in random.Random(1).sample(sorted(set(range(n)) - set(kept.tolist())), 50):
        near = ((keeps - xyz[i].astype(np.float64)) ** 2).sum(axis=1) < 25
        assert (score[kept[near]] >= score[i]).any()
