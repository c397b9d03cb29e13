"""DeepETPicker's .coords: blank-separated ``class x y z``, voxels counted from 0.

Source: the published tool's documentation (REFERENCE section 7). Classes are numbers
from 1. There is no place for scores or names. Three columns, ``x y z``, are read as
class 1.
"""

from collections.abc import Sequence
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
    from dep.engine.picks import Picks


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:  # noqa: ARG001 - voxels need no convention
    """Write one line for each pick, best first."""
    (one,) = picks
    rows = format_rows(
        "%d\t%.3f\t%.3f\t%.3f\n", one.class_id.tolist(), *one.xyz.T.tolist()
    )
    return {path: rows}


def read(path: Path, frame: Frame) -> Table:
    """Read lines of three or four numbers; empty lines and ``#`` are passed over.

    Raises
    ------
    PicksError
        A line of another length, or a field that is no number.
    """
    xyz: list[tuple[float, float, float]] = []
    labels: list[str] = []
    text = path.read_text(encoding="utf-8-sig")
    for line_number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        where = f"line {line_number}"
        if len(fields) not in (3, 4):
            message = (
                f"{path}: {where}: expected 'class x y z' or 'x y z', found "
                f"{len(fields)} fields"
            )
            raise PicksError(message)
        labels.append(
            str(whole(path, f"{where}, class", fields[0])) if len(fields) == 4 else "1"
        )
        x, y, z = (
            number(path, f"{where}, {axis}", field)
            for axis, field in zip("xyz", fields[-3:], strict=True)
        )
        xyz.append((x, y, z))
    return Table(
        np.array(xyz, np.float64).reshape(-1, 3),
        labels,
        np.ones(len(xyz)),
        [""] * len(xyz),
        frame,
        numbered=True,
    )


FORMAT = Format(
    title="DeepETPicker coordinates",
    pattern="{name}.coords",
    holds=Holds.CLASS,
    write=write,
    read=read,
)
