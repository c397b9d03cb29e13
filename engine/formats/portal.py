"""CryoET Data Portal annotations, .ndjson: a JSON object on each line, one for a point.

Source: the portal's documentation and its ingestion (chanzuckerberg/cryoet-data-portal-
backend). A line is ``{"type": "point", "location": {"x": ..., "y": ..., "z": ...}}`` in
voxels of the tomogram, the first one's centre is 0. ``orientedPoint`` and
``instancePoint`` have more fields, which are passed over. There is no place for scores.

Files lie as on the portal: ``RUN/Reconstructions/VoxelSpacing10.000/Annotations/100/
OBJECT-1.0_point.ndjson``, a folder with a number for each class. Names of objects have
``_`` for what a file's name should not have; the object's own is ``annotation_object.
name`` in the document beside it, ``OBJECT-1.0.json``. What a picker knows of that
document is written; authors, dates and the object's ontology identifier are the
depositor's to add.

Read are one file, or a folder from the dataset's down.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.card import ClassInfo
from dep.engine.errors import PicksError
from dep.engine.formats.binning import counting
from dep.engine.formats.class_files import (
    file_names,
    find,
    folder_name,
    refuse_suffix,
    refuse_twins,
)
from dep.engine.formats.format import Conventions, Files, Format, Holds
from dep.engine.formats.frame import VOXELS, Frame
from dep.engine.formats.json_files import a_name, an_object, document, location
from dep.engine.formats.table import Table

if TYPE_CHECKING:
    from dep.engine.picks import Picks

VERSION = "1.0"
FIRST_NUMBER = 100  # of an annotation's folder, as the portal counts
FORBIDDEN = r"[^0-9A-Za-z.+-]+"
TYPES = ("point", "orientedPoint", "instancePoint")
ANNOTATIONS = "Annotations"
WHERE = tuple(
    f"{above}{leaf}"
    for above in (
        f"*/Reconstructions/VoxelSpacing*/{ANNOTATIONS}/",
        f"Reconstructions/VoxelSpacing*/{ANNOTATIONS}/",
        f"VoxelSpacing*/{ANNOTATIONS}/",
        f"{ANNOTATIONS}/",
        "",
    )
    for leaf in ("*/*point.ndjson", "*point.ndjson")
)
FILE = re.compile(r"(?P<name>.+)-(?P<version>[0-9.]+)_(oriented|instance)?point", re.I)
SPACING = re.compile(r"VoxelSpacing([0-9]+(?:\.[0-9]+)?)")


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:
    """Write the points and the description of each class, below the dataset's folder.

    Raises
    ------
    PicksError
        The voxel size is unknown, a tomogram's name cannot be a folder's, or two
        classes would share a file's name.
    """
    refuse_suffix(path, ".ndjson")
    files: Files = {}
    for one in picks:
        size = how.frame_of(one).need_voxel_size(one.tomogram, "the CryoET Data Portal")
        run = folder_name(path, one.tomogram)
        above = Path(run, "Reconstructions", f"VoxelSpacing{size:.3f}")
        names = file_names(path, one.classes, FORBIDDEN, "_")
        for index, kind in enumerate(one.classes):
            folder = above / ANNOTATIONS / str(FIRST_NUMBER + index)
            stem = f"{names[kind.name]}-{VERSION}"
            points = one.xyz[one.class_id == index + 1].astype(np.float64).tolist()
            lines = [
                json.dumps(
                    {
                        "type": "point",
                        "location": dict(
                            zip(
                                "xyz", (round(value, 3) for value in place), strict=True
                            )
                        ),
                    }
                )
                for place in points
            ]
            about = {
                "annotation_object": {"name": kind.name},
                "annotation_software": "dep",
                "method_type": "automated",
                "ground_truth_status": False,
                "object_count": len(points),
                "version": VERSION,
                "files": [
                    {
                        "format": "ndjson",
                        "path": (folder / f"{stem}_point.ndjson").as_posix(),
                        "shape": "Point",
                    }
                ],
            }
            files[path / folder / f"{stem}.json"] = json.dumps(about, indent=2) + "\n"
            files[path / folder / f"{stem}_point.ndjson"] = "".join(
                f"{line}\n" for line in lines
            )
    return files


def read(path: Path, frame: Frame) -> Table:
    """Read the points of a file, a run or a dataset.

    Raises
    ------
    PicksError
        No annotations, several of one object in one run, annotations of one run at
        several voxel sizes, or a malformed line.
    """
    files = [path] if not path.is_dir() else find(path, WHERE)
    xyz: list[tuple[float, ...]] = []
    labels: list[str] = []
    tomograms: list[str] = []
    sizes: dict[str, float | None] = {}
    read_before: dict[tuple[str, str], Path] = {}
    for file in files:
        run, size = _place(file)
        if sizes.setdefault(run, size) != size:
            message = (
                f"{path}: holds annotations of {run} at {sizes[run]:g} and {size:g} Å; "
                "give the folder of one"
            )
            raise PicksError(message)
        label = _object(file)
        refuse_twins(path, read_before, (run, label), file)
        points = _points(file)
        xyz += points
        labels += [label] * len(points)
        tomograms += [run] * len(points)
    frames = {run: frame.or_else(Frame(voxel_size=size)) for run, size in sizes.items()}
    known = {size for size in sizes.values() if size}
    names = dict.fromkeys(label for _, label in read_before)
    classes = tuple(ClassInfo(name, 0.0) for name in names)
    return Table(
        np.array(xyz, np.float64).reshape(-1, 3),
        labels,
        np.ones(len(xyz)),
        tomograms,
        (next(iter(frames.values())) if len(frames) == 1 else frame).or_else(
            Frame(classes=classes)
        ),
        numbered=False,
        counting=counting(known.pop(), frame) if len(known) == 1 else VOXELS,
        frames=frames,
        name=next(iter(frames)) if len(frames) == 1 else "",
    )


def _place(file: Path) -> tuple[str, float | None]:
    """Give run and voxel size by the folders that a file lies in."""
    parts = file.absolute().parts
    for at in range(len(parts) - 2, 1, -1):
        if (found := SPACING.fullmatch(parts[at])) and parts[at - 1] in (
            "Reconstructions",
            "Tomograms",
        ):
            return parts[at - 2], float(found[1]) or None
    return "", None


def _object(file: Path) -> str:
    """Name a file's object, by the description beside it or by its own name."""
    found = FILE.fullmatch(file.stem)
    if found is None:
        return file.stem
    about = file.with_name(f"{found['name']}-{found['version']}.json")
    if not about.is_file():
        return found["name"]
    content = document(about, about.read_text(encoding="utf-8-sig"))
    described = an_object(
        about, "annotation_object", content.get("annotation_object", {})
    )
    if described.get("name") is None:
        return found["name"]
    return a_name(about, "annotation_object.name", described["name"])


def _points(file: Path) -> list[tuple[float, ...]]:
    points: list[tuple[float, ...]] = []
    for line, text in enumerate(
        file.read_text(encoding="utf-8-sig").split("\n"), start=1
    ):
        if not text.strip():
            continue
        where = f"line {line}"
        point = document(file, text, where)
        if point.get("type", "point") not in TYPES:
            message = (
                f"{file}: {where}: expected a point (type {', '.join(TYPES)}), found "
                f"{str(point['type'])[:60]!r}"
            )
            raise PicksError(message)
        points.append(location(file, f"{where}, location", point.get("location")))
    return points


def is_root(path: Path) -> bool:
    """Tell a folder with annotations, from a dataset's down, from other folders."""
    return any(next(path.glob(pattern), None) is not None for pattern in WHERE)


FORMAT = Format(
    title="CryoET Data Portal annotations",
    pattern="{name}/Reconstructions",
    holds=Holds.CLASS | Holds.CLASS_NAME | Holds.TOMOGRAM | Holds.SEVERAL,
    write=write,
    read=read,
    suffixes=(".ndjson",),
    folder=True,
    is_root=is_root,
)
