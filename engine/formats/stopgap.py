"""STOPGAP motive lists, ``NAME_motl.star``: ``orig_x/y/z`` from 1, score and class.

Source: STOPGAP's ``sg_get_motl_fields`` and ``sg_motl_read2``: block
``stopgap_motivelist`` with 16 columns, their tags without numbers and a blank line
before the rows, which ``stopgap_star_read`` needs. Pixels of the tomogram count from 1,
as in all of MATLAB: voxels from 0 plus 1. A particle lies at ``orig`` plus ``shift``.

The tomogram is a number, ``tomo_num``: the last one in its name where there is one
(``TS_012`` is 12). ``class`` counts from 1. Our first comment lines, which STOPGAP
passes over, keep the names. ``halfset`` alternates between A and B, as STOPGAP's own
lists do before a refinement; angles and shifts are 0, for a picker knows none.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.errors import PicksError
from dep.engine.formats.comment import NUMBER, frame_comments, read_comments
from dep.engine.formats.format import Conventions, Files, Format, Holds
from dep.engine.formats.frame import Frame
from dep.engine.formats.rows import format_rows
from dep.engine.formats.star_file import read_star
from dep.engine.formats.table import Table
from dep.engine.formats.tomogram_numbers import tomogram_numbers

if TYPE_CHECKING:
    from dep.engine.picks import Picks

BLOCK = "stopgap_motivelist"
POSITION = ("orig_x", "orig_y", "orig_z")
SHIFT = ("x_shift", "y_shift", "z_shift")
TAGS = (
    *("motl_idx", "tomo_num", "object", "subtomo_num", "halfset"),
    *POSITION,
    "score",
    *SHIFT,
    *("phi", "psi", "the", "class"),
)


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:  # noqa: ARG001 - voxels need no convention
    """Write the motive list, best first in each tomogram."""
    numbers = tomogram_numbers([one.tomogram for one in picks])
    head = "".join(f"_{tag}\n" for tag in TAGS)
    rows = []
    first = 1
    for one in picks:
        index = range(first, first + len(one))
        rows.append(
            format_rows(
                f"%d {numbers[one.tomogram]} 1 %d %s %.3f %.3f %.3f %.4f "
                "0 0 0 0 0 0 %d\n",
                index,
                index,
                ["AB"[number % 2] for number in range(len(one))],
                *(one.xyz.astype(np.float64) + 1).T.tolist(),
                one.score.tolist(),
                one.class_id.tolist(),
            )
        )
        first += len(one)
    comments = frame_comments(picks, numbers)
    return {path: f"{comments}\ndata_{BLOCK}\n\nloop_\n{head}\n{''.join(rows)}"}


def read(path: Path, frame: Frame) -> Table:
    """Read a motive list; tomograms without a name of ours are called by their number.

    Raises
    ------
    PicksError
        No motive list, or a field that is no number.
    """
    file = read_star(path)
    own = read_comments(file.text)
    classes = next((one.classes for _, one in own), None)
    frames = {str(said["tomogram"]): frame.or_else(one) for said, one in own}
    named = {
        said[NUMBER]: str(said["tomogram"])
        for said, _ in own
        if isinstance(said.get(NUMBER), int)
    }
    frame = replace(frame, classes=classes or frame.classes)
    loop = file.loop_of(POSITION[0])
    if loop is None:
        message = f"{path}: no motive list; expected columns {', '.join(POSITION)}"
        raise PicksError(message)
    many = len(loop)
    if not many:
        only = next(iter(frames)) if len(frames) == 1 else ""
        nothing = np.zeros((0, 3))
        return Table(nothing, [], np.zeros(0), [], frame, numbered=True, name=only)
    columns = [file.numbers(loop, tag) for tag in POSITION]
    for axis, tag in enumerate(SHIFT):
        if file.has(loop, tag):
            columns[axis] = columns[axis] + file.numbers(loop, tag)
    numbers = file.wholes(loop, "class") or [1] * many
    tomograms = file.wholes(loop, "tomo_num")
    return Table(
        np.stack(columns, axis=1) - 1,
        list(map(str, numbers)),
        file.numbers(loop, "score") if file.has(loop, "score") else np.ones(many),
        [named.get(number, str(number)) for number in tomograms] or [""] * many,
        frame,
        numbered=True,
        frames=frames,
    )


FORMAT = Format(
    title="STOPGAP motive list",
    pattern="{name}_motl.star",
    holds=Holds.SCORE | Holds.CLASS | Holds.SEVERAL,
    write=write,
    read=read,
    recognise=lambda head: BLOCK.encode() in head,
    suffixes=(".star",),
)
