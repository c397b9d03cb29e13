"""Read STAR files of particles, in tomogram voxels or in RELION 5's centred ångström.

The two conventions are told apart by their columns.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import PicksError
from dep.engine.formats import star_text
from dep.engine.formats.comment import comment_frames
from dep.engine.formats.fields import LARGEST, number, whole
from dep.engine.formats.frame import Counting, Frame
from dep.engine.formats.table import Table

if TYPE_CHECKING:
    from gemmi import cif

TOMOGRAM_ALIASES = (star_text.TOMOGRAM, "rlnMicrographName")
# Å; RELION 4 writes it among the optics, and counts coordinates in such pixels.
CENTRED = Counting(angstrom=True, centred=True)
UNBINNED = "rlnTomoTiltSeriesPixelSize"


def recognise(tag: str) -> Callable[[bytes], bool]:
    """Make a test of a file's head: whether it has a column of this name."""
    column = re.compile(rb"^\s*_" + tag.encode() + rb"\b", re.M)
    return lambda head: column.search(head) is not None


def read(path: Path, frame: Frame) -> Table:
    """Read particles of either convention; RELION 5's stay as the file has them.

    Raises
    ------
    PicksError
        Not STAR, no coordinates, or a field that is no number.
    """
    from gemmi import cif

    text = path.read_text(encoding="utf-8-sig")
    frames = comment_frames(text)
    own = next(iter(frames.values()), Frame())  # all have the same class table
    if len(frames) > 1:
        frames = {name: frame.or_else(one) for name, one in frames.items()}
        own = Frame(classes=own.classes)
    # Numbers count in the file's own class table, whatever the reader's is.
    frame = replace(frame.or_else(own), classes=own.classes or frame.classes)
    only = next(iter(frames)) if len(frames) == 1 else ""
    known = frames if len(frames) > 1 else {}
    text, empty = _without_empty_loops(text)
    try:
        document = cif.read_string(text)
    except (ValueError, RuntimeError) as error:  # the latter for a name used twice
        message = f"{path}: not a STAR file ({error})"
        raise PicksError(message) from error
    for block in document:
        for tags in (star_text.CENTRED, star_text.VOXELS):
            column = block.find_loop("_" + tags[0])
            if len(column) == 0:
                continue
            many = len(column)
            xyz = np.stack([_numbers(path, block, tag, many) for tag in tags], axis=1)
            counting = (
                CENTRED
                if tags is star_text.CENTRED
                else Counting(pixel_size=_unbinned(path, document))
            )
            table = _table(path, block, xyz, frame)
            return replace(table, counting=counting, frames=known)
    if any(tag in empty for tag in (star_text.CENTRED[0], star_text.VOXELS[0])):
        nothing = np.zeros((0, 3))
        return Table(nothing, [], np.zeros(0), [], frame, numbered=True, name=only)
    message = (
        f"{path}: no coordinates; expected columns {', '.join(star_text.VOXELS)} or "
        f"{', '.join(star_text.CENTRED)}"
    )
    raise PicksError(message)


def _table(
    path: Path, block: "cif.Block", xyz: NDArray[np.float64], frame: Frame
) -> Table:
    from gemmi import cif

    many = len(xyz)
    names = [""] * many
    for tag in TOMOGRAM_ALIASES:
        column = _column(path, block, tag, many)
        if len(column):
            names = [cif.as_string(value) for value in column]
            break
    classes = _column(path, block, star_text.CLASS, many)
    labels = [
        str(whole(path, f"row {row}, {star_text.CLASS}", value))
        for row, value in enumerate(classes, start=1)
    ]
    scores = (
        _numbers(path, block, star_text.SCORE, many)
        if len(block.find_loop("_" + star_text.SCORE))
        else np.ones(many)
    )
    return Table(xyz, labels or ["1"] * many, scores, names, frame, numbered=True)


def _unbinned(path: Path, document: "cif.Document") -> float | None:
    """Find the unbinned pixel size, Å; None where there is none, or more than one."""
    sizes = {
        number(path, UNBINNED, value)
        for block in document
        for value in block.find_loop("_" + UNBINNED)
    }
    size = sizes.pop() if len(sizes) == 1 else 0.0
    return size if size > 0 else None


def _column(path: Path, block: "cif.Block", tag: str, many: int) -> "cif.Column":
    """Find a column; empty where there is none, refused where another loop has it."""
    column = block.find_loop("_" + tag)
    if len(column) not in (0, many):
        message = (
            f"{path}: block {block.name!r}: {len(column)} rows of {tag}, but {many} of "
            "coordinates; expected them in one loop"
        )
        raise PicksError(message)
    return column


def _numbers(
    path: Path, block: "cif.Block", tag: str, many: int
) -> NDArray[np.float64]:
    column = _column(path, block, tag, many)
    if len(column) == 0:
        message = f"{path}: block {block.name!r} has no column {tag}"
        raise PicksError(message)
    with contextlib.suppress(ValueError):  # the first wrong one is found below
        values = np.array(list(column), dtype=np.float64)
        if (np.abs(values) <= LARGEST).all():
            return values
    return np.array(
        [
            number(path, f"row {row}, {tag}", value)
            for row, value in enumerate(column, start=1)
        ],
        np.float64,
    )


def _without_empty_loops(text: str) -> tuple[str, set[str]]:
    """Drop loops without rows, which gemmi refuses; give the text and their tags."""
    kept: list[str] = []
    dropped: set[str] = set()
    loop: list[str] | None = None  # the lines of a loop that has no row so far
    for line in [*text.splitlines(), "data_end_of_file"]:
        word = line.split(maxsplit=1)[0] if line.strip() else ""
        if loop is not None and (word.startswith(("_", "#")) or not word):
            loop.append(line)
            continue
        if loop is not None and word.startswith("data_"):
            tags = (one.split()[0] for one in loop[1:] if one.lstrip().startswith("_"))
            dropped.update(tag.removeprefix("_") for tag in tags)
        elif loop is not None:
            kept += loop
        loop = [line] if word == "loop_" else None
        if loop is None:
            kept.append(line)
    return "\n".join(kept[:-1]) + "\n", dropped
