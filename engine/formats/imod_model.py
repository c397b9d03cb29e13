"""IMOD's binary model file: its layout, and its bytes from points by object.

Source: IMOD Binary File Format, version 1, revision 2 (bio3d.colorado.edu/imod/doc/
binspec.html). Numbers are big-endian. A file is the word ``IMODV1.2``, a header of 232
bytes, then for each object ``OBJT``, its contours ``CONT`` and its data chunks, and
``IEOF`` at the end. Apart from ``OBJT``, ``CONT`` and ``MESH`` a chunk says its length,
so that those of no interest here are passed over.
"""

import struct
from dataclasses import dataclass

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
