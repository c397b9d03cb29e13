"""Voxels that are stored in chunks: read through a window in memory, or unpacked."""

import math
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.mapped_pages import MappedPages
from dep.engine.plane_window import PlaneWindow
from dep.engine.unpack import scratch_file

# A layer of chunks that takes more than this is not held in memory but unpacked.
MOST_IN_MEMORY = 256 << 20
# Bytes that are decoded at once; of what comes from far away more, all of which is
# asked for at the same time.
AT_ONCE = 16 << 20
FETCHED_AT_ONCE = 64 << 20

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class ChunkStore:
    """Voxels that are stored in chunks, which are decoded when they are read.

    Attributes
    ----------
    label : str
        What messages call it.
    shape, dtype
        z, y, x; as `load` gives them.
    chunk : (int, int, int)
        z, y, x: what is decoded at once.
    load : callable
        Gives the voxels of a box; raises `TomogramError`.
    close : callable
        Lets the file go.
    costly : bool
        Chunks come from far away: each is fetched once, and kept in a file.
    """

    label: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    chunk: tuple[int, int, int]
    load: Callable[[Box], NDArray[Any]]
    close: Callable[[], None]
    costly: bool = False

    @property
    def slab(self) -> int:
        """Bytes of all planes that one layer of chunks holds."""
        _, height, width = self.shape
        return min(self.chunk[0], self.shape[0]) * height * width * self.dtype.itemsize

    @property
    def at_once(self) -> int:
        """Bytes that are decoded at once, if a chunk is not more."""
        return FETCHED_AT_ONCE if self.costly else AT_ONCE

    @property
    def decoding(self) -> int:
        """Bytes that decoding takes beside what it fills: a box, and its chunks."""
        chunk = math.prod(self.chunk) * self.dtype.itemsize
        return 2 * max(min(self.at_once, self.slab), chunk)

    def boxes(self, z0: int, z1: int, most: int) -> Iterator[Box]:
        """Cut planes into boxes of whole chunks, of `most` bytes or one chunk at most.

        Plane `z0` must be the first of a layer of chunks.
        """
        _, height, width = self.shape
        inner, down, across = self.chunk
        size = self.dtype.itemsize
        deep = _multiple(inner, z1 - z0, most // (height * width * size))
        wide = _multiple(across, width, most // (deep * size * min(down, height)))
        high = _multiple(down, height, most // (deep * size * min(wide, width)))
        for z in range(z0, z1, deep):
            for y in range(0, height, high):
                for x in range(0, width, wide):
                    yield (
                        slice(z, min(z + deep, z1)),
                        slice(y, min(y + high, height)),
                        slice(x, min(x + wide, width)),
                    )


def _multiple(chunk: int, length: int, most: int) -> int:
    """Give the largest multiple of a chunk's edge up to `most`, one chunk at least."""
    chunk = min(chunk, length)
    return max(most // chunk, 1) * chunk


class ChunkedPlanes:
    """Planes of a chunked store, with a window in memory of the chunks at hand."""

    def __init__(self, store: ChunkStore) -> None:
        self._store = store
        self._window = PlaneWindow(
            store.shape, store.dtype, self._fill, step=store.chunk[0]
        )
        self._whole: UnpackedPlanes | None = None
        self.shape = store.shape
        self.dtype = store.dtype

    def read(self, z0: int, z1: int) -> NDArray[Any]:
        """Give planes; each chunk is decoded once while reading goes on in z."""
        planes = self._window.read(z0, z1)
        planes.flags.writeable = False
        return planes

    def rest(self) -> None:
        """Do nothing: the window serves the next reads."""

    def held(self, planes: int, /) -> int:
        """Count the window, and what fills it."""
        return self._window.held(planes) + self._store.decoding

    def widen(self, planes: int, /) -> None:
        """Make the window that large."""
        self._window.widen(planes)

    def whole(self) -> NDArray[Any]:
        """Unpack into a temporary file."""
        if self._whole is None:
            self._whole = UnpackedPlanes(self._store)
        return self._whole.whole()

    def close(self) -> None:
        """Let the file go."""
        self._store.close()

    def _fill(self, z0: int, z1: int, out: NDArray[Any]) -> None:
        for box in self._store.boxes(z0, z1, self._store.at_once):
            inside = slice(box[0].start - z0, box[0].stop - z0)
            out[inside, *box[1:]] = self._store.load(box)


class UnpackedPlanes:
    """Planes of a chunked store, unpacked into a temporary file as they are read.

    The file has no name and goes with the last view of it. It takes the tomogram's
    size in TMPDIR, which is asked for first.
    """

    def __init__(self, store: ChunkStore) -> None:
        self._store = store
        self.shape = store.shape
        self.dtype = store.dtype
        size = math.prod(store.shape) * store.dtype.itemsize
        with scratch_file(store.label, size) as file:
            mapping = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_WRITE)
        self._array: NDArray[Any] = np.ndarray(store.shape, store.dtype, mapping)
        self._pages = MappedPages(mapping, 0, self._array[0].nbytes)
        self._step = min(store.chunk[0], store.shape[0])
        # Whether the planes from each multiple of `_step` on are there.
        self._there = np.zeros(-(-store.shape[0] // self._step), bool)

    def read(self, z0: int, z1: int) -> NDArray[Any]:
        """Give planes; what is not there yet is fetched."""
        for number in range(z0 // self._step, -(-z1 // self._step)):
            if not self._there[number]:
                self._fetch(number)
        planes = self._array[z0:z1]
        planes.flags.writeable = False
        self._pages.keep(z0, z1)
        return planes

    def rest(self) -> None:
        """Let go of all pages; views of them read them again."""
        self._pages.keep(0, 0)

    def held(self, _planes: int, /) -> int:
        """Count what is fetched at once."""
        return self._store.decoding

    def widen(self, planes: int, /) -> None:
        """Do nothing."""

    def whole(self) -> NDArray[Any]:
        """Fetch all that is not there yet."""
        for number in np.flatnonzero(~self._there):
            self._fetch(int(number))
        self.rest()
        array = self._array.view()
        array.flags.writeable = False
        return array

    def close(self) -> None:
        """Let the file go."""
        self._store.close()

    def _fetch(self, number: int) -> None:
        z0 = number * self._step
        z1 = min(z0 + self._step, self.shape[0])
        for box in self._store.boxes(z0, z1, self._store.at_once):
            voxels = self._store.load(box)
            # A layer may be the whole tomogram, and its pages count as memory too.
            step = max(1, self._store.at_once // self._array[0].nbytes)
            for z in range(0, len(voxels), step):
                part = voxels[z : z + step]
                first = box[0].start + z
                self._array[first : first + len(part), *box[1:]] = part
                self._pages.keep(0, 0)
        self._there[number] = True


def planes_of(store: ChunkStore) -> ChunkedPlanes | UnpackedPlanes:
    """Read a chunked store through memory, or through a file where that is too small.

    The file is taken where a layer of chunks is larger than `MOST_IN_MEMORY`, or where
    fetching a chunk twice would be slow.
    """
    if store.costly or store.slab > MOST_IN_MEMORY:
        return UnpackedPlanes(store)
    return ChunkedPlanes(store)
