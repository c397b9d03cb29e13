"""IMOD's binary model file: points by object from its bytes (layout: `imod_model`)."""

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.formats import imod_model as layout
from dep.engine.formats.imod_model import Model, ModelFault, ModelObject


@dataclass(slots=True)
class _Contours:
    """What was read of one object so far."""

    name: str
    colour: tuple[float, float, float]
    radius: int
    points: list[NDArray[np.float32]] = field(default_factory=list)
    values: list[NDArray[np.float32]] = field(default_factory=list)
    of_contour: dict[int, float] = field(default_factory=dict)

    def finished(self) -> ModelObject:
        none = np.zeros((0, 3), np.float32)
        for number, value in self.of_contour.items():
            if 0 <= number < len(self.values):
                values = self.values[number]
                values[np.isnan(values)] = value
        return ModelObject(
            self.name,
            np.concatenate([none, *self.points]),
            np.concatenate([none[:, 0], *self.values]),
            self.colour,
            self.radius,
        )


def decode(data: bytes) -> Model:
    """Read the points of a model, of whatever kind its contours are.

    Raises
    ------
    ModelFault
        No IMOD model, or one that is cut off or damaged; says where.
    """
    if data[:4] != b"IMOD":
        message = f"expected the word IMOD at its start, found {data[:4]!r}"
        raise ModelFault(message)
    if data[4:8] not in (b"V1.2", b"V0.2"):
        message = f"expected an IMOD model of version V1.2, found {data[4:8]!r}"
        raise ModelFault(message)
    reader = _Reader(data, 8)
    header = reader.take(layout.HEADER, "the header")
    name, size, flags = header[0], header[1:4], header[5]
    pixel_size, units = header[21], header[22]
    scale = layout.UNITS_IN_ANGSTROM.get(units)
    found: list[_Contours] = []
    shift: tuple[float, ...] = (0.0, 0.0, 0.0)
    of_image = False
    while (word := reader.word()) != b"IEOF":
        if word == b"OBJT":
            found.append(reader.object())
        elif word == b"CONT":
            reader.contour(_last(found, reader))
        elif word == b"MESH":
            reader.mesh()
        elif word == b"MINX":
            of_image = True
            shift = reader.shift(flags)
        elif word == b"COST":
            reader.point_values(_last(found, reader))
        elif word == b"OBST":
            reader.contour_values(_last(found, reader))
        else:
            reader.chunk(word)
    objects = tuple(one.finished() for one in found)
    if flags & layout.Y_AND_Z_SWAPPED:
        size = (size[0], size[2], size[1])
        for one in objects:
            one.points[:, 1:] = one.points[:, :0:-1].copy()
    return Model(
        objects,
        _text(name),
        size,
        # Six digits: the file has seven, and 0.1 nm would not be 1 Å.
        float(f"{pixel_size * scale:.6g}")
        if scale and 0 < pixel_size < np.inf
        else None,
        (shift[0], shift[1], shift[2]),
        of_image,
    )


def _last(found: list[_Contours], reader: "_Reader") -> _Contours:
    if not found:
        message = f"points before the first object, at byte {reader.at - 4}"
        raise ModelFault(message)
    return found[-1]


def _text(name: bytes) -> str:
    """Read a name up to its closing zero; other encodings than UTF-8 are told."""
    return name.split(b"\0")[0].decode("utf-8", "replace").strip()


class _Reader:
    """Reads the parts of a model from its bytes, never past their end."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def need(self, size: int, what: str) -> int:
        """Pass over `size` bytes and give where they begin."""
        start, left = self.at, len(self.data) - self.at
        if not 0 <= size <= left:
            message = (
                f"{what} at byte {start} needs {size} bytes, {left} are left: the file "
                "is cut off or damaged"
            )
            raise ModelFault(message)
        self.at += size
        return start

    def take(self, parts: struct.Struct, what: str) -> tuple[Any, ...]:
        return parts.unpack_from(self.data, self.need(parts.size, what))

    def word(self) -> bytes:
        start = self.need(4, "the next chunk's name")
        return self.data[start : self.at]

    def floats(self, number: int, what: str) -> NDArray[np.float32]:
        start = self.need(4 * number if number >= 0 else -1, what)
        return np.frombuffer(self.data, ">f4", number, start).astype(np.float32)

    def chunk(self, word: bytes) -> bytes:
        name = word.decode("ascii", "backslashreplace")
        size = int.from_bytes(
            self.data[self.need(4, f"the length of {name}") : self.at],
            "big",
            signed=True,
        )
        start = self.need(size, f"chunk {name}")
        return self.data[start : self.at]

    def object(self) -> _Contours:
        head = self.take(layout.OBJECT, "an object's header")
        red, green, blue, radius = head[21:25]
        return _Contours(_text(head[0]), (red, green, blue), radius)

    def contour(self, one: _Contours) -> None:
        number = self.take(layout.CONTOUR, "a contour's header")[0]
        start = self.at
        points = self.floats(3 * number, f"a contour of {number} points")
        if not np.isfinite(points).all():
            message = f"the contour at byte {start} has points that are not finite"
            raise ModelFault(message)
        one.points.append(points.reshape(-1, 3))
        one.values.append(np.full(number, np.nan, np.float32))

    def mesh(self) -> None:
        vertices, indices = self.take(layout.MESH, "a mesh's header")[:2]
        if vertices < 0 or indices < 0:
            message = f"the mesh at byte {self.at - layout.MESH.size} has sizes below 0"
            raise ModelFault(message)
        self.need(12 * vertices + 4 * indices, f"a mesh of {vertices} vertices")

    def shift(self, flags: int) -> tuple[float, ...]:
        """Give where the part of the image lies that 3dmod had loaded.

        ``(otrans - ctrans) / cscale``, as the specification of the text format states
        for its ``refoldtrans``, ``refcurtrans`` and ``refcurscale``.
        """
        data = self.chunk(b"MINX")
        if len(data) < layout.LEAST_IMAGE or not flags & layout.HAS_ORIGIN:
            return (0.0, 0.0, 0.0)
        _, origin, _, scale, current, _ = (
            np.frombuffer(data[: layout.LEAST_IMAGE], ">f4")
            .reshape(6, 3)
            .astype(np.float64)
        )
        with np.errstate(all="ignore"):
            shift = (origin - current) / scale
        return tuple(np.where(np.isfinite(shift), shift, 0.0).tolist())

    def values(self, word: bytes) -> list[tuple[int, float]]:
        """Give index and value of the floating values in general storage."""
        data = self.chunk(word)
        if len(data) % layout.STORE.itemsize:
            message = (
                f"chunk {word.decode()} before byte {self.at} holds {len(data)} bytes, "
                f"expected a multiple of {layout.STORE.itemsize}"
            )
            raise ModelFault(message)
        store = np.frombuffer(data, layout.STORE)
        plain = (
            store["flags"] & (layout.TYPES | layout.NO_INDEX)
        ) == layout.VALUE_IS_FLOAT
        rows = store[(store["type"] == layout.VALUE) & plain]
        rows = rows[np.isfinite(rows["value"])]
        return list(zip(rows["index"].tolist(), rows["value"].tolist(), strict=True))

    def point_values(self, one: _Contours) -> None:
        """Read values of points of the latest contour."""
        for index, value in self.values(b"COST"):
            if one.values and 0 <= index < len(one.values[-1]):
                one.values[-1][index] = value

    def contour_values(self, one: _Contours) -> None:
        """Read values of whole contours, as IMOD's bead finders store theirs."""
        one.of_contour.update(self.values(b"OBST"))
