"""Moments: every voxel counts once, and both twins add in the same order."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.kernels import _c, moments
from dep.kernels.moments import BLOCK

TWINS = ("c", "reference")
STORED = ["i1", "u1", "i2", "u2", "f4", "f8"]
WIDENED = ["?", "f2", "i4", "u4", "i8", "u8", "g", ">i2", ">f4", ">f8"]
ODD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, 5e-324, 3e38, -3e38, 1.0]


def voxels_of(rng, dtype, size):
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, size, dtype.newbyteorder("="), True)
    values = rng.normal(50, 20, size)
    return values > 40 if dtype.kind == "b" else values


def equal(one, other):
    assert (one.low, one.high) == (other.low, other.high) or (
        math.isnan(one.low) and math.isnan(other.low)
    )
    if math.isfinite(one.low):
        np.testing.assert_array_equal(one.sums, other.sums)
        np.testing.assert_array_equal(one.squares, other.squares)


@settings(max_examples=200, deadline=None)
@given(
    dtype=st.sampled_from(STORED + WIDENED),
    size=st.one_of(st.integers(1, 40), st.integers(1000, 1050), st.integers(1, 5000)),
    seed=st.integers(0, 2**32 - 1),
    pivot=st.sampled_from([0.0, 0.1, 50.0, -1e6]),
    odd=st.booleans(),
)
def test_twins_agree_bit_for_bit(dtype, size, seed, pivot, odd):
    rng = np.random.default_rng(seed)
    voxels = voxels_of(rng, dtype, size).astype(dtype)
    if voxels.dtype.kind == "f" and odd:
        chosen = rng.random(size) < 0.01
        with np.errstate(over="ignore"):
            voxels[chosen] = rng.choice(ODD, chosen.sum())
    if voxels.dtype.kind in "iub" and voxels.dtype.itemsize <= 2:
        pivot = 0.0
    c, reference = (moments(voxels, pivot, backend=twin) for twin in TWINS)
    equal(c, reference)
    if np.isfinite(voxels).all():
        assert (c.low, c.high) == (float(voxels.min()), float(voxels.max()))
    else:
        assert math.isnan(c.low)
        assert math.isnan(c.high)


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 1029])
def test_blocks_are_summed_one_by_one(dtype, size):
    voxels = voxels_of(np.random.default_rng(1), dtype, size).astype(dtype)
    c, reference = (moments(voxels, backend=twin) for twin in TWINS)
    equal(c, reference)
    assert len(c.sums) == len(c.squares) == -(-size // BLOCK)
    for k, start in enumerate(range(0, size, BLOCK)):
        block = voxels[start : start + BLOCK].astype("f8")
        wanted = math.fsum(block), math.fsum(block * block)
        if voxels.dtype.kind == "f":
            assert (c.sums[k], c.squares[k]) == pytest.approx(wanted, rel=1e-13)
        else:
            assert (c.sums[k], c.squares[k]) == wanted


@pytest.mark.parametrize("dtype", STORED[:4])
def test_the_largest_integers_are_summed_exactly(dtype):
    for value in (np.iinfo(dtype).min, np.iinfo(dtype).max):
        found = moments(np.full(BLOCK, value, dtype), backend="c")
        assert found.sums.tolist() == [BLOCK * value]
        assert found.squares.tolist() == [BLOCK * value**2]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
def test_what_is_not_finite_is_seen_wherever_it_is(bad, dtype):
    for size in (1, 7, 8, 9, 1024, 1030):
        for place in {0, size // 2, size - 1}:
            voxels = np.ones(size, dtype)
            voxels[place] = bad
            for twin in TWINS:
                assert math.isnan(moments(voxels, backend=twin).low)


def test_large_finite_voxels_are_no_infinities():
    """Sums that overflow are no matter of the voxels."""
    voxels = np.full(100, 1.7e308)
    for twin in TWINS:
        found = moments(voxels, backend=twin)
        assert (found.low, found.high) == (1.7e308, 1.7e308)
        assert found.sums[0] == np.inf


@pytest.mark.parametrize("dtype", STORED)
def test_a_type_may_name_its_byte_order(dtype):
    """As those of files do."""
    voxels = voxels_of(np.random.default_rng(3), dtype, 3000).astype(dtype)
    for order in "<>=|":
        told = voxels.astype(voxels.dtype.newbyteorder(order))
        equal(moments(told), moments(voxels))


def test_memory_layout_does_not_matter():
    voxels = np.random.default_rng(2).normal(size=(30, 40)).astype("f4")
    turned = np.asfortranarray(voxels)
    equal(moments(turned, 0.5), moments(voxels, 0.5))
    equal(moments(voxels[:, ::2], 0.5), moments(voxels[:, ::2].copy(), 0.5))
    frozen = voxels.copy()
    frozen.flags.writeable = False
    equal(moments(frozen, 0.5), moments(voxels, 0.5))


@pytest.mark.parametrize(
    ("voxels", "words", "said"),
    [
        (np.zeros(3, "c8"), {}, "whole or real numbers, found complex64"),
        ([1.0], {}, "whole or real numbers, found list"),
        (np.zeros((0, 3)), {}, r"at least one, found shape \(0, 3\)"),
        (np.ones(3, "i2"), {"pivot": 1.0}, "0 for integers .* found 1.0 for int16"),
        (np.ones(3), {"pivot": np.nan}, "must be finite"),
        (np.ones(3), {"backend": "cuda"}, "found 'cuda'"),
    ],
)
def test_wrong_use(voxels, words, said):
    with pytest.raises((TypeError, ValueError), match=said):
        moments(voxels, **words)


def test_the_core_checks_for_itself():
    with pytest.raises(ValueError, match="two sums for each block"):
        _c.moments(np.ones(BLOCK + 1), 0.0, np.empty((2, 1)))
    with pytest.raises(TypeError, match="of format bBhHfd"):
        _c.moments(np.ones(3, "i4"), 0.0, np.empty((2, 1)))
    with pytest.raises(TypeError, match="expected 2 axes"):
        _c.moments(np.ones(3), 0.0, np.empty(2))
    with pytest.raises(ValueError, match="two sums for each block"):
        _c.moments(np.ones(0), 0.0, np.empty((2, 1)))
