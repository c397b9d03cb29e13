"""Read MRC2014 files: header, dialects and traps, and a memory map of the voxels.

Sources: the MRC2014 paper (Cheng et al., J. Struct. Biol. 192:146, 2015), IMOD's
"MRC format used by IMOD" (stamp and byte flags), and mrcfile's table of the header.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE  # type: ignore[import-untyped]
from numpy.typing import NDArray

from dep.engine.errors import TomogramError
from dep.engine.readers.files import open_file
from dep.engine.readers.header import isotropic
from dep.engine.readers.planes import MappedPlanes, map_voxels
from dep.engine.unpack import UNREADABLE, Opener, compression_of, damaged, unpack

HEADER_BYTES = 1024
MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
REFUSED_MODES = {
    3: "complex 16-bit",
    4: "complex 32-bit",
    101: "4-bit",
}
# IMOD: "MRC file written by IMOD has 1146047817 at byte 152; bit 0 of the flags at
# byte 156: bytes are stored as signed".
IMOD_STAMP = 1146047817
IMOD_STAMP_AT, IMOD_FLAGS_AT = 152, 156
IMOD_SIGNED_BYTES = 1
# Bytes 212 and 213 of the machine stamp; 0x4441 is written by older software.
LITTLE_STAMPS, BIG_STAMP = (b"\x44\x44", b"\x44\x41"), b"\x11\x11"
VOLUME_STACKS = range(401, 631)  # space groups of stacks of volumes (MRC2014)
MAX_EDGE = 1 << 20  # no tomogram is wider: a header that says so is not MRC


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """What an MRC file says of itself.

    Attributes
    ----------
    shape : (int, int, int)
        Planes, rows, columns: z, y, x in the order stored (``mapc``, ``mapr`` and
        ``maps`` are not acted upon, as in IMOD and RELION).
    mode : int
        MRC data mode.
    dtype : numpy.dtype
        Of the voxels, byte order and IMOD's signedness of mode 0 included.
    voxel_size : float or None
        Ångström; None where the header holds 0 or edges that differ.
    voxel_edges : (float, float, float)
        x, y, z edges in ångström as stored.
    data_offset : int
        Bytes before the first voxel (header and extended header).
    extended_type : str
        Kind of extended header, such as ``FEI1``; empty where there is none.
    compression : str
        ``gzip``, ``bzip2`` or empty.
    labels : tuple of str
        The text labels.
    """

    shape: tuple[int, int, int]
    mode: int
    dtype: np.dtype[Any]
    voxel_size: float | None
    voxel_edges: tuple[float, float, float]
    data_offset: int
    extended_type: str
    compression: str
    labels: tuple[str, ...]

    @property
    def data_bytes(self) -> int:
        """How many bytes the voxels take."""
        depth, height, width = self.shape
        return depth * height * width * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class MrcData:
    """An opened MRC file: header, voxels as a memory map, and remarks."""

    header: MrcHeader
    planes: MappedPlanes
    warnings: tuple[str, ...]

    @property
    def array(self) -> NDArray[Any]:
        """All voxels (z, y, x), read-only."""
        return self.planes.whole()


def read_header(path: Path | str) -> MrcHeader:
    """Read the header of an MRC file, compressed or not, and not its voxels.

    Raises
    ------
    TomogramError
        No such file, no permission, a directory, empty, not MRC, a mode or a
        dimensionality that is no tomogram.
    """
    path = Path(path)
    with open_file(path) as stream:
        compression, opener = compression_of(stream)
        if opener is None:
            return _parse(path, stream.read(HEADER_BYTES), compression)
        try:
            with opener(stream) as plain:
                head = plain.read(HEADER_BYTES)
        except UNREADABLE as error:
            raise damaged(path, compression, error) from error
        return _parse(path, head, compression)


def open_mrc(path: Path | str) -> MrcData:
    """Open an MRC file and map its voxels.

    A gzip or bzip2 file (told by its content) is unpacked in pieces to a nameless
    temporary file (in TMPDIR, which must have room for the whole of it), which the
    system removes when the map goes. Bytes after the last
    voxel are accepted with a warning: some programs append to MRC files.

    Raises
    ------
    TomogramError
        As `read_header`, and where the file is shorter than its header says.
    """
    path = Path(path)
    with open_file(path) as stream:
        compression, opener = compression_of(stream)
        if opener is None:
            return _map(path, stream, compression)
        with _unpack(path, stream, compression, opener) as plain:
            return _map(path, plain, compression)


def _unpack(
    path: Path, stream: IO[bytes], compression: str, opener: Opener
) -> IO[bytes]:
    def size(head: bytes) -> int:
        header = _parse(path, head[:HEADER_BYTES], compression)
        return header.data_offset + header.data_bytes

    return unpack(path, stream, compression, opener, size)


def _map(path: Path, stream: IO[bytes], compression: str) -> MrcData:
    stream.seek(0)
    header = _parse(path, stream.read(HEADER_BYTES), compression)
    planes, warnings = map_voxels(
        path,
        stream,
        header.data_offset,
        header.shape,
        header.dtype,
        kind=f" of mode {header.mode}",
        unpacked=bool(compression),
    )
    return MrcData(header, planes, warnings)


def _parse(path: Path, head: bytes, compression: str) -> MrcHeader:
    if not head:
        message = f"{path}: the file is empty"
        raise TomogramError(message)
    order = _byte_order(head)
    if order is None:
        message = (
            f"{path}: not an MRC file (no 'MAP ' at byte 208, or sizes and mode that "
            "make no sense). Expected a tomogram in MRC format (.mrc, .rec, .map "
            "or .st, also compressed with gzip or bzip2), EM, HDF5, TIFF, NumPy or "
            "OME-Zarr."
        )
        raise TomogramError(message)
    header = _fields(head, order)
    mode = int(header["mode"])
    if mode in REFUSED_MODES:
        message = (
            f"{path}: MRC mode {mode} ({REFUSED_MODES[mode]} voxels) is not a tomogram "
            "that can be picked. Expected mode 0, 1, 2, 6 or 12."
        )
        raise TomogramError(message)
    depth, height, width = (int(header[key]) for key in ("nz", "ny", "nx"))
    if depth == 1:
        message = (
            f"{path}: a 2D image of {width} x {height} pixels. "
            "Expected a tomogram with more than one plane."
        )
        raise TomogramError(message)
    inner = int(header["mz"])
    if int(header["ispg"]) in VOLUME_STACKS and 0 < inner < depth:
        message = (
            f"{path}: a stack of {depth // inner} volumes of {width} x {height} x "
            f"{inner} voxels. Expected one tomogram: split the stack."
        )
        raise TomogramError(message)
    edges = _voxel_edges(header)
    symmetry = int(header["nsymbt"])
    return MrcHeader(
        shape=(depth, height, width),
        mode=mode,
        dtype=_dtype(head, mode, order),
        voxel_size=isotropic(edges),
        voxel_edges=edges,
        data_offset=HEADER_BYTES + symmetry,
        extended_type=_text(header["exttyp"]) if symmetry else "",
        compression=compression,
        labels=tuple(
            _text(header["label"][number])
            for number in range(min(10, max(0, int(header["nlabl"]))))
        ),
    )


def _fields(head: bytes, order: str) -> np.void:
    table = np.dtype(HEADER_DTYPE).newbyteorder(order)
    record: np.void = np.frombuffer(head, table, count=1)[0]
    return record


def _byte_order(head: bytes) -> str | None:
    """Tell ``<`` or ``>``; None where the header makes sense in neither.

    The machine stamp is tried first. Some programs write a wrong one, so the other
    order is accepted where only that makes sense. 'MAP' is demanded (with any fourth
    byte: some programs write 0 there).
    """
    if len(head) < HEADER_BYTES or head[208:211] != b"MAP":
        return None
    first = ">" if head[212:214] == BIG_STAMP else "<"
    for order in (first, "<" if first == ">" else ">"):
        header = _fields(head, order)
        sizes = (int(header[key]) for key in ("nx", "ny", "nz"))
        known = int(header["mode"]) in MODES.keys() | REFUSED_MODES.keys()
        if (
            known
            and all(0 < size <= MAX_EDGE for size in sizes)
            and int(header["nsymbt"]) >= 0
        ):
            return order
    return None


def _dtype(head: bytes, mode: int, order: str) -> np.dtype[Any]:
    kind = MODES[mode]
    if mode == 0:
        stamp, flags = np.frombuffer(head, order + "i4", 2, IMOD_STAMP_AT)
        if stamp == IMOD_STAMP and not flags & IMOD_SIGNED_BYTES:
            kind = "u1"
    return np.dtype(order + kind)


def _voxel_edges(header: np.void) -> tuple[float, float, float]:
    """Edges in Å, cell / grid, rounded to the six digits that 32-bit cells hold."""
    edges = []
    for axis in "xyz":
        cell, grid = float(header["cella"][axis]), int(header["m" + axis])
        edge = cell / grid if grid > 0 else 0.0
        edges.append(float(f"{edge:.6g}") if np.isfinite(edge) and edge > 0 else 0.0)
    return edges[0], edges[1], edges[2]


def _text(raw: bytes) -> str:
    return bytes(raw).split(b"\0")[0].decode("latin-1").strip()
