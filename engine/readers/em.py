"""Read EM files, the format of the TOM toolbox, AV3, PyTom and Dynamo.

Source: the table in TOM's ``tom_emread`` (Nickell et al., J. Struct. Biol. 149:227,
2005): 512 bytes of header, then voxels with x fastest.
"""

from pathlib import Path
from typing import IO, Literal

import numpy as np

from dep.engine.errors import TomogramError
from dep.engine.readers.header import Header, edge_of, three_axes
from dep.engine.readers.planes import MappedPlanes, map_voxels

HEADER_BYTES = 512
# Byte 1, who wrote it: OS-9, SGI, Sun and Macintosh are big-endian; VAX, Convex and PC
# are read as little-endian, as `tom_emread` does.
BIG_ENDIAN = {0: "OS-9", 3: "SGI", 4: "Sun", 5: "Macintosh"}
LITTLE_ENDIAN = {1: "VAX", 2: "Convex", 6: "PC"}
# Byte 4, what a voxel is; bytes are signed.
TYPES = {1: "i1", 2: "i2", 4: "i4", 5: "f4", 8: "c8", 9: "f8", 10: "c16"}
MAX_EDGE = 1 << 20
HEADER = np.dtype(
    [
        ("machine", "u1"),
        ("version", "u1"),
        ("unused", "u1"),
        ("type", "u1"),
        ("size", "i4", 3),  # x, y, z
        ("comment", "S80"),
        ("parameters", "i4", 40),
        ("user", "S20"),
        ("date", "S8"),
        ("user_data", "V228"),
    ]
)
# The seventh parameter, OBJ: "pixelsize in object-plane", ångström times 1000.
OBJ, OBJ_FACTOR = 6, 1000


def recognises(head: bytes) -> bool:
    """Say whether the first bytes of a file may be those of an EM file.

    The format has no magic number: the header must make sense.
    """
    return _byte_order(head) is not None


def open_em(path: Path, stream: IO[bytes]) -> tuple[Header, MappedPlanes, list[str]]:
    """Map an EM file.

    Raises
    ------
    TomogramError
        Truncated, complex voxels, or one plane.
    """
    stream.seek(0)
    head = stream.read(HEADER_BYTES)
    order = _byte_order(head)
    if order is None:
        message = f"{path}: not an EM file: its header makes no sense"
        raise TomogramError(message)
    record = np.frombuffer(head, HEADER.newbyteorder(order), 1)[0]
    x, y, z = (int(length) for length in record["size"])
    three_axes(str(path), (z, y, x))
    dtype = np.dtype(order + TYPES[int(record["type"])])
    if dtype.kind == "c":
        message = (
            f"{path}: EM type {record['type']} (complex voxels) is not a tomogram that "
            "can be picked. Expected type 1, 2, 4, 5 or 9."
        )
        raise TomogramError(message)
    planes, warnings = map_voxels(path, stream, HEADER_BYTES, (z, y, x), dtype)
    machine = int(record["machine"])
    edge = edge_of(int(record["parameters"][OBJ]) / OBJ_FACTOR)
    header = Header(
        format="EM",
        shape=(z, y, x),
        dtype=dtype,
        voxel_edges=(edge, edge, edge),
        unknown="is 0",
        details={
            "written_on": (BIG_ENDIAN | LITTLE_ENDIAN)[machine],
            "comment": _text(record["comment"]),
        },
    )
    return header, planes, list(warnings)


def _byte_order(head: bytes) -> Literal["<", ">"] | None:
    """Tell ``<`` or ``>``; None where the header makes sense in neither."""
    if len(head) < HEADER_BYTES or head[3] not in TYPES:
        return None
    if head[0] not in BIG_ENDIAN | LITTLE_ENDIAN:
        return None
    big = head[0] in BIG_ENDIAN
    orders: tuple[Literal["<", ">"], ...] = (">", "<") if big else ("<", ">")
    for order in orders:
        sizes = np.frombuffer(head, order + "i4", 3, 4)
        if ((sizes > 0) & (sizes <= MAX_EDGE)).all():
            return order
    return None


def _text(raw: bytes) -> str:
    text = bytes(raw).split(b"\0")[0].decode("latin-1")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
