"""Read NumPy's ``.npy`` files, mapped and never unpickled.

Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays".
"""

import mmap
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from dep.engine.errors import TomogramError
from dep.engine.readers.header import Header, check_voxels, three_axes
from dep.engine.readers.planes import MappedPlanes, map_voxels
from dep.engine.watched_file import WatchedFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"\x93NUMPY"
READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def recognises(head: bytes) -> bool:
    """Say whether the first bytes of a file are those of a ``.npy`` file."""
    return head.startswith(MAGIC)


def open_numpy(path: Path, stream: IO[bytes]) -> tuple[Header, MappedPlanes, list[str]]:
    """Map a ``.npy`` file.

    Raises
    ------
    TomogramError
        Damaged, truncated, other voxels than numbers, or not three-dimensional.
    """
    stream.seek(0)
    try:
        version = npy.read_magic(stream)
        # Version 3 is 2 with names of fields in UTF-8: no tomogram has fields.
        shape, fortran, dtype = READERS[version](stream)
    except (ValueError, KeyError, EOFError, SyntaxError) as error:
        message = (
            f"{path}: not a NumPy file that can be read ({error}). Expected what "
            "numpy.save writes of an array of numbers."
        )
        raise TomogramError(message) from error
    check_voxels(str(path), dtype)
    axes = three_axes(str(path), shape)
    z, y, x = (int(shape[axis]) for axis in axes)
    if min(z, y, x) < 1:
        message = f"{path}: a tomogram without voxels, shape {shape}"
        raise TomogramError(message)
    offset = stream.tell()
    stored = (x, y, z) if fortran else (z, y, x)
    planes, warnings = map_voxels(path, stream, offset, stored, dtype)
    if fortran:
        planes = _turned(path, stream, offset, stored, dtype)
        slow = (
            f"{path}: stored with z fastest (Fortran order), so that every plane takes "
            "a pass over the file; numpy.save(numpy.ascontiguousarray(...)) avoids it"
        )
        warnings = (*warnings, slow)
    header = Header(
        format="NumPy",
        shape=(z, y, x),
        dtype=dtype,
        unknown="is not given: NumPy files hold none",
        details={"order": "Fortran" if fortran else "C"},
    )
    return header, planes, list(warnings)


def _turned(
    path: Path,
    stream: IO[bytes],
    offset: int,
    stored: tuple[int, int, int],
    dtype: np.dtype[Any],
) -> MappedPlanes:
    """Map voxels whose z is fastest; no page belongs to one plane alone."""
    x, y, z = stored
    end = offset + x * y * z * dtype.itemsize
    mapping = mmap.mmap(stream.fileno(), end, access=mmap.ACCESS_READ)
    array: NDArray[Any] = np.ndarray(stored, dtype, mapping, offset)
    return MappedPlanes(array.T, WatchedFile(path, stream.fileno(), end), None)
