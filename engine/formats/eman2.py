"""EMAN2's info files, ``info/NAME_info.json``: boxes in a tomogram and their classes.

Source: EMAN2, ``e2spt_boxer.py``, "the new (2018-09) metadata standard". ``boxes_3d``
is a list of ``[x, y, z, method, score, class]``; the three are counted from voxel
``size // 2`` of the tomogram in pixels of ``apix_unbin`` ångström, the unbinned tilt
series':

    x = (voxel - size // 2) * apix / apix_unbin

``class_list`` maps the number of a class, from 0, to its name and box size in unbinned
pixels. Files without ``apix_unbin`` are older: they count voxels from the first one.

An info file holds more than boxes: the alignment of the tilt series and its defocus.
Where there is one already, all of it is kept: boxes of the classes that are written are
replaced, those of other classes stay. Its own ``apix_unbin`` is used; of a new file it
is the unbinned pixel size, or where that is not known the voxel size (the tomogram is
then said not to be binned).

EMAN2 asks the tomogram itself for its size. So that a file can be read without it, ours
say it under a key that EMAN2 passes over: ``dep_tomogram``, with ``size`` (x, y, z in
voxels) and ``voxel_size`` in ångström.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.engine.card import ClassInfo
from dep.engine.errors import PicksError
from dep.engine.formats.binning import fitting
from dep.engine.formats.format import Conventions, Files, Format, Holds
from dep.engine.formats.frame import VOXELS, Counting, Frame
from dep.engine.formats.json_files import (
    a_list,
    a_name,
    a_number,
    an_object,
    document,
)
from dep.engine.formats.table import Table
from dep.engine.mrc import MAX_EDGE

if TYPE_CHECKING:
    from dep.engine.picks import Picks

METHOD = "dep"
BOX_MARGIN = 1.5  # of a box to its particle: EMAN2 advises 1.5 to 2
OWN_KEY = "dep_tomogram"
UNKNOWN_BOX = 64  # pixels, what e2spt_boxer gives a class without a size
MOST_CLASSES = 10_000  # more are no class numbers


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:
    """Write the info file, into the one that is there.

    Raises
    ------
    PicksError
        The tomogram's shape or voxel size is unknown, or the file that is there is not
        EMAN2's.
    """
    (one,) = picks
    frame = how.frame_of(one)
    shape, voxel_size = frame.need_sampling(one.tomogram, "EMAN2")
    info = _existing(path)
    if "apix_unbin" in info:
        unbinned = _pixel_size(path, info)
    else:
        unbinned = frame.pixel_size or voxel_size
    mine = {kind.name for kind in one.classes}
    kept = {k: v for k, v in _classes(path, info).items() if v not in mine}
    boxes = [
        box
        for number, box in enumerate(_boxes(path, info))
        if _class(path, f"boxes_3d[{number}]", box) in kept
    ]
    described = an_object(path, "class_list", info.get("class_list", {}))
    class_list = {str(k): described.get(str(k), name) for k, name in kept.items()}
    free = (k for k in range(MOST_CLASSES) if k not in kept)
    keys = [next(free) for _ in one.classes]
    for key, kind in zip(keys, one.classes, strict=True):
        class_list[str(key)] = {
            "name": kind.name,
            "boxsize": _box_size(kind, unbinned),
        }
    centre = np.array(shape[::-1], np.float64) // 2
    places = (one.xyz.astype(np.float64) - centre) * voxel_size / unbinned
    boxes += [
        [
            *(round(value, 3) for value in place),
            METHOD,
            round(score, 4),
            keys[label - 1],
        ]
        for place, score, label in zip(
            places.tolist(), one.score.tolist(), one.class_id.tolist(), strict=True
        )
    ]
    info |= {
        "apix_unbin": unbinned,
        "class_list": class_list,
        "boxes_3d": boxes,
        OWN_KEY: {"size": shape[::-1], "voxel_size": voxel_size},
    }
    return {path: json.dumps(info, indent=1) + "\n"}


def _box_size(kind: ClassInfo, unbinned: float) -> int:
    """Give an even box that holds the particle with its margin."""
    if not kind.diameter:
        return UNKNOWN_BOX
    return max(2, 2 * round(kind.diameter * BOX_MARGIN / unbinned / 2))


def _existing(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return document(path, path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: is there, and cannot be read to add boxes to it ({error})"
        raise PicksError(message) from error


def read(path: Path, frame: Frame) -> Table:
    """Read the boxes.

    Raises
    ------
    PicksError
        Not JSON, or a field that is missing or of another kind; names it.
    """
    info = document(path, path.read_text(encoding="utf-8-sig"))
    if "boxes_3d" not in info:
        message = f"{path}: no boxes_3d, which EMAN2's info files with picks have"
        raise PicksError(message)
    names = _classes(path, info)
    xyz: list[tuple[float, ...]] = []
    labels: list[str] = []
    scores: list[float] = []
    for number, box in enumerate(_boxes(path, info)):
        where = f"boxes_3d[{number}]"
        xyz.append(tuple(a_number(path, where, value) for value in box[:3]))
        scores.append(
            a_number(path, f"{where}, score", box[4]) if len(box) > 4 else 1.0
        )
        labels.append(names[_class(path, where, box)])
    counting, pixel_size = VOXELS, None
    if "apix_unbin" in info:
        pixel_size = _pixel_size(path, info)
        counting = Counting(pixel_size=pixel_size, centred=True, centre="floor")
    classes = tuple(ClassInfo(name, 0.0) for name in dict.fromkeys(names.values()))
    # The centre is the tomogram's own, whatever the size of the unbinned one.
    known = Frame(frame.shape, frame.voxel_size, frame.classes, frame.pixel_size)
    own = fitting(_tomogram(path, info), frame)
    own = replace(own, classes=classes, pixel_size=pixel_size)
    return Table(
        np.array(xyz, np.float64).reshape(-1, 3),
        labels,
        np.array(scores, np.float64),
        [""] * len(labels),
        known.or_else(own),
        numbered=False,
        counting=counting,
    )


def _tomogram(path: Path, info: dict[str, Any]) -> Frame:
    """Read what a file of ours says of its tomogram."""
    if OWN_KEY not in info:
        return Frame()
    found = an_object(path, OWN_KEY, info[OWN_KEY])
    edges = [
        a_number(path, f"{OWN_KEY}.size", edge)
        for edge in a_list(path, f"{OWN_KEY}.size", found.get("size"))
    ]
    voxel_size = a_number(path, f"{OWN_KEY}.voxel_size", found.get("voxel_size"))
    whole = all(edge == int(edge) and 1 <= edge <= MAX_EDGE for edge in edges)
    if len(edges) != 3 or not whole or voxel_size <= 0:
        message = (
            f"{path}: {OWN_KEY}: expected the size (x, y, z) in whole voxels and a "
            f"voxel size above 0, found {edges} and {voxel_size:g}"
        )
        raise PicksError(message)
    x, y, z = map(int, edges)
    return Frame((z, y, x), voxel_size)


def _boxes(path: Path, info: dict[str, Any]) -> list[list[Any]]:
    boxes = a_list(path, "boxes_3d", info.get("boxes_3d", []))
    for number, box in enumerate(boxes):
        if len(a_list(path, f"boxes_3d[{number}]", box)) < 3:
            message = f"{path}: boxes_3d[{number}]: expected x, y and z"
            raise PicksError(message)
    return boxes


def _class(path: Path, where: str, box: list[Any]) -> int:
    """Give the number of a box's class, which EMAN2 lets be missing."""
    if len(box) < 6:
        return 0
    found = a_number(path, f"{where}, class", box[5])
    if found != int(found) or not 0 <= found < MOST_CLASSES:
        message = f"{path}: {where}, class: expected a whole number, found {found:g}"
        raise PicksError(message)
    return int(found)


def _classes(path: Path, info: dict[str, Any]) -> dict[int, str]:
    """Name the classes that the file describes, and those that its boxes have."""
    names: dict[int, str] = {}
    for key, found in an_object(path, "class_list", info.get("class_list", {})).items():
        where = f"class_list[{key[:20]!r}]"
        if not (key.isascii() and key.isdigit() and int(key) < MOST_CLASSES):
            message = f"{path}: {where}: expected the number of a class"
            raise PicksError(message)
        text = found.get("name") if isinstance(found, dict) else found
        names[int(key)] = a_name(path, f"{where}.name", text)
    for number, box in enumerate(_boxes(path, info)):
        index = _class(path, f"boxes_3d[{number}]", box)
        names.setdefault(index, f"particles_{index:02d}")  # as e2spt_boxer names it
    return dict(sorted(names.items()))


def _pixel_size(path: Path, info: dict[str, Any]) -> float:
    found = info["apix_unbin"]
    if isinstance(found, str):  # as some scripts write it
        with contextlib.suppress(ValueError):  # then it is no number: said below
            found = float(found)
    size = a_number(path, "apix_unbin", found)
    if size <= 0:
        message = f"{path}: apix_unbin: expected ångström above 0, found {size:g}"
        raise PicksError(message)
    return size


def recognise(start: bytes) -> bool:
    """Tell an info file from other JSON files."""
    return any(
        key in start for key in (b'"boxes_3d"', b'"apix_unbin"', b'"class_list"')
    )


FORMAT = Format(
    title="EMAN2 info file",
    pattern="{name}_info.json",
    holds=Holds.SCORE | Holds.CLASS | Holds.CLASS_NAME,
    write=write,
    read=read,
    recognise=recognise,
    suffixes=(".json",),
)
