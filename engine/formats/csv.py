"""CSV: ``tomogram,class,x,y,z,score``, voxels from 0 at the centre of the first voxel.

The class is written by name. On reading, columns are found by the names in the first
line: ``x``, ``y``, ``z`` and ``class`` (or ``class_id``) must be there, others are
optional or ignored. So the truth tables of simulated data are read as well. Where only
one class is in question, the rows need not say it.
"""

import contextlib
import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.errors import PicksError
from dep.engine.formats.bulk import BulkRows, bulk_rows
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
        text = stream.read()
    rows = csv.reader(StringIO(text, newline=""), skipinitialspace=True)
    try:
        columns = _Columns(path, next(rows, []), frame)
        plain = _rows(text, columns)
        if plain is not None:
            with contextlib.suppress(ValueError):  # the wrong one is found below
                return columns.table(plain, frame)
        return _row_by_row(path, rows, columns, frame)
    except csv.Error as error:
        message = f"{path}: line {rows.line_num}: not CSV ({error})"
        raise PicksError(message) from error


class _Columns:
    """Which column is which."""

    def __init__(self, path: Path, first: list[str], frame: Frame) -> None:
        self.head = [name.strip().lower() for name in first]
        self.numbered = "class" not in self.head
        self.label = "class_id" if self.numbered else "class"
        self.silent = (
            self.numbered
            and self.label not in self.head
            and len(frame.classes or ()) == 1
        )
        needed = ("x", "y", "z") if self.silent else (self.label, "x", "y", "z")
        # Of the two names of a class the usual one is said to be missing.
        missing = [name.removesuffix("_id") for name in needed if name not in self.head]
        if missing:
            message = (
                f"{path}: no column {', '.join(missing)} in the first line "
                f"({', '.join(self.head) or 'empty'}); expected {','.join(COLUMNS)}"
            )
            if len(self.head) == 1 and any(mark in self.head[0] for mark in "\t;"):
                message += "; fields are to be separated by commas"
            raise PicksError(message)
        twice = [
            name
            for name in dict.fromkeys((*COLUMNS, self.label))
            if self.head.count(name) > 1
        ]
        if twice:
            message = (
                f"{path}: column {', '.join(twice)} is there twice in the first line; "
                "expected it once"
            )
            raise PicksError(message)
        self.at = {
            name: self.head.index(name)
            for name in {*COLUMNS, self.label}
            if name in self.head
        }

    @property
    def numeric(self) -> list[int]:
        """Where numbers are expected."""
        names = ("x", "y", "z", "score", *((self.label,) if self.numbered else ()))
        return [self.at[name] for name in names if name in self.at]

    def table(self, rows: BulkRows, frame: Frame) -> Table:
        """Take columns from the rows.

        Raises
        ------
        ValueError
            A field that is not what its column holds.
        """
        many = len(rows)
        labels = ["1"] * many
        if self.numbered and not self.silent:
            numbers = rows.numeric[self.at[self.label]]
            shown = {one: _whole(one) for one in set(numbers.tolist())}
            labels = [shown[one] for one in numbers.tolist()]
        elif not self.silent:
            labels = rows.column(self.at[self.label])
            meaning = {one: one.strip() for one in dict.fromkeys(labels)}
            if not all(meaning.values()):
                raise ValueError(self.label)
            labels = [meaning[one] for one in labels]
        names = [""] * many
        if "tomogram" in self.at:
            names = rows.column(self.at["tomogram"])
            if any(one.startswith(" ") for one in dict.fromkeys(names)):
                names = [one.lstrip(" ") for one in names]  # skipinitialspace
        return Table(
            np.stack([rows.numeric[self.at[name]] for name in "xyz"], axis=1),
            labels,
            rows.numeric[self.at["score"]] if "score" in self.at else np.ones(many),
            names,
            frame,
            self.numbered,
        )


def _whole(value: float) -> str:
    if value != int(value):
        raise ValueError(value)
    return str(int(value))


def _rows(text: str, columns: _Columns) -> BulkRows | None:
    """Read the rows after the first line of CSV without quotes.

    None where it is not as plain as that, and has to be read row by row.
    """
    start = text.find("\n") + 1
    if '"' in text or "\r" in text or not start or start == len(text):
        return None
    lines = text[start:].removesuffix("\n").split("\n")
    first = lines[0].split(",")
    if len(first) != len(columns.head):
        return None
    return bulk_rows(lines, first, columns.numeric, ",")


def _row_by_row(
    path: Path, rows: "_csv.Reader", columns: _Columns, frame: Frame
) -> Table:
    at = columns.at
    xyz: list[tuple[float, float, float]] = []
    labels: list[str] = []
    scores: list[float] = []
    tomograms: list[str] = []
    for row in rows:
        if not any(row):
            continue
        where = f"line {rows.line_num}"
        if len(row) != len(columns.head):
            message = (
                f"{path}: {where}: expected {len(columns.head)} fields, found "
                f"{len(row)}"
            )
            raise PicksError(message)
        x, y, z = (number(path, f"{where}, {name}", row[at[name]]) for name in "xyz")
        xyz.append((x, y, z))
        text = "1" if columns.silent else row[at[columns.label]].strip()
        if columns.numbered:
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
        columns.numbered,
    )


FORMAT = Format(
    title="CSV",
    pattern="{name}.csv",
    holds=Holds.SCORE | Holds.CLASS | Holds.CLASS_NAME | Holds.TOMOGRAM | Holds.SEVERAL,
    write=write,
    read=read,
)
