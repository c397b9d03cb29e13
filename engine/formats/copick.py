"""copick projects: a JSON file of picks for each class in the folder of its run.

Source: copick's data model (``copick.models.CopickPicksFile``, ``CopickPoint``) and
layout of files, ``ExperimentRuns/RUN/Picks/USER_SESSION_OBJECT.json``. A run is a
tomogram. ``points[].location`` is x, y, z in ångström from the tomogram's corner as
copick's tools draw it: voxel x voxel spacing, the first voxel's centre is 0. A point's
4 x 4 ``transformation_`` turns the object, and its last column shifts it in ångström;
the particle lies at location plus shift. Points have a score and an ``instance_id``.

Picks of this software are of user ``dep``, session 0 (copick's mark of a tool), and
``trust_orientation`` is false: a picker knows no angles. copick allows neither ``_``
nor blanks in names of objects: they become ``-``, and the class's own name is kept as
``class_name``, which copick passes over. A class without picks has a file without
points, so that what an earlier run found there is gone. The project's own
configuration, which lists the objects, is not written.

Read are one file, a folder ``Picks``, a run or a whole project.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.engine.card import ClassInfo
from dep.engine.errors import PicksError
from dep.engine.formats.class_files import (
    file_names,
    find,
    folder_name,
    refuse_suffix,
    refuse_twins,
)
from dep.engine.formats.format import Conventions, Files, Format, Holds
from dep.engine.formats.frame import Counting, Frame
from dep.engine.formats.json_files import (
    a_list,
    a_name,
    a_number,
    an_object,
    document,
    location,
)
from dep.engine.formats.table import Table

if TYPE_CHECKING:
    from dep.engine.picks import Picks

RUNS, PICKS = "ExperimentRuns", "Picks"
USER, SESSION = "dep", "0"
FORBIDDEN = r'[<>:"/\\|?*\x00-\x1f\x7f\s_]'  # copick.util.escape.sanitize_name
WHERE = (
    f"{RUNS}/*/{PICKS}/*.json",
    f"*/{PICKS}/*.json",
    f"{PICKS}/*.json",
    "*_*_*.json",
)
IDENTITY = [[float(row == column) for column in range(4)] for row in range(4)]


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:
    """Write a file for each class of each tomogram, below the project's folder.

    Raises
    ------
    PicksError
        The voxel size is unknown, a tomogram's name cannot be a folder's, or two
        classes whose names are the same to copick.
    """
    refuse_suffix(path, ".json")
    files: Files = {}
    for one in picks:
        voxel_size = how.frame_of(one).need_voxel_size(one.tomogram, "copick")
        folder = path / RUNS / folder_name(path, one.tomogram) / PICKS
        names = file_names(path, one.classes, FORBIDDEN, "-")
        angstrom = one.xyz.astype(np.float64) * voxel_size
        for number, kind in enumerate(one.classes, start=1):
            name = names[kind.name]
            points = [
                {
                    "location": dict(
                        zip("xyz", (round(value, 3) for value in place), strict=True)
                    ),
                    "transformation_": IDENTITY,
                    "instance_id": 0,
                    "score": round(score, 6),
                }
                for place, score in zip(
                    angstrom[one.class_id == number].tolist(),
                    one.score[one.class_id == number].tolist(),
                    strict=True,
                )
            ]
            content: dict[str, Any] = {
                "pickable_object_name": name,
                "user_id": USER,
                "session_id": SESSION,
                "run_name": one.tomogram,
                "voxel_spacing": round(voxel_size, 3),
                "unit": "angstrom",
                "points": points,
                "trust_orientation": False,
            }
            if name != kind.name:
                content["class_name"] = kind.name
            files[folder / f"{USER}_{SESSION}_{name}.json"] = json.dumps(content) + "\n"
    return files


def read(path: Path, frame: Frame) -> Table:
    """Read the picks of a file, a run or a project.

    Raises
    ------
    PicksError
        No picks, several files of one object in one run, or a malformed file with the
        field.
    """
    files = [path] if not path.is_dir() else find(path, WHERE)
    xyz: list[list[float]] = []
    labels: list[str] = []
    scores: list[float] = []
    tomograms: list[str] = []
    frames: dict[str, Frame] = {}
    read_before: dict[tuple[str, str], Path] = {}
    for file in files:
        content = document(file, file.read_text(encoding="utf-8-sig"))
        key = "class_name" if "class_name" in content else "pickable_object_name"
        label = a_name(file, key, content.get(key))
        run = _run(file, content)
        refuse_twins(path, read_before, (run, label), file)
        size = _spacing(file, content)
        frames[run] = frame.or_else(frames.get(run, Frame())).or_else(
            Frame(voxel_size=size)
        )
        for number, found in enumerate(
            a_list(file, "points", content.get("points") or [])
        ):
            where = f"points[{number}]"
            point = an_object(file, where, found)
            place = location(file, f"{where}.location", point.get("location"))
            shift = _shift(file, where, point.get("transformation_"))
            xyz.append([a + b for a, b in zip(place, shift, strict=True)])
            score = point.get("score")
            scores.append(
                1.0 if score is None else a_number(file, f"{where}.score", score)
            )
            labels.append(label)
            tomograms.append(run)
    names = dict.fromkeys(label for _, label in read_before)
    classes = tuple(ClassInfo(name, 0.0) for name in names)
    return Table(
        np.array(xyz, np.float64).reshape(-1, 3),
        labels,
        np.array(scores, np.float64),
        tomograms,
        (next(iter(frames.values())) if len(frames) == 1 else frame).or_else(
            Frame(classes=classes)
        ),
        numbered=False,
        counting=Counting(angstrom=True),
        frames=frames,
        name=next(iter(frames)) if len(frames) == 1 else "",
    )


def _run(file: Path, content: dict[str, Any]) -> str:
    """Name the run: the file's own word, or the folder that it lies in."""
    found = content.get("run_name")
    if found is not None:
        return a_name(file, "run_name", found)
    parent = file.absolute().parent
    return parent.parent.name if parent.name == PICKS else ""


def _spacing(file: Path, content: dict[str, Any]) -> float | None:
    found = content.get("voxel_spacing")
    if found is None:
        return None
    size = a_number(file, "voxel_spacing", found)
    if size <= 0:
        message = f"{file}: voxel_spacing: expected ångström above 0, found {size:g}"
        raise PicksError(message)
    return size


def _shift(file: Path, where: str, found: object) -> tuple[float, float, float]:
    """Read the last column of a 4 x 4 transformation; none is no shift."""
    if found is None:
        return (0.0, 0.0, 0.0)
    where = f"{where}.transformation_"
    rows = a_list(file, where, found)
    if len(rows) != 4 or any(len(a_list(file, where, row)) != 4 for row in rows):
        message = f"{file}: {where}: expected 4 rows of 4 numbers"
        raise PicksError(message)
    x, y, z = (a_number(file, f"{where}[{k}][3]", rows[k][3]) for k in range(3))
    return x, y, z


def recognise(start: bytes) -> bool:
    """Tell picks of copick from other JSON files."""
    return b'"pickable_object_name"' in start


def is_root(path: Path) -> bool:
    """Tell a project, a run of one, or its folder of picks from other folders."""
    return (
        (path / RUNS).is_dir() or (path / PICKS).is_dir() or path.name in (RUNS, PICKS)
    )


FORMAT = Format(
    title="copick project",
    pattern=f"{RUNS}/{{name}}/{PICKS}",
    holds=Holds.SCORE | Holds.CLASS | Holds.CLASS_NAME | Holds.TOMOGRAM | Holds.SEVERAL,
    write=write,
    read=read,
    recognise=recognise,
    suffixes=(".json",),
    folder=True,
    is_root=is_root,
)
