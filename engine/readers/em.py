"""Read EM files, the format of the TOM toolbox, AV3, PyTom and Dynamo.

Source: the table in TOM's ``tom_emread`` (Nickell et al., J. Struct. Biol. 149:227,
2005): 512 bytes of header, then voxels with x fastest.
"""

import math
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
SUFFIX = ".em"
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
    return bool(_byte_orders(head))


def open_em(path: Path, stream: IO[bytes]) -> tuple[Header, MappedPlanes, list[str]]:
    """Map an EM file.

    Raises
    ------
    TomogramError
        Truncated, complex voxels, or one plane.
    """
    stream.seek(0)
    head = stream.read(HEADER_BYTES)
    orders = _byte_orders(head)
    if not orders:
        raise senseless(path, head)
    # Edges such as 256 make sense in both: the length of the file decides.
    length = stream.seek(0, 2)
    fitting = [order for order in orders if _bytes(head, order) <= length]
    order = (fitting or orders)[0]
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


def senseless(path: Path, head: bytes) -> TomogramError:
    """Say what in a header is none of an EM file."""
    expected = (
        f"expected a machine code of {min(BIG_ENDIAN)} to {max(LITTLE_ENDIAN)}, a type "
        f"of voxels of {', '.join(map(str, TYPES))}, and sizes of 1 to {MAX_EDGE}"
    )
    if len(head) < HEADER_BYTES:
        found = f"{len(head)} bytes, which are less than its header"
    else:
        little, big = (" x ".join(map(str, _sizes(head, order))) for order in "<>")
        found = f"{head[0]}, {head[3]} and {little} (or {big} in the other byte order)"
    message = f"{path}: not an EM file: {expected}; found {found}. Copy it again."
    return TomogramError(message)


def _byte_orders(head: bytes) -> list[Literal["<", ">"]]:
    """List those in which the header makes sense, that of its machine first."""
    if len(head) < HEADER_BYTES or head[3] not in TYPES:
        return []
    if head[0] not in BIG_ENDIAN | LITTLE_ENDIAN:
        return []
    big = head[0] in BIG_ENDIAN
    orders: tuple[Literal["<", ">"], ...] = (">", "<") if big else ("<", ">")
    return [
        order
        for order in orders
        if all(0 < one <= MAX_EDGE for one in _sizes(head, order))
    ]


def _sizes(head: bytes, order: str) -> tuple[int, ...]:
    """Give x, y, z."""
    return tuple(map(int, np.frombuffer(head, order + "i4", 3, 4)))


def _bytes(head: bytes, order: str) -> int:
    """Say how long the file must be."""
    voxel = np.dtype(TYPES[head[3]]).itemsize
    return HEADER_BYTES + math.prod(_sizes(head, order)) * voxel


def _text(raw: bytes) -> str:
    text = bytes(raw).split(b"\0")[0].decode("latin-1")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
