"""crYOLO boxes of tomograms, .cbox: the corner of each box in x and y, its centre in z.

Source: crYOLO's ``CoordsIO.write_cbox_file`` and napari-boxmanager's ``cbox`` reader:
STAR blocks ``global`` (``_cbox_format_version 1.0``), ``cryolo`` and
``cryolo_include`` (the slices that hold boxes). Pixels of the tomogram from 0:

    CoordinateX = x - Width / 2,  CoordinateY = y - Height / 2,  CoordinateZ = z

Confidence is the score. There is one kind of particle and one tomogram in a file, and
neither has a name there. Width, height and depth are the diameter of the pick's class
in voxels, or the box that is given; unknown fields are ``<NA>``, as crYOLO has them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.errors import PicksError, UseError
from dep.engine.formats.format import Conventions, Files, Format, Holds
from dep.engine.formats.frame import Frame
from dep.engine.formats.rows import format_rows
from dep.engine.formats.star_file import read_star
from dep.engine.formats.table import Table

if TYPE_CHECKING:
    from dep.engine.picks import Picks

TAGS = (
    *("CoordinateX", "CoordinateY", "CoordinateZ", "Width", "Height", "Depth"),
    *("EstWidth", "EstHeight", "Confidence", "NumBoxes", "Angle"),
)
UNKNOWN = "<NA>"


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:
    """Write the three blocks, best first.

    Raises
    ------
    UseError
        How large boxes are to be is unknown.
    """
    (one,) = picks
    boxes = _boxes(one, how)
    x, y, z = one.xyz.astype(np.float64).T
    edges = boxes.tolist()
    rows = format_rows(
        f"%.3f %.3f %.3f %.3f %.3f %.3f %.3f %.3f %.4f {UNKNOWN} {UNKNOWN}\n",
        (x - boxes / 2).tolist(),
        (y - boxes / 2).tolist(),
        z.tolist(),
        *[edges] * 5,
        one.score.tolist(),
    )
    slices = "".join(f"{k}\n" for k in sorted({int(k) for k in np.floor(z + 0.5)}))
    return {
        path: "\ndata_global\n\n_cbox_format_version 1.0\n\n"
        + _loop("cryolo", TAGS, rows)
        + _loop("cryolo_include", ("slice_index",), slices)
    }


def _loop(block: str, tags: Sequence[str], rows: str) -> str:
    head = "".join(f"_{tag} #{column}\n" for column, tag in enumerate(tags, start=1))
    return f"data_{block}\n\nloop_\n{head}{rows}\n"


def _boxes(
    one: "Picks", how: Conventions
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Give the edge of each pick's box in voxels."""
    if how.box is not None:
        return np.full(len(one), float(how.box))
    used = [one.classes[number - 1] for number in np.unique(one.class_id)]
    unknown = [kind.name for kind in used if not kind.diameter > 0]
    size = how.frame_of(one).voxel_size
    if unknown or (used and not size):
        lacks = f"diameter of {', '.join(unknown)}" if unknown else "voxel size"
        message = (
            f"{one.tomogram}: cbox needs the size of boxes, but the {lacks} is "
            "unknown; give the box in voxels (box=... in Python, --box on the command "
            "line)"
        )
        raise UseError(message)
    edges = [kind.diameter / (size or 1.0) for kind in one.classes]
    return np.array([0.0, *edges])[one.class_id]


def read(path: Path, frame: Frame) -> Table:
    """Read the boxes' centres.

    Raises
    ------
    PicksError
        No boxes of a tomogram, or a field that is no number.
    """
    file = read_star(path)
    loop = file.loop_of(TAGS[0])
    if loop is None:
        message = (
            f"{path}: no boxes; expected a block cryolo with {', '.join(TAGS[:6])}"
        )
        raise PicksError(message)
    many = len(loop)
    if not many:
        nothing = np.zeros((0, 3))
        return Table(nothing, [], np.zeros(0), [], frame, numbered=True)
    if UNKNOWN in file.words(loop, "CoordinateZ"):
        message = (
            f"{path}: CoordinateZ is {UNKNOWN}: boxes of micrographs, not of a "
            "tomogram; expected picks in 3D"
        )
        raise PicksError(message)
    xyz = np.stack([file.numbers(loop, tag) for tag in TAGS[:3]], axis=1)
    xyz[:, 0] += file.numbers(loop, "Width") / 2
    xyz[:, 1] += file.numbers(loop, "Height") / 2
    words = file.words(loop, "Confidence")
    known = bool(words) and UNKNOWN not in words
    score = file.numbers(loop, "Confidence") if known else np.ones(many)
    return Table(xyz, ["1"] * many, score, [""] * many, frame, numbered=True)


FORMAT = Format(
    title="crYOLO",
    pattern="{name}.cbox",
    holds=Holds.SCORE,
    write=write,
    read=read,
)
