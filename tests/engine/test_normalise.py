"""Statistics are those of all voxels, exactly, however the planes are read."""

import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dep.engine import TomogramError, open_volume
from dep.engine.normalise import Normaliser, measure
from dep.kernels import BackendError

DTYPES = ["i1", "u1", "i2", "u2", "i4", "f2", "f4", "f8", ">i2", ">f4", "?"]


def of(array):
    return measure(open_volume(array, 10.0))


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(
        st.sampled_from(["i1", "u1", "i2", "u2", ">i2"]),
        npst.array_shapes(min_dims=3, max_dims=3, max_side=6),
    )
)
def test_integers_are_summed_exactly(array):
    values = [int(value) for value in array.ravel()]
    if len(set(values)) == 1:
        with pytest.raises(TomogramError, match=r"all .* voxels have the value"):
            of(array)
        return
    found = of(array)
    many = len(values)
    mean = sum(values) / many
    power = sum(value * value for value in values)
    variance = (power * many - sum(values) ** 2) / many**2
    assert found.mean == pytest.approx(mean, rel=1e-15, abs=1e-15)
    assert found.std == pytest.approx(variance**0.5, rel=1e-12)
    assert (found.minimum, found.maximum) == (min(values), max(values))
    assert found.voxels == many


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type(dtype):
    rng = np.random.default_rng(3)
    array = (
        rng.normal(60, 20, (7, 30, 31)) > 70
        if dtype == "?"
        else rng.normal(60, 20, (7, 30, 31)).clip(0, 120)
    ).astype(dtype)
    found = of(array)
    assert found.mean == pytest.approx(array.astype("f8").mean(), rel=1e-12)
    assert found.std == pytest.approx(array.astype("f8").std(), rel=1e-12)


def test_a_large_mean_costs_no_digits():
    rng = np.random.default_rng(4)
    array = 1e9 + rng.normal(0, 1, (20, 100, 100))
    assert of(array).std == pytest.approx(array.std(), rel=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_do_not_matter(dtype, monkeypatch):
    array = np.random.default_rng(6).normal(60, 20, (3, 400, 410)).clip(0, 120)
    expected = of(array.astype(dtype))
    monkeypatch.setitem(sys.modules, "dep.kernels._c", None)  # as if never built
    volume = open_volume(array.astype(dtype), 10.0)
    assert measure(volume, kernels="reference") == expected
    with pytest.raises(BackendError, match="does not load"):
        measure(volume, kernels="cuda")


def test_memory_layout_does_not_matter():
    rng = np.random.default_rng(5)
    array = rng.normal(0, 1, (400, 20, 90)).astype("f4")
    turned = np.asfortranarray(array)
    assert of(turned) == of(array)


def test_ticks_count_planes():
    seen = []
    measure(
        open_volume(np.arange(60).reshape(3, 4, 5), 1.0), lambda *now: seen.append(now)
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0, 0), (2, 2, 2), (4, 1, 3)])
def test_voxels_that_are_not_finite_are_refused(bad, place):
    array = np.random.default_rng(0).normal(size=(5, 5, 5)).astype("f4")
    array[place] = bad
    with pytest.raises(TomogramError, match=rf"1 voxels of plane {place[0]} .* NaN or"):
        of(array)


@pytest.mark.parametrize("value", [0, 3.7, -5])
def test_a_constant_tomogram_is_refused(value):
    with pytest.raises(TomogramError, match="all 60 voxels have the value"):
        of(np.full((3, 4, 5), value))


def test_values_beyond_float32_are_refused():
    array = np.zeros((3, 4, 5))
    array[1] = 1e300
    with np.errstate(all="ignore"), pytest.raises(TomogramError, match="float32"):
        of(array)


@pytest.mark.parametrize("dtype", DTYPES[:-1])
def test_a_normalised_tomogram_has_mean_0_and_deviation_1(dtype):
    array = np.random.default_rng(3).normal(60, 20, (9, 30, 31)).clip(0, 120)
    array = array.astype(dtype)
    statistics = of(array)
    out = np.empty(array.shape, np.float32)
    Normaliser.zscore(statistics)(array, out)
    assert out.mean(dtype=float) == pytest.approx(0, abs=1e-6)
    assert out.std(dtype=float) == pytest.approx(1, abs=1e-6)
    inverted = np.empty_like(out)
    Normaliser.zscore(statistics, invert=True)(array, inverted)
    np.testing.assert_array_equal(inverted, -out)


@pytest.mark.parametrize("dtype", ["f8", ">f8", "i4", "u4", ">i4", "i8", "u8"])
@pytest.mark.parametrize("mean", [1e5 + 0.3, 1.5e9 + 41.5])
def test_a_large_mean_does_not_shift_what_the_network_sees(dtype, mean):
    rng = np.random.default_rng(6)
    array = (mean + rng.normal(0, 3, (9, 30, 31))).astype(dtype)
    out = np.empty(array.shape, np.float32)
    Normaliser.zscore(of(array))(array, out)
    values = array.astype("f8")
    np.testing.assert_allclose(
        out, (values - values.mean()) / values.std(), rtol=1e-6, atol=1e-6
    )
    assert out.mean(dtype=float) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "f2", ">f2", "f4", ">f4"])
def test_short_types_are_normalised_in_float32_exactly(dtype):
    array = np.random.default_rng(8).normal(60, 40, (5, 6, 7)).clip(0, 120)
    array = array.astype(dtype)
    normalise = Normaliser(61.7, 0.0123)
    out = np.empty(array.shape, np.float32)
    normalise(array, out)
    wanted = (array.astype("f4") - np.float32(61.7)) * np.float32(0.0123)
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("dtype", ["i1", "f2", "i4", ">f4", "f8"])
def test_normalising_makes_no_float_copy(dtype):
    array = np.random.default_rng(8).normal(60, 20, (40, 100, 100)).astype(dtype)
    out = np.empty(array.shape, np.float32)
    normalise = Normaliser(61.7, 0.0123)
    tracemalloc.start()
    try:
        normalise(array[:, 3:, 5:], out[:, 3:, 5:])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < out.nbytes / 4
