"""Open a tomogram, from a file or an array, as planes that can be read in turn."""

import math
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import TomogramError, VoxelSizeError
from dep.engine.mapped_pages import MappedPages
from dep.engine.mrc import open_mrc
from dep.engine.watched_file import WatchedFile

COMPRESSED_SUFFIXES = (".gz", ".bz2")
TOMOGRAM_SUFFIXES = (".mrc", ".rec", ".map", ".st")


class PlaneSource(Protocol):
    """Planes (z, y, x) that can be read in turn."""

    @property
    def label(self) -> str:
        """What messages call it: its file, or its name where there is none."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """z, y, x in voxels."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the planes."""
        ...

    def read(self, z0: int, z1: int) -> NDArray[Any]:
        """Give planes z0 to z1 - 1, not to be written to.

        The next read may overwrite them.
        """
        ...

    def rest(self) -> None:
        """Say that what was read so far is not needed for now."""
        ...


class Volume:
    """A tomogram: voxels (z, y, x) behind a memory map or in an array.

    A context manager; the map is let go by `close`. Views handed out before stay
    valid as long as they live.

    Parameters
    ----------
    array : array (z, y, x)
        The voxels; never copied, never written to.
    voxel_size : float
        Ångström.
    name : str
        What outputs call the tomogram.
    path : path, optional
        Where it came from.
    warnings : tuple of str
        Remarks made while opening.
    file : WatchedFile, optional
        The file that is mapped; closed with the volume.
    pages : MappedPages, optional
        Of that file; let go when reading has moved on.

    Attributes
    ----------
    shape : (int, int, int)
        z, y, x.
    dtype : numpy.dtype
        As stored, byte order included.

    Raises
    ------
    TomogramError
        Not three-dimensional, without voxels, or complex.
    VoxelSizeError
        A voxel size that is not a number above 0.
    """

    def __init__(
        self,
        array: NDArray[Any],
        voxel_size: float,
        name: str = "tomogram",
        path: Path | None = None,
        warnings: tuple[str, ...] = (),
        file: WatchedFile | None = None,
        pages: MappedPages | None = None,
    ) -> None:
        label = str(path or name)
        if array.ndim != 3:
            message = (
                f"{label}: expected a tomogram of three dimensions (z, y, x), found "
                f"an array of shape {array.shape}"
            )
            raise TomogramError(message)
        if array.size == 0:
            message = f"{label}: a tomogram without voxels, shape {array.shape}"
            raise TomogramError(message)
        if array.dtype.kind not in "iufb":
            message = (
                f"{label}: voxels of type {array.dtype} cannot be picked; "
                "expected whole or real numbers"
            )
            raise TomogramError(message)
        if not math.isfinite(voxel_size) or voxel_size <= 0:
            message = (
                f"{label}: a voxel size of {voxel_size} Å makes no sense; expected a "
                "number above 0. Give it with --voxel-size (voxel_size=...)."
            )
            raise VoxelSizeError(message)
        self._array: NDArray[Any] | None = array
        self.shape: tuple[int, int, int] = (
            array.shape[0],
            array.shape[1],
            array.shape[2],
        )
        self.dtype: np.dtype[Any] = array.dtype
        self.voxel_size = float(voxel_size)
        self.name = name
        self.path = path
        self.warnings = warnings
        self._file = file
        self._pages = pages

    @property
    def array(self) -> NDArray[Any]:
        """The voxels (z, y, x), read-only in spirit; a memory map for a file."""
        if self._array is None:
            message = f"{self.label}: the tomogram is closed"
            raise TomogramError(message)
        return self._array

    @property
    def label(self) -> str:
        """What messages call it: its file, or its name where there is none."""
        return str(self.path or self.name)

    def read(self, z0: int, z1: int) -> NDArray[Any]:
        """Give a view of planes z0 to z1 - 1, as stored.

        The length of a mapped file is checked first, because a read beyond the end of
        a file that was cut short since it was opened kills the process (SIGBUS). That
        narrows the window and does not close it: the view is read later than that.

        Other planes of a mapped file do not stay in memory: reading a tomogram through
        takes the memory of the planes that are read at once. Views of them are good as
        long as they live, and read the file again.

        Raises
        ------
        TomogramError
            The tomogram is closed, or its file is shorter by now.
        """
        if self._file is not None:
            self._file.check()
        planes = self.array[z0:z1]
        if self._pages is not None:
            self._pages.keep(z0, z1)
        return planes

    def rest(self) -> None:
        """Let go of all pages of a mapped file; views of them read them again."""
        if self._pages is not None:
            self._pages.keep(0, 0)

    def close(self) -> None:
        """Let the file go."""
        self._array = self._pages = None
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Volume({self.name!r}, shape={self.shape}, dtype={self.dtype}, "
            f"voxel_size={self.voxel_size})"
        )


def open_volume(
    source: str | PathLike[str] | NDArray[Any],
    voxel_size: float | None = None,
    *,
    name: str | None = None,
    default_voxel_size: float | None = None,
) -> Volume:
    """Open a tomogram.

    Parameters
    ----------
    source : path or array (z, y, x)
        MRC modes 0, 1, 2, 6 and 12, either byte order, IMOD's unsigned bytes,
        extended headers, plain or compressed with gzip or bzip2 (told by content).
        An array is used as it is.
    voxel_size : float, optional
        Ångström; overrules the header. Required for arrays.
    name : str, optional
        Default: the file's name without its suffixes.
    default_voxel_size : float, optional
        Taken where neither `voxel_size` nor the header knows.

    Returns
    -------
    Volume
        Whether its voxels are finite and not constant is found by the statistics
        (`dep.engine.normalise.measure`), not here.

    Raises
    ------
    TomogramError
        No such file, no permission, a directory, empty, truncated, not MRC, complex
        or 4-bit voxels, 2D, a stack of volumes.
    VoxelSizeError
        The header has no usable voxel size and none was given.
    """
    if isinstance(source, np.ndarray):
        size = voxel_size if voxel_size is not None else default_voxel_size
        if size is None:
            message = "an array needs its voxel size in Å: voxel_size=..."
            raise VoxelSizeError(message)
        return Volume(source, size, name or "tomogram")
    path = Path(source)
    data = open_mrc(path)
    size = voxel_size if voxel_size is not None else data.header.voxel_size
    warnings = data.warnings
    if size is None and default_voxel_size is not None:
        size = default_voxel_size
        warnings = (
            *warnings,
            f"{path}: the header holds no voxel size, {size:g} Å are assumed; "
            "coordinates in ångström depend on it (--voxel-size)",
        )
    if size is None:
        edges = data.header.voxel_edges
        found = (
            f"differs by axis ({edges[0]:g} x {edges[1]:g} x {edges[2]:g} Å)"
            if min(edges) > 0
            else "is 0"
        )
        message = (
            f"{path}: the voxel size in the header {found}. "
            "Give it with --voxel-size (voxel_size=...), in Å."
        )
        raise VoxelSizeError(message)
    return Volume(
        data.array,
        size,
        name or tomogram_name(path),
        path,
        warnings,
        data.file,
        data.pages,
    )


def tomogram_name(path: str | PathLike[str]) -> str:
    """Name a tomogram after its file: ``TS_01.mrc.gz`` becomes ``TS_01``."""
    name = Path(path).name
    for suffixes in (COMPRESSED_SUFFIXES, TOMOGRAM_SUFFIXES):
        for suffix in suffixes:
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                name = name[: -len(suffix)]
                break
    return name
