"""CSV: ``tomogram,class,x,y,z,score``, voxels from 0 at the centre of the first voxel.

The class is written by name. On reading, columns are found by the names in the first
line: ``x``, ``y``, ``z`` and ``class`` (or ``class_id``) must be there, others are
optional or ignored. So the truth tables of simulated data are read as well. Where only
one class is in question, the rows need not say it.
"""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.errors import PicksError
from dep.engine.formats.fields import number, whole
from dep.engine.formats.format import Conventions, Files, Format, Holds
from dep.engine.formats.frame import Frame
from dep.engine.formats.rows import format_rows
from dep.engine.formats.table import Table

if TYPE_CHECKING:
    import _csv

    from dep.engine.picks import Picks

COLUMNS = ("tomogram", "class", "x", "y", "z", "score")


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:  # noqa: ARG001 - voxels need no convention
    """Write one row for each pick, best first in each tomogram."""
    parts = [",".join(COLUMNS) + "\n"]
    for one in picks:
        names = [_field(kind.name) for kind in one.classes]
        tomogram = _field(one.tomogram).replace("%", "%%")
        parts.append(
            format_rows(
                f"{tomogram},%s,%.3f,%.3f,%.3f,%.4f\n",
                [names[number - 1] for number in one.class_id.tolist()],
                *one.xyz.T.tolist(),
                one.score.tolist(),
            )
        )
    return {path: "".join(parts)}


def _field(text: str) -> str:
    """Quote a field where CSV needs it."""
    stream = StringIO()
    csv.writer(stream, lineterminator="").writerow([text])
    return stream.getvalue()


def read(path: Path, frame: Frame) -> Table:
    """Read a CSV file with a line of column names.

    Raises
    ------
    PicksError
        Missing columns, a row of another length, or a field that is no number.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.reader(stream, skipinitialspace=True)
        try:
            return _read(path, rows, frame)
        except csv.Error as error:
            message = f"{path}: line {rows.line_num}: not CSV ({error})"
            raise PicksError(message) from error


def _read(path: Path, rows: "_csv.Reader", frame: Frame) -> Table:
    head = [name.strip().lower() for name in next(rows, [])]
    numbered = "class" not in head
    label = "class_id" if numbered else "class"
    silent = numbered and label not in head and len(frame.classes or ()) == 1
    needed = ("x", "y", "z") if silent else (label, "x", "y", "z")
    missing = [name for name in needed if name not in head]
    if missing:
        message = (
            f"{path}: no column {', '.join(missing)} in the first line "
            f"({', '.join(head) or 'empty'}); expected {','.join(COLUMNS)}"
        )
        raise PicksError(message)
    at = {name: head.index(name) for name in {*COLUMNS, label} if name in head}
    xyz: list[tuple[float, float, float]] = []
    labels: list[str] = []
    scores: list[float] = []
    tomograms: list[str] = []
    for row in rows:
        if not any(row):
            continue
        where = f"line {rows.line_num}"
        if len(row) != len(head):
            message = f"{path}: {where}: expected {len(head)} fields, found {len(row)}"
            raise PicksError(message)
        x, y, z = (number(path, f"{where}, {name}", row[at[name]]) for name in "xyz")
        xyz.append((x, y, z))
        text = "1" if silent else row[at[label]].strip()
        if numbered:
            text = str(whole(path, f"{where}, class_id", text))
        elif not text:
            message = f"{path}: {where}, class: expected a name, found nothing"
            raise PicksError(message)
        labels.append(text)
        scores.append(
            number(path, f"{where}, score", row[at["score"]]) if "score" in at else 1.0
        )
        tomograms.append(row[at["tomogram"]] if "tomogram" in at else "")
    return Table(
        np.array(xyz, np.float64).reshape(-1, 3),
        labels,
        np.array(scores, np.float64),
        tomograms,
        frame,
        numbered,
    )


FORMAT = Format(
    title="CSV",
    pattern="{name}.csv",
    holds=Holds.SCORE | Holds.CLASS | Holds.CLASS_NAME | Holds.TOMOGRAM | Holds.SEVERAL,
    write=write,
    read=read,
)
