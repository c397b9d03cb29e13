"""IMOD's binary model file: its points by object, to bytes and back.

Source: IMOD Binary File Format, version 1, revision 2 (bio3d.colorado.edu/imod/doc/
binspec.html). Numbers are big-endian. A file is the word ``IMODV1.2``, a header of 232
bytes, then for each object ``OBJT``, its contours ``CONT`` and its data chunks, and
``IEOF`` at the end. Apart from ``OBJT``, ``CONT`` and ``MESH`` a chunk says its length,
so that those of no interest here are passed over.
"""

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = struct.Struct(">128s 3i i I 4i 3f 3f 5i f 2i 3f")
OBJECT = struct.Struct(">64s 16I i I 2i 3f i 8B 2i")
CONTOUR = struct.Struct(">i I 2i")
MESH = struct.Struct(">2i I 2h")
MATERIAL = struct.Struct(">8B I 4B")
STORE = np.dtype(
    [("type", ">i2"), ("flags", ">u2"), ("index", ">i4"), ("value", ">f4")]
)
LEAST_IMAGE = 72  # bytes of the chunk MINX: oscale, otrans, orot, cscale, ctrans, crot

NAME_BYTES = 63  # of an object's name, without the closing zero

Z_FROM_MINUS_HALF = 1 << 10  # model flags
NEW_TO_3DMOD = 1 << 11
SEVERAL_CLIP_PLANES = 1 << 12
MATERIAL_IN_BYTES = 1 << 13
HAS_ORIGIN = 1 << 14
Y_AND_Z_SWAPPED = 1 << 16

OPEN = 1 << 3  # object flags
SCATTERED = 1 << 9

VALUE = 10  # types of general storage: a value of a point or contour
VALUE_RANGE = 11
VALUE_IS_FLOAT = 1 << 2  # flags of general storage
INDEX_IS_FLOAT = 1
TYPES = 0b1111  # of index and value
NO_INDEX = 1 << 4
ONE_POINT = 1 << 7

NANOMETRE = -9  # units of the pixel size are powers of ten of a metre
UNITS_IN_ANGSTROM = {
    3: 1e13,
    1: 1e10,
    -2: 1e8,
    -3: 1e7,
    -6: 1e4,
    -9: 10.0,
    -10: 1.0,
    -12: 0.01,
}


class ModelFault(ValueError):  # noqa: N818 - becomes a PicksError with the path
    """Bytes that are no IMOD model; says what was expected and found where."""


@dataclass(frozen=True, slots=True)
class ModelObject:
    """Points of one object, as the file counts them.

    Attributes
    ----------
    name : str
        Empty where the user gave none.
    points : (n, 3) float32
        x, y, z.
    values : (n,) float32
        The stored value of each point; NaN where there is none.
    colour : (float, float, float)
        Red, green, blue, from 0 to 1.
    radius : int
        Of the spheres drawn, in pixels; 0 for none.
    """

    name: str
    points: NDArray[np.float32]
    values: NDArray[np.float32]
    colour: tuple[float, float, float] = (0.0, 1.0, 0.0)
    radius: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """An IMOD model: objects, and what it says of the image.

    Attributes
    ----------
    objects : tuple of ModelObject
        In the order of the file.
    name : str
        Of the model.
    size : (int, int, int)
        Of the image, x, y, z in pixels; what other programs than 3dmod write here
        need not be it.
    pixel_size : float or None
        In ångström.
    shift : (float, float, float)
        To add to a point to count from the corner of the whole image: other than 0
        where 3dmod had loaded a part of it.
    of_image : bool
        3dmod saved it over an image, so that `size` is the image's.
    """

    objects: tuple[ModelObject, ...]
    name: str = ""
    size: tuple[int, int, int] = (0, 0, 0)
    pixel_size: float | None = None
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    of_image: bool = False


def encode(model: Model) -> bytes:
    """Give the bytes of a model of scattered points, one contour for each object."""
    parts = [b"IMODV1.2", _header(model)]
    for one in model.objects:
        parts += _object(one)
    parts.append(b"IEOF")
    return b"".join(parts)


def _header(model: Model) -> bytes:
    flags = Z_FROM_MINUS_HALF | NEW_TO_3DMOD | SEVERAL_CLIP_PLANES | MATERIAL_IN_BYTES
    known = model.pixel_size is not None
    return HEADER.pack(
        model.name.encode("utf-8")[:127],
        *model.size,
        len(model.objects),
        flags,
        *(1, 1),  # draw the model; the mouse edits it
        *(0, 255),  # black and white level
        *(0.0, 0.0, 0.0),  # offset, unused
        *(1.0, 1.0, 1.0),  # scale; z for the thickness of sections
        *(0, 0, -1),  # current object, contour, point
        *(3, 128),  # spacing of points drawn, threshold
        (model.pixel_size or 1.0) / UNITS_IN_ANGSTROM[NANOMETRE] if known else 1.0,
        NANOMETRE if known else 0,
        0,  # checksum of 3dmod's autosave
        *(0.0, 0.0, 0.0),  # angles, unused
    )


def _object(one: ModelObject) -> list[bytes]:
    number = len(one.points)
    head = OBJECT.pack(
        one.name.encode("utf-8"),
        *[0] * 16,
        1 if number else 0,
        OPEN | SCATTERED,
        *(0, 1),  # axis, draw mode
        *one.colour,
        one.radius,
        *(0, 3, 1, 1, 0, 0, 0, 0),  # a circle of 3 pixels, line widths 1
        *(0, 0),  # meshes, surfaces
    )
    parts = [b"OBJT", head]
    valued = np.flatnonzero(np.isfinite(one.values))
    if number:
        parts += [b"CONT", CONTOUR.pack(number, 0, 0, 0)]
        parts.append(one.points.astype(">f4").tobytes())
        if len(valued):
            store = np.zeros(len(valued), STORE)
            store["type"], store["flags"] = VALUE, VALUE_IS_FLOAT | ONE_POINT
            store["index"], store["value"] = valued, one.values[valued]
            parts += [b"COST", struct.pack(">i", store.nbytes), store.tobytes()]
    # 3dmod's defaults: ambient, diffuse, specular, shininess; the rest is unused here.
    material = MATERIAL.pack(102, 255, 127, 4, 0, 0, 0, 0, 0, 0, 255, 0, 0)
    parts += [b"IMAT", struct.pack(">i", len(material)), material]
    if len(valued):
        # What 3dmod maps colours to, and imodinfo shows.
        extent = struct.pack(
            ">hHff",
            VALUE_RANGE,
            VALUE_IS_FLOAT | INDEX_IS_FLOAT | NO_INDEX,
            float(one.values[valued].min()),
            float(one.values[valued].max()),
        )
        parts += [b"OBST", struct.pack(">i", len(extent)), extent]
    return parts


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
    header = reader.take(HEADER, "the header")
    name, size, flags = header[0], header[1:4], header[5]
    pixel_size, units = header[21], header[22]
    scale = UNITS_IN_ANGSTROM.get(units)
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
    if flags & Y_AND_Z_SWAPPED:
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

    def take(self, layout: struct.Struct, what: str) -> tuple[Any, ...]:
        return layout.unpack_from(self.data, self.need(layout.size, what))

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
        head = self.take(OBJECT, "an object's header")
        red, green, blue, radius = head[21:25]
        return _Contours(_text(head[0]), (red, green, blue), radius)

    def contour(self, one: _Contours) -> None:
        number = self.take(CONTOUR, "a contour's header")[0]
        start = self.at
        points = self.floats(3 * number, f"a contour of {number} points")
        if not np.isfinite(points).all():
            message = f"the contour at byte {start} has points that are not finite"
            raise ModelFault(message)
        one.points.append(points.reshape(-1, 3))
        one.values.append(np.full(number, np.nan, np.float32))

    def mesh(self) -> None:
        vertices, indices = self.take(MESH, "a mesh's header")[:2]
        if vertices < 0 or indices < 0:
            message = f"the mesh at byte {self.at - MESH.size} has sizes below 0"
            raise ModelFault(message)
        self.need(12 * vertices + 4 * indices, f"a mesh of {vertices} vertices")

    def shift(self, flags: int) -> tuple[float, ...]:
        """Give where the part of the image lies that 3dmod had loaded.

        ``(otrans - ctrans) / cscale``, as the specification of the text format states
        for its ``refoldtrans``, ``refcurtrans`` and ``refcurscale``.
        """
        data = self.chunk(b"MINX")
        if len(data) < LEAST_IMAGE or not flags & HAS_ORIGIN:
            return (0.0, 0.0, 0.0)
        _, origin, _, scale, current, _ = (
            np.frombuffer(data[:LEAST_IMAGE], ">f4").reshape(6, 3).astype(np.float64)
        )
        with np.errstate(all="ignore"):
            shift = (origin - current) / scale
        return tuple(np.where(np.isfinite(shift), shift, 0.0).tolist())

    def values(self, word: bytes) -> list[tuple[int, float]]:
        """Give index and value of the floating values in general storage."""
        data = self.chunk(word)
        if len(data) % STORE.itemsize:
            message = (
                f"chunk {word.decode()} before byte {self.at} holds {len(data)} bytes, "
                f"expected a multiple of {STORE.itemsize}"
            )
            raise ModelFault(message)
        store = np.frombuffer(data, STORE)
        plain = (store["flags"] & (TYPES | NO_INDEX)) == VALUE_IS_FLOAT
        rows = store[(store["type"] == VALUE) & plain]
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
