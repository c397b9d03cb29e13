"""A resampled tomogram shows the same thing in another frame."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dep.engine import TomogramError, open_volume
from dep.engine.resample import ResampledVolume, resampled_length

sizes = st.floats(4.0, 25.0)


@given(st.tuples(*[st.integers(2, 14)] * 3), sizes, sizes)
def test_a_linear_ramp_is_reproduced_exactly_faces_included(shape, old, new):
    z, y, x = np.indices(shape, float)
    ramp = 3 * z - 2 * y + 0.5 * x + 7
    seen = ResampledVolume(open_volume(ramp, old), new)
    planes = seen.read(0, seen.shape[0])
    at = np.indices(seen.shape) * seen.factor
    # The last voxel may lie a rounding beyond the last centre.
    expected = 3 * at[0] - 2 * at[1] + 0.5 * at[2] + 7
    np.testing.assert_allclose(planes, expected, atol=2e-4)


@given(st.integers(1, 3000), st.floats(0.1, 10))
def test_voxels_lie_between_the_first_and_the_last_centre(length, factor):
    new = resampled_length(length, factor)
    assert new >= 1
    assert (new - 1) * factor <= (length - 1) + 1e-5 * factor
    assert new * factor > (length - 1) - 1e-5 * factor


def test_the_same_voxel_size_changes_nothing():
    array = np.random.default_rng(0).normal(size=(5, 6, 7)).astype("f4")
    seen = ResampledVolume(open_volume(array, 10.0), 10.0)
    np.testing.assert_array_equal(seen.read(0, 5), array)


def test_a_particle_stays_where_it_is():
    centre = np.array([17.0, 25.5, 30.25])  # z, y, x
    z, y, x = np.indices((40, 50, 60))
    blob = np.exp(
        -((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2) / 30
    )
    for new in (4.0, 7.3, 13.48):
        seen = ResampledVolume(open_volume(blob, 5.0), new)
        planes = seen.read(0, seen.shape[0]).astype(float)
        found = [
            (planes * axis).sum() / planes.sum() for axis in np.indices(seen.shape)
        ]
        np.testing.assert_allclose(np.array(found) * seen.factor, centre, atol=0.02)


def test_what_the_new_frame_cannot_hold_is_removed():
    """A checkerboard is the finest detail; at a third of the sampling it must go."""
    z, y, x = np.indices((30, 30, 30))
    board = ((z + y + x) % 2 * 2 - 1).astype("f4")
    seen = ResampledVolume(open_volume(board, 5.0), 15.0)
    assert np.abs(seen.read(2, 8)[:, 2:-2, 2:-2]).max() < 0.02


WINDOWS = [(0, 5), (3, 9), (9, 10), (2, 4), (0, 21), (4, 6), (3, 20), (1, 7), (6, 12)]


@pytest.mark.parametrize("window", [1, 6, 100])
def test_moving_the_window_loses_nothing(window):
    array = np.random.default_rng(0).normal(0, 50, (30, 20, 25)).astype("f4")
    volume = open_volume(array, 7.0)
    expected = ResampledVolume(volume, 10.0).read(0, 21).copy()
    seen = ResampledVolume(volume, 10.0, window=window)
    for z0, z1 in [*WINDOWS, *WINDOWS[::-1]]:
        np.testing.assert_array_equal(seen.read(z0, z1), expected[z0:z1])


def test_planes_that_overlap_are_computed_once(monkeypatch):
    array = np.random.default_rng(0).normal(0, 50, (40, 8, 8)).astype("f4")
    seen = ResampledVolume(open_volume(array, 10.0), 10.0, window=12)
    computed = []
    plane = seen._plane
    monkeypatch.setattr(seen, "_plane", lambda z: computed.append(z) or plane(z))
    for z0 in (0, 0, 8, 16, 24):
        seen.read(z0, z0 + 12)
    assert computed == list(range(36))


def test_a_plane_that_fails_leaves_nothing_wrong_behind(monkeypatch):
    def fail(_z):
        message = "cut short"
        raise TomogramError(message)

    array = np.random.default_rng(0).normal(0, 50, (20, 8, 8)).astype("f4")
    seen = ResampledVolume(open_volume(array, 10.0), 10.0, window=8)
    seen.read(0, 8)
    with monkeypatch.context() as broken:
        broken.setattr(seen, "_plane", fail)
        with pytest.raises(TomogramError, match="cut short"):
            seen.read(4, 12)
    np.testing.assert_array_equal(seen.read(0, 8), array[:8])
    np.testing.assert_array_equal(seen.read(4, 12), array[4:12])


def test_one_window_is_held_and_never_two():
    array = np.random.default_rng(0).normal(0, 50, (96, 60, 60)).astype("i1")
    volume = open_volume(array, 10.0)
    tracemalloc.start()
    try:
        seen = ResampledVolume(volume, 9.0, window=40)
        for z0, z1 in [(0, 1), (50, 51), (0, 30), (20, 60), (50, 90), (66, 106)]:
            planes = seen.read(z0, z1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert planes.shape[0] == 40
    assert peak < 1.4 * planes.nbytes


@pytest.mark.parametrize("dtype", ["i1", ">i2", "f4"])
def test_planes_do_not_depend_on_how_they_are_read(dtype):
    array = np.random.default_rng(0).normal(0, 50, (30, 20, 25)).clip(-99, 99)
    volume = open_volume(array.astype(dtype), 7.0)
    whole = ResampledVolume(volume, 10.0)
    expected = whole.read(0, whole.shape[0]).copy()
    parts = ResampledVolume(volume, 10.0)
    for z0, z1 in [(0, 5), (3, 9), (9, 10), (2, 4), (0, whole.shape[0]), (4, 6)]:
        np.testing.assert_array_equal(parts.read(z0, z1), expected[z0:z1])
    assert expected.dtype == np.float32
