"""Voxels that are read plane by plane: from an array, or from a mapped file."""

import math
import mmap
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import TomogramError
from dep.engine.mapped_pages import MappedPages
from dep.engine.watched_file import WatchedFile


class Planes(Protocol):
    """Voxels (z, y, x) that can be read plane by plane."""

    @property
    def shape(self) -> tuple[int, ...]:
        """z, y, x."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored, byte order included."""
        ...

    def read(self, z0: int, z1: int) -> NDArray[Any]:
        """Give planes z0 to z1 - 1; the next read may overwrite them."""
        ...

    def rest(self) -> None:
        """Say that what was read so far is not needed for now."""
        ...

    def held(self, planes: int, /) -> int:
        """Say how many bytes of memory it takes to read so many planes at once."""
        ...

    def widen(self, planes: int, /) -> None:
        """Expect reads of so many planes at once."""
        ...

    def whole(self) -> NDArray[Any]:
        """Give all voxels as one array, read-only, which may lie in a file."""
        ...

    def close(self) -> None:
        """Let the file go."""
        ...


class ArrayPlanes:
    """Voxels in an array of the caller's; never copied, never written to."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def read(self, z0: int, z1: int) -> NDArray[Any]:
        """Give a view."""
        return self._array[z0:z1]

    def rest(self) -> None:
        """Do nothing."""

    def held(self, _planes: int, /) -> int:
        """Take no memory: the array is the caller's."""
        return 0

    def widen(self, planes: int, /) -> None:
        """Do nothing."""

    def whole(self) -> NDArray[Any]:
        """Give the array itself."""
        return self._array

    def close(self) -> None:
        """Do nothing."""


class MappedPlanes(ArrayPlanes):
    """Voxels in a mapped file.

    Views handed out before `close` stay valid as long as they live.

    Parameters
    ----------
    array : array (z, y, x)
        On the map.
    file : WatchedFile
        The file that is mapped.
    pages : MappedPages
        Of that file; let go when reading has moved on.
    """

    def __init__(
        self, array: NDArray[Any], file: WatchedFile, pages: MappedPages
    ) -> None:
        super().__init__(array)
        self._file = file
        self._pages: MappedPages | None = pages

    def read(self, z0: int, z1: int) -> NDArray[Any]:
        """Give a view; the file's length is checked first (see `WatchedFile`)."""
        self._file.check()
        planes = self._array[z0:z1]
        if self._pages is not None:
            self._pages.keep(z0, z1)
        return planes

    def rest(self) -> None:
        """Let go of all pages; views of them read them again."""
        if self._pages is not None:
            self._pages.keep(0, 0)

    def close(self) -> None:
        """Let the file go."""
        self._pages = None
        self._file.close()


def map_voxels(
    path: Path,
    stream: IO[bytes],
    offset: int,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    *,
    kind: str = "",
    unpacked: bool = False,
) -> tuple[MappedPlanes, tuple[str, ...]]:
    """Map voxels that lie in a file one after the other, x fastest.

    Parameters
    ----------
    path, stream
        The file; `path` is for messages.
    offset : int
        Bytes before the first voxel.
    shape, dtype
        Of the voxels, z, y, x.
    kind : str
        What messages add to "voxels".
    unpacked : bool
        `stream` is what a compressed file was unpacked to.

    Returns
    -------
    (planes, warnings)
        Bytes after the last voxel are accepted with a warning: some programs append
        to such files.

    Raises
    ------
    TomogramError
        The file is shorter than it must be.
    """
    found = stream.seek(0, 2)
    expected = offset + math.prod(shape) * dtype.itemsize
    if found < expected:
        depth, height, width = shape
        message = (
            f"{path}: the file is truncated: expected {expected} bytes for "
            f"{width} x {height} x {depth} voxels{kind}, found {found}"
            f"{' after unpacking' if unpacked else ''}. Copy it again, or wait "
            "until it is written."
        )
        raise TomogramError(message)
    warnings: tuple[str, ...] = ()
    if found > expected:
        warnings = (
            f"{path}: {'at least ' if unpacked else ''}{found - expected} bytes "
            "after the last voxel were ignored",
        )
    mapping = mmap.mmap(stream.fileno(), expected, access=mmap.ACCESS_READ)
    # Read-only, as the mapping is, which lives as long as the array or a view of it.
    array: NDArray[Any] = np.ndarray(shape, dtype, mapping, offset)
    planes = MappedPlanes(
        array,
        WatchedFile(path, stream.fileno(), expected),
        MappedPages(mapping, offset, array[0].nbytes),
    )
    return planes, warnings
