"""Read NumPy's ``.npy`` files, mapped where z is slowest, and never unpickled.

Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays".
"""

import tokenize
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dep.engine.errors import TomogramError
from dep.engine.readers.chunks import Box, ChunkStore, UnpackedPlanes
from dep.engine.readers.header import Header, check_voxels, three_axes
from dep.engine.readers.planes import Planes, map_voxels

MAGIC = b"\x93NUMPY"
# What NumPy raises where a header is no dictionary of Python's.
UNREADABLE = (
    *(ValueError, KeyError, TypeError, EOFError, SyntaxError),
    *(RecursionError, tokenize.TokenError),
)
READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def recognises(head: bytes) -> bool:
    """Say whether the first bytes of a file are those of a ``.npy`` file."""
    return head.startswith(MAGIC)


def open_numpy(path: Path, stream: IO[bytes]) -> tuple[Header, Planes, list[str]]:
    """Map a ``.npy`` file, or turn it where z is fastest.

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
    except UNREADABLE as error:
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
    planes: Planes
    if fortran:
        planes, warnings = _turned(path, stream, offset, (z, y, x), dtype)
    else:
        planes, warnings = map_voxels(path, stream, offset, (z, y, x), dtype)
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
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
) -> tuple[Planes, tuple[str, ...]]:
    """Turn voxels whose z is fastest in a temporary file: every plane lies all over."""
    z, y, x = shape
    stored, warnings = map_voxels(path, stream, offset, (x, y, z), dtype)

    def load(box: Box) -> NDArray[Any]:
        part = stored.read(box[2].start, box[2].stop).T
        voxels: NDArray[Any] = part[box[0], box[1]]
        return voxels

    store = ChunkStore(
        label=str(path),
        shape=shape,
        dtype=dtype,
        chunk=(z, y, 1),
        load=load,
        close=stored.close,
        costly=True,
    )
    slow = (
        f"{path}: stored with z fastest (Fortran order), and turned in a temporary "
        "file; numpy.save(numpy.ascontiguousarray(...)) avoids it"
    )
    return UnpackedPlanes(store), (*warnings, slow)
