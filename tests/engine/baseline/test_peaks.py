"""Local maxima: what a slow search finds, and where between the voxels they lie."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine.baseline.blocks import cut
from dep.engine.baseline.peaks import Peaks, local_maxima

RNG = np.random.default_rng


def found(values, memory=1000, cost=8):
    blocks = cut(values.shape, 1, memory, lambda read: cost * int(np.prod(read)))
    return Peaks.join(
        [local_maxima(values[block.read], block.inside, block) for block in blocks]
    )


def slow(values):
    """The specification: above 0, and above its neighbours, ties to the first."""
    places = []
    for place in product(*map(range, values.shape)):
        value = values[place]
        if value <= 0:
            continue
        best = True
        for step in product((-1, 0, 1), repeat=3):
            other = tuple(np.add(place, step))
            if step == (0, 0, 0) or not all(
                0 <= o < n for o, n in zip(other, values.shape, strict=True)
            ):
                continue
            best &= values[other] < value or (values[other] == value and other > place)
        if best:
            places.append(place)
    return places


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.tuples(*[st.integers(1, 6)] * 3))
def test_they_are_those_of_a_slow_search(seed, shape):
    values = RNG(seed).integers(-2, 5, shape).astype(np.float32)  # many ties
    peaks = found(values)
    expected = slow(values)
    assert len(peaks.xyz) == len(expected)
    # Never further than half a voxel from the voxel.
    assert (np.abs(peaks.xyz[:, ::-1] - np.array(expected).reshape(-1, 3)) <= 0.5).all()
    assert peaks.value.tolist() == [values[place] for place in expected]


def test_blocks_change_nothing():
    values = RNG(1).normal(size=(30, 40, 40)).astype(np.float32)
    whole, parts = found(values), found(values, memory=1, cost=120)
    order = np.lexsort(parts.xyz.T), np.lexsort(whole.xyz.T)
    assert len(whole.xyz) > 500
    np.testing.assert_array_equal(parts.xyz[order[0]], whole.xyz[order[1]])
    np.testing.assert_array_equal(parts.value[order[0]], whole.value[order[1]])


def test_a_parabola_is_found_where_its_top_is():
    z, y, x = np.indices((9, 9, 9), float)
    top = (4.3, 3.8, 4.1)
    values = 10 - (z - top[0]) ** 2 - 2 * (y - top[1]) ** 2 - 0.5 * (x - top[2]) ** 2
    peaks = found(values.astype(np.float32))
    np.testing.assert_allclose(peaks.xyz, [[4.1, 3.8, 4.3]], atol=1e-5)
