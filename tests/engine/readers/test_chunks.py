"""Chunks of any shape give the same planes, in the memory that is said."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine import open_volume
from dep.engine.mapped_pages import MappedPages
from dep.engine.readers import chunks

NUMBERS = ["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", "<f2", "<f4", ">f4", "<f8"]


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(2, 9), st.integers(1, 9), st.integers(2, 9)),
    chunk=st.tuples(*[st.integers(1, 12)] * 3),
    dtype=st.sampled_from(NUMBERS),
    reads=st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9)), max_size=6),
    unpacked=st.booleans(),
    at_once=st.sampled_from([1, 200, 1 << 20]),
)
def test_chunks_of_any_shape_give_the_same_planes(
    shape,
    chunk,
    dtype,
    reads,
    unpacked,
    at_once,
    voxels,
):
    array = voxels(dtype, shape)
    loaded = []

    def load(box):
        loaded.append(tuple(part.start for part in box))
        return array[box]

    store = chunks.ChunkStore(
        "a", shape, array.dtype, chunk, load, lambda: None, costly=unpacked
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "AT_ONCE", at_once)
        patch.setattr(chunks, "FETCHED_AT_ONCE", at_once)
        planes = chunks.planes_of(store)
        assert isinstance(planes, chunks.UnpackedPlanes) == unpacked
        for z in range(shape[0]):
            np.testing.assert_array_equal(planes.read(z, z + 1)[0], array[z])
        # Reading on in z decodes every chunk once.
        assert len(loaded) == len(set(loaded))
        for z0, length in reads:
            z0, z1 = min(z0, shape[0] - 1), min(z0 + length, shape[0])
            np.testing.assert_array_equal(planes.read(z0, z1), array[z0:z1])
        np.testing.assert_array_equal(planes.whole(), array)
    if unpacked:
        assert len(loaded) == len(set(loaded))


def test_layers_of_chunks_that_memory_does_not_hold_go_to_a_file(monkeypatch, voxels):
    array = voxels("f4", (8, 16, 16))
    store = chunks.ChunkStore(
        "a", array.shape, array.dtype, (4, 8, 8), array.__getitem__, lambda: None
    )
    assert isinstance(chunks.planes_of(store), chunks.ChunkedPlanes)
    monkeypatch.setattr(chunks, "MOST_IN_MEMORY", 4 * 16 * 16 * 4 - 1)
    planes = chunks.planes_of(store)
    assert isinstance(planes, chunks.UnpackedPlanes)
    assert planes.held(8) == 2 * 4 * 16 * 16 * 4  # a layer of chunks, and its copy
    np.testing.assert_array_equal(planes.read(2, 7), array[2:7])


def test_a_window_holds_what_it_says(voxels):
    array = voxels("i1", (40, 10, 10))
    store = chunks.ChunkStore(
        "a", array.shape, array.dtype, (8, 10, 10), array.__getitem__, lambda: None
    )
    planes = chunks.ChunkedPlanes(store)
    for count, most in ((1, 8), (8, 16), (9, 16), (10, 24), (40, 40)):
        assert planes.held(count) == most * 100 + store.decoding
        spans = [(z, z + count) for z in range(40 - count + 1)]
        needed = max(-(-z1 // 8) * 8 - z0 // 8 * 8 for z0, z1 in spans)
        assert most == min(needed, 40)


def test_decoding_takes_what_it_says(voxels):
    loaded = []

    def load(box):
        loaded.append(math.prod(part.stop - part.start for part in box))
        return array[box]

    array = voxels("u1", (20, 300, 400))
    for chunk in ((5, 30, 40), (20, 300, 400), (1, 300, 400)):
        store = chunks.ChunkStore(
            "a", array.shape, array.dtype, chunk, load, lambda: None
        )
        loaded.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunks, "AT_ONCE", 200_000)
            chunks.ChunkedPlanes(store).read(0, 20)
            assert 2 * max(loaded) <= store.decoding
            assert max(loaded) == math.prod(chunk) or max(loaded) <= 200_000


def test_turning_takes_boxes_of_the_file_and_lets_pages_go(tmp_path, voxels):
    """Of a file whose z is fastest, neither it nor what it is turned to is held."""
    array = voxels("f4", (30, 200, 300))
    np.save(tmp_path / "a.npy", np.asfortranarray(array))
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "FETCHED_AT_ONCE", 1 << 20)
        whole = MappedPages.keep
        patch.setattr(
            MappedPages, "keep", lambda *words: kept.append(words[1:]) or whole(*words)
        )
        with open_volume(tmp_path / "a.npy", 10.0) as volume:
            np.testing.assert_array_equal(volume.read(7, 9), array[7:9])
            np.testing.assert_array_equal(volume.read(0, 30), array)
    # 7.2 MB in boxes of 1 MiB, each written four planes at a time.
    assert kept.count((0, 0)) >= 7 * 30 // 4
