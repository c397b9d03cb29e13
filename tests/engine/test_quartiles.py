"""Quartiles found in pieces are those of all numbers, exactly."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dep.engine import SettingError, TomogramError, open_volume
from dep.engine.normalise import Normaliser, measure
from dep.engine.quartiles import Quartiles
from dep.engine.settings import PickSettings

WHOLE = ["?", "i1", "u1", "i2", "u2", ">i2", "i4", ">u4", "i8", "u8"]
REAL = ["f2", ">f2", "f4", ">f4", "f8", ">f8"]
ODD = [0.0, -0.0, 1.0, -1.0, 6e-8, -6e-8, 65504.0, -65504.0, np.inf, -np.inf]


def quartiles_of(array, cuts=()):
    found = Quartiles(array.dtype, array.size)
    passes = 0
    while True:
        passes += 1
        for piece in np.split(array, cuts):
            found.take(piece)
        if found.narrow():
            break
    assert passes == found.passes
    return found.values()


def assert_quartiles(array, cuts=()):
    """Compare with sorting: NumPy's quantile rounds in the array's own type."""
    with np.errstate(invalid="ignore"):
        found = quartiles_of(array, cuts)
        ordered = np.sort(array.astype(array.dtype.newbyteorder("=")))
        wanted = np.quantile(ordered.astype("f8"), [0.25, 0.5, 0.75])
    np.testing.assert_array_equal(found, wanted)


def arrays(dtype):
    elements = None
    if np.dtype(dtype).kind == "f":
        width = 8 * np.dtype(dtype).itemsize
        elements = st.one_of(
            st.floats(width=width, allow_nan=False, allow_infinity=False),
            st.sampled_from(ODD[:8]),
        )
    return npst.arrays(dtype, st.integers(1, 40), elements=elements, fill=st.nothing())


@given(st.data(), st.sampled_from(WHOLE + REAL))
def test_quartiles_are_those_of_the_sorted_numbers(data, dtype):
    array = data.draw(arrays(dtype))
    if np.dtype(dtype) in (np.dtype("i8"), np.dtype("u8"), np.dtype("f8")):
        # Differences of such numbers overflow in NumPy as here; ranks are what counts.
        array = array.clip(0, 1 << 40) if np.dtype(dtype).kind != "f" else array
    cuts = sorted(data.draw(st.lists(st.integers(0, len(array)), max_size=4)))
    with np.errstate(over="ignore"):
        assert_quartiles(array, cuts)


@pytest.mark.parametrize("dtype", WHOLE + REAL)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 100_000, 100_003])
def test_of_many_numbers(dtype, count):
    array = np.random.default_rng(count).normal(50, 20, count).clip(0, 127)
    assert_quartiles(array.astype(dtype), [count // 3])


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("ties", [1, 7])
def test_of_odd_numbers(dtype, ties):
    """Zeros of either sign, subnormals, the largest; all of them several times."""
    array = np.repeat(np.array(ODD[:8], dtype), ties)
    np.random.default_rng(0).shuffle(array)
    assert_quartiles(array)


@pytest.mark.parametrize("dtype", ["f4", "i4"])
def test_numbers_that_differ_in_the_last_bit_alone(dtype):
    """All of them share the digit of the first pass, and the quartiles the second's."""
    start = np.array(1000, dtype).view("u4")
    array = (start + np.arange(1001, dtype="u4")).view(dtype)
    assert_quartiles(np.random.default_rng(0).permutation(array))


def test_numbers_on_both_sides_of_a_digit():
    edge = np.array([0x3F80FFFF, 0x3F810000], "u4").view("f4")
    assert_quartiles(np.repeat(edge, [2, 2]))
    assert_quartiles(np.repeat(edge, [1, 3]))


def test_longer_numbers_are_rounded_to_64_bits():
    array = np.random.default_rng(0).normal(size=99).astype(np.longdouble)
    wanted = np.quantile(array.astype("f8"), [0.25, 0.5, 0.75])
    np.testing.assert_array_equal(quartiles_of(array), wanted)


@pytest.mark.parametrize("dtype", ["i1", "i2", "f4", ">f4", "f8"])
def test_measured_of_a_tomogram(dtype):
    array = np.random.default_rng(1).normal(60, 20, (9, 30, 31)).clip(0, 120)
    array = array.astype(dtype)
    volume = open_volume(array, 10.0)
    robust, plain = measure(volume, kind="robust"), measure(volume)
    wanted = np.quantile(array.astype("f8"), [0.25, 0.5, 0.75])
    np.testing.assert_array_equal(robust.quartiles, wanted)
    assert robust.centre == wanted[1]
    assert robust.deviation == pytest.approx((wanted[2] - wanted[0]) / 1.349)
    assert (plain.centre, plain.deviation) == (robust.mean, robust.std)
    turned = measure(open_volume(np.asfortranarray(array), 10.0), kind="robust")
    assert turned == robust


def test_of_normal_noise_they_are_mean_and_deviation():
    array = np.random.default_rng(2).normal(3, 20, (40, 100, 100)).astype("f4")
    found = measure(open_volume(array, 10.0), kind="robust")
    assert found.centre == pytest.approx(3, abs=0.2)
    assert found.deviation == pytest.approx(20, rel=0.01)


def test_voxels_far_away_hardly_move_them():
    array = np.random.default_rng(2).normal(0, 1, (40, 100, 100)).astype("f4")
    before = measure(open_volume(array, 10.0), kind="robust")
    array[:2] = 1e4  # a twentieth of all
    after = measure(open_volume(array, 10.0), kind="robust")
    assert after.std > 1000
    assert after.deviation == pytest.approx(before.deviation, rel=0.1)
    out = np.empty_like(array)
    Normaliser.zscore(after)(array, out)
    assert out[2:].std() == pytest.approx(1, rel=0.1)
    assert (out[:2] == 10).all()
    Normaliser.zscore(after, invert=True)(array, out)
    assert (out[:2] == -10).all()
    Normaliser.zscore(measure(open_volume(array * 1e3, 10.0)))(array * 1e6, out)
    assert out.max() > 100  # plain statistics limit nothing


@pytest.mark.parametrize("dtype", ["i1", "f4"])
def test_half_of_the_voxels_alike_are_refused(dtype):
    array = np.random.default_rng(2).normal(0, 30, (10, 10, 10)).clip(-99, 99)
    array = array.astype(dtype)
    array[2:8] = 5
    with pytest.raises(TomogramError, match=r"half .* value 5.*--robust"):
        measure(open_volume(array, 10.0), kind="robust")
    measure(open_volume(array, 10.0))


def test_ticks_count_the_planes_of_both_passes():
    seen = []
    array = np.arange(60, dtype="f4").reshape(3, 4, 5)
    measure(open_volume(array, 1.0), lambda *now: seen.append(now), "robust")
    assert seen == [(done, 6) for done in range(1, 7)]


def test_memory_is_that_of_blocks():
    array = np.random.default_rng(2).normal(0, 1, (400, 100, 250)).astype("f4")
    volume = open_volume(array, 10.0)
    tracemalloc.start()
    try:
        measure(volume, kind="robust")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < array.nbytes / 4


def test_an_unknown_word_is_refused(tiny_model):
    from dep.engine.model_file import read_card

    with pytest.raises(SettingError, match="statistics: expected plain or robust"):
        PickSettings.of(read_card(tiny_model), statistics="sturdy")
