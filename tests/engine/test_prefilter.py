"""A filtered tomogram is what a Gaussian makes of the whole, however it is read."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dep.engine import Picker, SettingError, TomogramError, open_volume
from dep.engine.prefilter import HALF, TRUNCATE, FilteredVolume
from dep.engine.readers.chunks import ChunkedPlanes, ChunkStore
from dep.engine.resample import ResampledVolume
from dep.engine.volume import Volume

VOXEL = 10.0
FILTERS = [(40.0, None), (None, 150.0), (30.0, 120.0)]


def reference(array, lowpass, highpass):
    """Filter the whole with SciPy; its radius is rounded, ours is rounded up."""
    depth, height, width = array.shape
    moved = array.astype(float) - float(array[depth // 2, height // 2, width // 2])

    def smooth(length):
        sigma = HALF * length / VOXEL
        radius = math.ceil(TRUNCATE * sigma)
        return ndimage.gaussian_filter(moved, sigma, mode="reflect", radius=radius)

    low = moved if lowpass is None else smooth(lowpass)
    return low if highpass is None else low - smooth(highpass)


@settings(max_examples=30)
@given(
    shape=st.tuples(*[st.integers(1, 24)] * 3),
    lowpass=st.one_of(st.none(), st.floats(5, 90)),
    ratio=st.one_of(st.none(), st.floats(1.1, 4)),
    dtype=st.sampled_from(["i1", ">i2", "f4", "f8"]),
)
def test_streaming_gives_what_the_whole_gives(shape, lowpass, ratio, dtype):
    highpass = None if ratio is None else ratio * (lowpass or 40.0)
    if lowpass is None and highpass is None:
        lowpass = 20.0
    rng = np.random.default_rng(0)
    array = rng.normal(20, 30, shape).clip(-99, 99).astype(dtype)
    seen = FilteredVolume(Volume(array, VOXEL), VOXEL, lowpass, highpass)
    found = seen.read(0, shape[0])
    np.testing.assert_allclose(found, reference(array, lowpass, highpass), atol=3e-4)


@pytest.mark.parametrize(("lowpass", "highpass"), FILTERS)
def test_planes_do_not_depend_on_how_they_are_read(lowpass, highpass):
    array = np.random.default_rng(0).normal(0, 30, (40, 11, 13)).astype("f4")
    volume = Volume(array, VOXEL)
    whole = FilteredVolume(volume, VOXEL, lowpass, highpass).read(0, 40).copy()
    seen = FilteredVolume(volume, VOXEL, lowpass, highpass)
    for z0, z1 in [(0, 1), (1, 2), (0, 20), (12, 32), (24, 40), (39, 40), (3, 5)]:
        np.testing.assert_array_equal(seen.read(z0, z1), whole[z0:z1])


@pytest.mark.parametrize(("lowpass", "highpass"), FILTERS)
@pytest.mark.parametrize("chunk", [1, 4, 16])
def test_every_chunk_is_decoded_once_on_the_way(lowpass, highpass, chunk):
    array = np.random.default_rng(0).normal(0, 30, (40, 8, 8)).astype("f4")
    loaded = []

    def load(box):
        loaded.extend(range(box[0].start, box[0].stop, chunk))
        return array[box]

    store = ChunkStore("a", array.shape, array.dtype, (chunk, 8, 8), load, lambda: None)
    seen = FilteredVolume(Volume(ChunkedPlanes(store), VOXEL), VOXEL, lowpass, highpass)
    seen.widen(12)
    for z in (0, 8, 16, 24, 28):
        seen.read(z, z + 12)
    middle = array.shape[0] // 2 // chunk * chunk  # looked at first, for its voxel
    assert sorted(loaded) == sorted([middle, *range(0, 40, chunk)])


def waves(length, shape=(64, 64, 64)):
    """Make waves of so many ångström along x."""
    x = np.arange(shape[2]) * VOXEL
    return np.broadcast_to(np.sin(2 * np.pi * x / length), shape).astype("f4")


def left(length, **filters):
    """Say what part of the amplitude is left, away from the faces."""
    seen = FilteredVolume(Volume(waves(length), VOXEL), VOXEL, **filters)
    inside = slice(20, 44)
    found = seen.read(30, 34)[:, inside, inside]
    expected = waves(length)[30:34, inside, inside]
    return float(np.sqrt((found - found.mean()).var() / expected.var()))


def test_half_of_the_amplitude_is_left_at_the_wavelength_named():
    for length in (40.0, 80.0):
        assert left(length, lowpass=length) == pytest.approx(0.5, abs=0.02)
        assert left(length, highpass=length) == pytest.approx(0.5, abs=0.02)
    assert left(160.0, lowpass=40.0) > 0.93
    assert left(30.0, lowpass=80.0) < 0.01
    assert left(30.0, highpass=120.0) > 0.99
    assert left(80.0, lowpass=30.0, highpass=400.0) > 0.8


def test_a_large_mean_costs_no_digits():
    array = np.random.default_rng(0).normal(0, 1, (9, 20, 20)) + 1e6
    seen = FilteredVolume(Volume(array, VOXEL), VOXEL, 40.0)
    np.testing.assert_allclose(seen.read(0, 9), reference(array, 40.0, None), atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("z", [2, 5])
def test_voxels_that_are_no_numbers_are_named_by_their_plane(value, z):
    array = np.zeros((10, 8, 8), "f4")
    array[z, 4, 4] = value
    seen = FilteredVolume(Volume(array, VOXEL, "TS_9"), VOXEL, 40.0)
    with pytest.raises(TomogramError, match=rf"TS_9: 1 voxels of plane {z} "):
        seen.read(0, 10)


@pytest.mark.parametrize(("lowpass", "highpass"), [(40.0, None), (40.0, 200.0)])
def test_it_takes_the_memory_it_says(lowpass, highpass):
    array = np.random.default_rng(0).normal(0, 30, (96, 80, 80)).astype("i1")
    tracemalloc.start()
    try:
        seen = FilteredVolume(Volume(array, VOXEL), VOXEL, lowpass, highpass)
        seen.widen(24)
        for z in range(0, 72, 12):
            planes = seen.read(z, z + 24)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert planes.shape[0] == 24
    plane = planes[0].nbytes
    assert seen.held(24) < peak < 1.1 * seen.held(24) + 40 * plane
    assert seen.held(24) < 24 * plane + 50 * plane


def test_it_follows_resampling():
    array = np.random.default_rng(0).normal(0, 30, (30, 24, 28)).astype("f4")
    resampled = ResampledVolume(open_volume(array, 7.0), VOXEL)
    whole = resampled.read(0, resampled.shape[0]).copy()
    seen = FilteredVolume(ResampledVolume(open_volume(array, 7.0), VOXEL), VOXEL, 40.0)
    seen.widen(6)
    np.testing.assert_allclose(
        seen.read(3, 9), reference(whole, 40.0, None)[3:9], atol=1e-4
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"lowpass": 0.0}, "lowpass: expected a number of ångström above 0, found 0"),
        ({"highpass": math.inf}, "highpass: expected a number"),
        ({"lowpass": 50.0, "highpass": 50.0}, r"more ångström than .*\(50\.0\)"),
    ],
)
def test_filters_that_make_no_sense(tiny_model, wrong, words):
    with (
        Picker(tiny_model, threads=1) as picker,
        pytest.raises(SettingError, match=words),
    ):
        picker.pick(np.zeros((30, 30, 30), "f4"), VOXEL, **wrong)


def test_picking_sees_the_filtered_tomogram(tiny_model, make_tomogram, tmp_path):
    """As if the filtered voxels had been written to a file and picked from there."""
    array = make_tomogram(tmp_path / "a.mrc")
    seen = FilteredVolume(open_volume(array, VOXEL), VOXEL, 30.0, 300.0)
    filtered = seen.read(0, array.shape[0]).copy()
    with Picker(tiny_model, threads=1) as picker:
        streamed = picker.pick(tmp_path / "a.mrc", lowpass=30.0, highpass=300.0)
        expected = picker.pick(filtered, VOXEL)
    assert (streamed.settings.lowpass, streamed.settings.highpass) == (30.0, 300.0)
    assert len(expected) >= 3
    np.testing.assert_array_equal(streamed.xyz, expected.xyz)
    np.testing.assert_array_equal(streamed.score, expected.score)
