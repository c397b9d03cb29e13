"""IMOD models: scattered points, one object for each class, scores as values.

Source: IMOD Binary File Format, "Model Coordinate Conventions" (see `imod_model`):
coordinates are pixels of the image, from 0 to NX in x and 0 to NY in y, but from -0.5
to NZ - 0.5 in z. So the centre of voxel (0, 0, 0) is the point (0.5, 0.5, 0), and 0.5
is added to x and y only.

An object is called after its class, has its colour, and draws spheres of the class's
radius in whole pixels. Scores are the points' values, which 3dmod colours by and
``imodinfo`` shows. The model says the voxel size (in nm) and the image's size. It holds
no reference to the image's origin: 3dmod then takes points as pixels of the image that
it is opened on.

On reading, coordinates are voxels; where the tomogram's voxel size is known and so
different from the model's that it must be binned otherwise, they are scaled, as 3dmod
does. Every point of every contour is a pick, whatever kind the contours are (a
user clicks in 3dmod with whatever kind the object happens to have), and an object
without a name is known by its number. A model that was drawn while a part of the image
was loaded is put back to the whole image. A model that was saved on an image flipped in
y and z is flipped back; IMOD exchanges the two without regard for the half, so that its
points may lie half a voxel off in both.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.card import ClassInfo
from dep.engine.errors import PicksError
from dep.engine.formats.binning import UNSET, counting, fitting
from dep.engine.formats.class_colours import colour
from dep.engine.formats.format import Conventions, Files, Format, Holds
from dep.engine.formats.frame import Frame
from dep.engine.formats.imod_model import (
    NAME_BYTES,
    Model,
    ModelFault,
    ModelObject,
    encode,
)
from dep.engine.formats.imod_reader import decode
from dep.engine.formats.table import Table
from dep.engine.mrc import MAX_EDGE

if TYPE_CHECKING:
    from dep.engine.picks import Picks

CORNER = np.array([0.5, 0.5, 0.0])  # of the first voxel to its centre
WRITTEN_BY = "dep "  # begins the name of our models, whose image size can be trusted


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:
    """Write the picks of one tomogram.

    Raises
    ------
    PicksError
        A class name that is longer than IMOD's.
    """
    (one,) = picks
    frame = how.frame_of(one)
    objects = []
    for number, kind in enumerate(one.classes):
        if len(kind.name.encode("utf-8")) > NAME_BYTES:
            message = (
                f"{path}: IMOD's objects have names of at most {NAME_BYTES} bytes, and "
                f"class {kind.name!r} has a longer one"
            )
            raise PicksError(message)
        mine = one.class_id == number + 1
        objects.append(
            ModelObject(
                kind.name,
                (one.xyz[mine] + CORNER).astype(np.float32),
                one.score[mine],
                colour(number),
                _radius(kind, frame.voxel_size),
            )
        )
    size = (0, 0, 0) if frame.shape is None else frame.shape[::-1]
    model = Model(
        tuple(objects), f"{WRITTEN_BY}{one.tomogram}", size, pixel_size=frame.voxel_size
    )
    return {path: encode(model)}


def _radius(kind: ClassInfo, voxel_size: float | None) -> int:
    """Give a class's radius in whole pixels; 0, no spheres, where it is unknown."""
    if not kind.diameter or not voxel_size:
        return 0
    return max(1, round(kind.diameter / 2 / voxel_size))


def read(path: Path, frame: Frame) -> Table:
    """Read the points of a model.

    Raises
    ------
    PicksError
        No IMOD model, or a damaged one; names the byte.
    """
    try:
        model = decode(path.read_bytes())
    except ModelFault as error:
        message = f"{path}: not an IMOD model: {error}"
        raise PicksError(message) from error
    named = any(one.name for one in model.objects)
    names = [
        (one.name or f"object {number}") if named else str(number)
        for number, one in enumerate(model.objects, start=1)
    ]
    label = [
        name
        for name, one in zip(names, model.objects, strict=True)
        for _ in range(len(one.points))
    ]
    none = ModelObject("", np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
    points = np.concatenate([one.points for one in (none, *model.objects)])
    score = np.concatenate([one.values for one in (none, *model.objects)])
    own = Frame(
        _shape(model),
        _pixel_size(model),
        tuple(ClassInfo(name, 0.0) for name in dict.fromkeys(names)) if named else None,
    )
    return Table(
        points.astype(np.float64) - CORNER + np.array(model.shift),
        label,
        np.where(np.isnan(score), 1.0, score).astype(np.float64),
        [""] * len(label),
        frame.or_else(fitting(own, frame)),
        numbered=not named,
        counting=counting(model.pixel_size, frame),
    )


def _ours(model: Model) -> bool:
    return model.name.startswith(WRITTEN_BY)


def _pixel_size(model: Model) -> float | None:
    """Give the pixel size in Å; not the one that IMOD takes for want of another."""
    if model.pixel_size == UNSET and not _ours(model):
        return None
    return model.pixel_size


def _shape(model: Model) -> tuple[int, int, int] | None:
    """Give the image's shape (z, y, x), where who wrote the model knew it."""
    if (model.of_image or _ours(model)) and all(
        1 <= edge <= MAX_EDGE for edge in model.size
    ):
        return model.size[::-1]
    return None


def recognise(start: bytes) -> bool:
    """Tell an IMOD model by its first word."""
    return start.startswith(b"IMOD")


FORMAT = Format(
    title="IMOD model",
    pattern="{name}.mod",
    holds=Holds.SCORE | Holds.CLASS | Holds.CLASS_NAME,
    write=write,
    read=read,
    recognise=recognise,
)
