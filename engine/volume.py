"""Open a tomogram, from a file or an array, as planes that can be read in turn."""

import math
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import TomogramError, VoxelSizeError
from dep.engine.readers.header import Wish, check_voxels
from dep.engine.readers.names import Location, tomogram_name
from dep.engine.readers.planes import ArrayPlanes, Planes
from dep.engine.readers.registry import Opened, open_tomogram


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
    """A tomogram: voxels (z, y, x) behind a memory map, in chunks or in an array.

    A context manager; the file is let go by `close`. Views of mapped files handed out
    before stay valid as long as they live.

    Parameters
    ----------
    voxels : array (z, y, x) or Planes
        Never copied, never written to.
    voxel_size : float
        Ångström.
    name : str
        What outputs call the tomogram.
    source : str
        The file or address it came from; empty where there is none.
    warnings : tuple of str
        Remarks made while opening.

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
        voxels: NDArray[Any] | Planes,
        voxel_size: float,
        name: str = "tomogram",
        source: str = "",
        warnings: tuple[str, ...] = (),
    ) -> None:
        label = source or name
        shape, dtype = voxels.shape, voxels.dtype
        if len(shape) != 3:
            message = (
                f"{label}: expected a tomogram of three dimensions (z, y, x), found "
                f"an array of shape {shape}"
            )
            raise TomogramError(message)
        if math.prod(shape) == 0:
            message = f"{label}: a tomogram without voxels, shape {shape}"
            raise TomogramError(message)
        check_voxels(label, dtype)
        if not math.isfinite(voxel_size) or voxel_size <= 0:
            message = (
                f"{label}: a voxel size of {voxel_size} Å makes no sense; expected a "
                "number above 0. Give it with --voxel-size (voxel_size=...)."
            )
            raise VoxelSizeError(message)
        self._planes: Planes | None = (
            ArrayPlanes(voxels) if isinstance(voxels, np.ndarray) else voxels
        )
        self.shape: tuple[int, int, int] = (shape[0], shape[1], shape[2])
        self.dtype: np.dtype[Any] = dtype
        self.voxel_size = float(voxel_size)
        self.name = name
        self.source = source
        self.warnings = warnings

    @property
    def array(self) -> NDArray[Any]:
        """The voxels (z, y, x), read-only in spirit; on disk for a file.

        Files that cannot be mapped (chunks, compression) are unpacked for it into a
        temporary file without a name, once, which takes the tomogram's size in TMPDIR.

        Raises
        ------
        TomogramError
            The tomogram is closed, or there is no room in TMPDIR.
        """
        return self._open().whole()

    @property
    def label(self) -> str:
        """What messages call it: its file, or its name where there is none."""
        return self.source or self.name

    def read(self, z0: int, z1: int) -> NDArray[Any]:
        """Give planes z0 to z1 - 1, as stored, not to be written to.

        Other planes do not stay in memory: reading a tomogram through takes the memory
        of the planes that are read at once, and of the chunks around them. Views of a
        mapped file are good as long as they live, and read the file again; others are
        overwritten by the next read.

        The length of a mapped file is checked first, because a read beyond the end of
        a file that was cut short since it was opened kills the process (SIGBUS). That
        narrows the window and does not close it: the view is read later than that.

        Raises
        ------
        TomogramError
            The tomogram is closed, its file is shorter by now, or cannot be read.
        """
        return self._open().read(z0, z1)

    def rest(self) -> None:
        """Let go of all pages of a mapped file; views of them read them again."""
        if self._planes is not None:
            self._planes.rest()

    def held(self, planes: int) -> int:
        """Say how many bytes of memory reads of so many planes at once take."""
        return self._open().held(planes)

    def widen(self, planes: int) -> None:
        """Expect reads of so many planes at once."""
        self._open().widen(planes)

    def close(self) -> None:
        """Let the file go."""
        if self._planes is not None:
            self._planes.close()
        self._planes = None

    def _open(self) -> Planes:
        if self._planes is None:
            message = f"{self.label}: the tomogram is closed"
            raise TomogramError(message)
        return self._planes

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
    source: Location | NDArray[Any],
    voxel_size: float | None = None,
    *,
    name: str | None = None,
    default_voxel_size: float | None = None,
    near: float | None = None,
    shape: tuple[int, int, int] | None = None,
) -> Volume:
    """Open a tomogram.

    Parameters
    ----------
    source : path, address or array (z, y, x)
        MRC (modes 0, 1, 2, 6 and 12, either byte order, IMOD's unsigned bytes,
        extended headers, plain or compressed with gzip or bzip2), EM, HDF5, TIFF,
        NumPy or OME-Zarr; told by content. docs/formats.md says how a level or a
        dataset is named. An array is used as it is.
    voxel_size : float, optional
        Ångström; overrules the header. Required for arrays.
    name : str, optional
        Default: the file's name without its suffixes.
    default_voxel_size : float, optional
        Taken where neither `voxel_size` nor the header knows.
    near, shape : optional
        Which of several levels to open: the one that serves this voxel size best, or
        the one of this shape. Default: the finest.

    Returns
    -------
    Volume
        Whether its voxels are finite and not constant is found by the statistics
        (`dep.engine.normalise.measure`), not here.

    Raises
    ------
    TomogramError
        No such file, no permission, a directory, empty, truncated, of no known format,
        complex or 4-bit voxels, 2D, several volumes; a package that the format needs is
        not installed; an address that does not answer.
    VoxelSizeError
        The header has no usable voxel size and none was given.
    """
    if isinstance(source, np.ndarray):
        size = voxel_size if voxel_size is not None else default_voxel_size
        if size is None:
            message = "an array needs its voxel size in Å: voxel_size=..."
            raise VoxelSizeError(message)
        return Volume(source, size, name or "tomogram")
    label = str(source)
    opened = open_tomogram(source, Wish(near, shape))
    try:
        return _volume(
            opened, label, voxel_size, name or tomogram_name(source), default_voxel_size
        )
    except TomogramError:
        opened.planes.close()
        raise


def _volume(
    opened: Opened,
    label: str,
    voxel_size: float | None,
    name: str,
    default_voxel_size: float | None,
) -> Volume:
    header = opened.header
    size = voxel_size if voxel_size is not None else header.voxel_size
    warnings = opened.warnings
    if size is None and default_voxel_size is not None:
        size = default_voxel_size
        warnings = (
            *warnings,
            f"{label}: the voxel size in the header {header.lacks}, {size:g} Å are "
            "assumed; coordinates in ångström depend on it (--voxel-size)",
        )
    if size is None:
        message = (
            f"{label}: the voxel size in the header {header.lacks}. "
            "Give it with --voxel-size (voxel_size=...), in Å."
        )
        raise VoxelSizeError(message)
    if len(header.levels) > 1:
        warnings = (
            *warnings,
            f"{label}: level {header.level} of {len(header.levels)} was read, "
            f"{_words(header.shape)} voxels of {size:g} Å; coordinates count these",
        )
    return Volume(opened.planes, size, name, label, warnings)


def _words(shape: tuple[int, int, int]) -> str:
    depth, height, width = shape
    return f"{width} x {height} x {depth}"
