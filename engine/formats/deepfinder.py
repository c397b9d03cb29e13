"""DeepFinder object lists: XML, one ``object`` for each particle.

Source: DeepFinder (cryoet-deepfinder), ``utils/objl.py``: attributes ``class_label``
(whole number, 0 is background), ``x``, ``y``, ``z`` in voxels of the tomogram, the
first one's centre is 0, and optional ``tomo_idx``, ``obj_id``, ``cluster_size`` (all
whole numbers) and ``psi``, ``phi``, ``the``. There is no place for scores or names.

``tomo_idx`` is the tomogram's place, from 0, in the list that DeepFinder is trained
on: it is written in the order of the tomograms, and read as the tomogram's name where a
file has more than one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.errors import PicksError
from dep.engine.formats.fields import number, whole
from dep.engine.formats.format import Conventions, Files, Format, Holds
from dep.engine.formats.frame import Frame
from dep.engine.formats.table import Table
from dep.engine.formats.xml_elements import elements

if TYPE_CHECKING:
    from dep.engine.picks import Picks


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:  # noqa: ARG001 - voxels need no convention
    """Write one element for each pick, best first in each tomogram."""
    lines = ["<objlist>"]
    for index, one in enumerate(picks):
        for label, (x, y, z) in zip(
            one.class_id.tolist(), one.xyz.tolist(), strict=True
        ):
            lines.append(
                f'  <object tomo_idx="{index}" obj_id="{len(lines)}" '
                f'class_label="{label}" x="{x:.3f}" y="{y:.3f}" z="{z:.3f}"/>'
            )
    lines.append("</objlist>")
    return {path: "\n".join(lines) + "\n"}


def read(path: Path, frame: Frame) -> Table:
    """Read an object list; attributes of no use here are passed over.

    Raises
    ------
    PicksError
        Not XML, not an object list, or an object that lacks an attribute or has one
        that is no number; names the line.
    """
    xyz: list[tuple[float, ...]] = []
    labels: list[str] = []
    tomograms: list[str] = []
    for one in elements(path, ("objlist",)):
        if one.depth == 0:
            continue
        where = f"line {one.line}"
        if one.name != "object":
            message = f"{path}: {where}: expected <object>, found <{one.name[:60]}>"
            raise PicksError(message)
        missing = [
            key for key in ("class_label", "x", "y", "z") if key not in one.attributes
        ]
        if missing:
            message = f"{path}: {where}: the object has no {', '.join(missing)}"
            raise PicksError(message)
        labels.append(
            str(whole(path, f"{where}, class_label", one.attributes["class_label"]))
        )
        xyz.append(
            tuple(
                number(path, f"{where}, {axis}", one.attributes[axis]) for axis in "xyz"
            )
        )
        index = one.attributes.get("tomo_idx")
        tomograms.append(
            "" if index is None else str(whole(path, f"{where}, tomo_idx", index))
        )
    if len(set(tomograms)) < 2:
        tomograms = [""] * len(tomograms)
    return Table(
        np.array(xyz, np.float64).reshape(-1, 3),
        labels,
        np.ones(len(xyz)),
        tomograms,
        frame,
        numbered=True,
    )


def recognise(start: bytes) -> bool:
    """Tell an object list from other XML files."""
    return b"<objlist" in start


FORMAT = Format(
    title="DeepFinder object list",
    pattern="{name}.xml",
    holds=Holds.CLASS | Holds.SEVERAL,
    write=write,
    read=read,
    recognise=recognise,
)
