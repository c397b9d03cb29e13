"""Chimera and ChimeraX markers, .cmm: XML, one marker set for each class.

Source: ChimeraX User Guide, "Markers and Links", and its ``cmmfiles.py``. Coordinates
are ångström of the scene. ChimeraX draws the centre of a map's first voxel at the map's
origin, so that a marker is voxel x voxel size where the origin in the map's header is 0
(else ``volume #1 originIndex 0,0,0`` lays the map under the markers).

A marker has its class's radius in ångström and colour, and a note with class and score.
Attributes that ChimeraX does not know it keeps and saves again: a set says tomogram,
voxel size, tomogram size (x y z, in voxels) and class diameter, a marker its score. So
markers that were sorted out in ChimeraX can be read back and written in any other
format. In files of others the class is the set's name, and the voxel size has to be
given.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.card import ClassInfo
from dep.engine.errors import PicksError
from dep.engine.formats.binning import fitting
from dep.engine.formats.class_colours import colour
from dep.engine.formats.fields import number, whole
from dep.engine.formats.format import Conventions, Files, Format, Holds
from dep.engine.formats.frame import Counting, Frame
from dep.engine.formats.table import Table
from dep.engine.formats.xml_elements import Element, elements, quoted
from dep.engine.mrc import MAX_EDGE
from dep.engine.slices import UNKNOWN_DIAMETER

if TYPE_CHECKING:
    from dep.engine.picks import Picks


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:
    """Write a marker set for each class.

    Raises
    ------
    PicksError
        The voxel size is unknown, or a name that XML cannot hold.
    """
    (one,) = picks
    frame = how.frame_of(one)
    voxel_size = frame.need_voxel_size(one.tomogram, "ChimeraX")
    of_tomogram = (
        f"tomogram={quoted(one.tomogram)} voxel_size={quoted(f'{voxel_size:.6g}')}"
    )
    if frame.shape is not None:
        of_tomogram += f" size={quoted(' '.join(map(str, frame.shape[::-1])))}"
    angstrom = one.xyz.astype(np.float64) * voxel_size
    lines = ["<marker_sets>"]
    for index, kind in enumerate(one.classes):
        known = f" diameter={quoted(f'{kind.diameter:.6g}')}" if kind.diameter else ""
        lines.append(f"<marker_set name={quoted(kind.name)} {of_tomogram}{known}>")
        red, green, blue = colour(index)
        look = (
            f'r="{red:.4f}" g="{green:.4f}" b="{blue:.4f}" '
            f'radius="{(kind.diameter or UNKNOWN_DIAMETER) / 2:.6g}"'
        )
        mine = np.flatnonzero(one.class_id == index + 1).tolist()
        for tag, row in enumerate(mine, start=1):
            x, y, z = angstrom[row]
            score = f"{one.score[row]:.4f}"
            lines.append(
                f'<marker id="{tag}" x="{x:.3f}" y="{y:.3f}" z="{z:.3f}" {look} '
                f'note={quoted(f"{kind.name} {score}")} score="{score}"/>'
            )
        lines.append("</marker_set>")
    lines.append("</marker_sets>")
    return {path: "\n".join(lines) + "\n"}


def read(path: Path, frame: Frame) -> Table:
    """Read the markers of all sets; links between them are passed over.

    Raises
    ------
    PicksError
        Not XML, not markers, or an attribute that is missing or no number; names the
        line.
    """
    xyz: list[tuple[float, ...]] = []
    labels: list[str] = []
    scores: list[float] = []
    tomograms: list[str] = []
    frames: dict[str, Frame] = {}
    diameters: dict[str, float] = {}
    name, tomogram = "", ""
    for one in elements(path, ("marker_sets", "marker_set")):
        where = f"line {one.line}"
        if one.name == "marker_set":
            name = one.attributes.get("name") or "marker set"
            tomogram = one.attributes.get("tomogram", "")
            diameters.setdefault(name, 0.0)
            if "diameter" in one.attributes:
                diameters[name] = _positive(path, where, one, "diameter")
            own = fitting(_frame(path, where, one), frame)
            frames[tomogram] = frame.or_else(frames.get(tomogram, Frame())).or_else(own)
        elif one.name == "marker":
            missing = [axis for axis in "xyz" if axis not in one.attributes]
            if missing or not name:
                lacking = f"no {', '.join(missing)}" if missing else "no marker set"
                message = f"{path}: {where}: the marker has {lacking}"
                raise PicksError(message)
            xyz.append(
                tuple(
                    number(path, f"{where}, {axis}", one.attributes[axis])
                    for axis in "xyz"
                )
            )
            labels.append(name)
            score = one.attributes.get("score", "1")
            scores.append(number(path, f"{where}, score", score))
            tomograms.append(tomogram)
    classes = tuple(ClassInfo(one, size) for one, size in diameters.items())
    single = next(iter(frames.values())) if len(frames) == 1 else frame
    return Table(
        np.array(xyz, np.float64).reshape(-1, 3),
        labels,
        np.array(scores, np.float64),
        tomograms,
        single.or_else(Frame(classes=classes)),
        numbered=False,
        counting=Counting(angstrom=True),
        frames=frames,
    )


def _frame(path: Path, where: str, one: Element) -> Frame:
    """Read what a marker set of ours says of its tomogram."""
    shape = None
    if "size" in one.attributes:
        fields = one.attributes["size"].split()
        edges = [whole(path, f"{where}, size", field) for field in fields]
        if len(edges) != 3 or not all(1 <= edge <= MAX_EDGE for edge in edges):
            message = (
                f"{path}: {where}, size: expected three whole numbers from 1 to "
                f"{MAX_EDGE}, found {one.attributes['size'][:60]!r}"
            )
            raise PicksError(message)
        shape = (edges[2], edges[1], edges[0])
    if "voxel_size" not in one.attributes:
        return Frame(shape)
    return Frame(shape, _positive(path, where, one, "voxel_size"))


def _positive(path: Path, where: str, one: Element, key: str) -> float:
    value = number(path, f"{where}, {key}", one.attributes[key])
    if value <= 0:
        message = f"{path}: {where}, {key}: expected a number above 0, found {value:g}"
        raise PicksError(message)
    return value


def recognise(start: bytes) -> bool:
    """Tell markers from other XML files."""
    return b"<marker_set" in start


FORMAT = Format(
    title="ChimeraX markers",
    pattern="{name}.cmm",
    holds=Holds.SCORE | Holds.CLASS | Holds.CLASS_NAME | Holds.TOMOGRAM,
    write=write,
    read=read,
    recognise=recognise,
)
