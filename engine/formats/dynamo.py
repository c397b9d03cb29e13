"""Dynamo tables, .tbl: one row of numbers for each particle, and who is tomogram 1.

Source: Dynamo's wiki, "Table convention" and "Volume list file". Columns from 1: 1 tag,
2 to be aligned, 4-6 shift of the particle's centre from its position, 10 cross
correlation, 20 tomogram number, 22 class, 24-26 position, 36 pixel size in ångström. As
in all of MATLAB the first voxel is 1, so that positions are voxels from 0 plus 1; a
particle lies at position plus shift. Values of the other columns are 0: tilt ranges and
angles are not known to a picker.

Class and tomogram are numbers. The table's companion ``NAME.doc`` (Dynamo's table map)
says which file each tomogram number is, and gives the tomograms their names on reading.
For a table of one tomogram ``NAME.vll`` is what ``dtcrop`` takes: the tomogram, its
number and pixel size, the table, and the classes as comments. Both name the tomogram
``NAME.mrc`` without a folder: put in the path. The number is the last one in the
tomogram's name, where there is one (``TS_012`` is 12), so that tables of many tomograms
can be joined.

The score is written as the cross correlation.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.errors import PicksError
from dep.engine.formats.binning import counting
from dep.engine.formats.fields import number, whole
from dep.engine.formats.format import Conventions, Files, Format, Holds
from dep.engine.formats.frame import Frame
from dep.engine.formats.table import Table
from dep.engine.formats.tomogram_numbers import tomogram_numbers

if TYPE_CHECKING:
    from dep.engine.picks import Picks

COLUMNS = 41
TAG, ALIGNED, SHIFT, SCORE, TOMOGRAM, CLASS, POSITION, PIXEL_SIZE = (
    column - 1 for column in (1, 2, 4, 10, 20, 22, 24, 36)
)
FEWEST = POSITION + 3  # columns that a table must have to be of any use here


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:
    """Write the table, best first in each tomogram, and its companions.

    Raises
    ------
    PicksError
        A tomogram name with a line break.
    """
    numbers = tomogram_numbers([one.tomogram for one in picks])
    rows: list[str] = []
    for one in picks:
        pixel_size = how.frame_of(one).voxel_size or 0.0
        row = ["0"] * COLUMNS
        row[ALIGNED], row[TOMOGRAM] = "1", str(numbers[one.tomogram])
        row[PIXEL_SIZE] = f"{pixel_size:.6g}"
        for xyz, label, score in zip(
            (one.xyz.astype(np.float64) + 1).tolist(),
            one.class_id.tolist(),
            one.score.tolist(),
            strict=True,
        ):
            row[TAG], row[CLASS], row[SCORE] = (
                f"{len(rows) + 1}",
                str(label),
                f"{score:.4f}",
            )
            row[POSITION : POSITION + 3] = [f"{value:.3f}" for value in xyz]
            rows.append(" ".join(row) + "\n")
    named = {name: _volume(path, name) for name in numbers}
    files: Files = {
        path.with_suffix(".doc"): "".join(
            f"{tag} {named[name]}\n" for name, tag in numbers.items()
        )
    }
    if len(picks) == 1:
        (one,) = picks
        files[path.with_suffix(".vll")] = _volume_list(
            named[one.tomogram], numbers[one.tomogram], one, path, how
        )
    files[path] = "".join(rows)
    return files


def _volume(path: Path, tomogram: str) -> str:
    if tomogram.splitlines() != [tomogram]:
        message = (
            f"{path}: Dynamo's lists name a tomogram on one line, which "
            f"{tomogram[:60]!r} does not fit on"
        )
        raise PicksError(message)
    return f"{tomogram}.mrc"


def _volume_list(
    volume: str, tag: int, one: "Picks", path: Path, how: Conventions
) -> str:
    pixel_size = how.frame_of(one).voxel_size
    lines = [
        f"# class {k} is {kind.name!r}" for k, kind in enumerate(one.classes, start=1)
    ]
    lines += [volume, f"* index = {tag}"]
    if pixel_size:
        lines.append(f"* apix = {pixel_size:.6g}")
    lines.append(f"> {path.name}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Row:
    """Fields of one row, read by their column from 0."""

    path: Path
    where: str
    fields: list[str]

    def value(self, column: int) -> float:
        place = f"{self.where}, column {column + 1}"
        return number(self.path, place, self.fields[column])

    def count(self, column: int) -> int:
        place = f"{self.where}, column {column + 1}"
        return whole(self.path, place, self.fields[column])


def read(path: Path, frame: Frame) -> Table:
    """Read a table, and the tomograms' names from the .doc beside it.

    Raises
    ------
    PicksError
        A row that is too short or of another length than the first, or a field that
        is no number.
    """
    xyz: list[list[float]] = []
    labels: list[int] = []
    scores: list[float] = []
    tomograms: list[int] = []
    sizes: dict[int, float] = {}
    length = 0
    text = path.read_text(encoding="utf-8-sig")
    for line, fields in enumerate(map(str.split, text.splitlines()), start=1):
        if not fields:
            continue
        where = f"line {line}"
        length = length or len(fields)
        if len(fields) != length or length < FEWEST:
            wanted = length if length >= FEWEST else f"{FEWEST} to {COLUMNS + 1}"
            message = f"{path}: {where}: expected {wanted} columns, found {len(fields)}"
            raise PicksError(message)
        row = _Row(path, where, fields)
        xyz.append(
            [
                row.value(POSITION + axis) + row.value(SHIFT + axis) - 1
                for axis in range(3)
            ]
        )
        labels.append(row.count(CLASS))
        scores.append(row.value(SCORE))
        tomograms.append(row.count(TOMOGRAM))
        if length > PIXEL_SIZE:
            sizes.setdefault(tomograms[-1], row.value(PIXEL_SIZE))
    names = _names(path, tomograms)
    if not any(labels):  # no classes: what a table has that was never classified
        labels = [1] * len(labels)
    known = {size for size in sizes.values() if size > 0}
    pixel_size = known.pop() if len(known) == 1 else None
    return Table(
        np.array(xyz, np.float64).reshape(-1, 3),
        [str(label) for label in labels],
        np.array(scores, np.float64),
        [names[tag] for tag in tomograms],
        frame.or_else(Frame(voxel_size=pixel_size)),
        numbered=True,
        counting=counting(pixel_size, frame),
    )


def _names(path: Path, tomograms: list[int]) -> dict[int, str]:
    """Name tomograms after the table map; by number where it does not know them."""
    used = dict.fromkeys(tomograms)
    companion = path.with_suffix(".doc")
    names: dict[int, str] = {}
    if companion.is_file():
        text = companion.read_text(encoding="utf-8-sig")
        for line, fields in enumerate(
            (one.split(maxsplit=1) for one in text.splitlines()), start=1
        ):
            if not fields:
                continue
            if len(fields) != 2:
                message = (
                    f"{companion}: line {line}: expected a tomogram number and its file"
                )
                raise PicksError(message)
            tag = whole(companion, f"line {line}, tomogram number", fields[0])
            names[tag] = _stem(fields[1].strip())
    if not names and len(used) < 2:
        return dict.fromkeys(used, "")
    return {tag: names.get(tag, str(tag)) for tag in used}


def _stem(volume: str) -> str:
    name = Path(volume.replace("\\", "/")).name
    return re.sub(r"\.(mrc|rec|map|st|em)$", "", name, flags=re.IGNORECASE)


FORMAT = Format(
    title="Dynamo table",
    pattern="{name}.tbl",
    holds=Holds.SCORE | Holds.CLASS | Holds.TOMOGRAM | Holds.SEVERAL,
    write=write,
    read=read,
)
