"""From files to cases: class table and diameters, and picks beside their truth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dep.engine.card import ClassInfo
from dep.engine.errors import PicksError
from dep.engine.evaluation.cases import ANY, Case, Cases
from dep.engine.evaluation.class_tables import (
    ClassTable,
    Known,
    table_of_truth,
    tables_of,
    union,
)
from dep.engine.evaluation.coordinate_files import (
    Rows,
    coordinate_files,
    rows_of,
    said_of_names,
    some,
)
from dep.engine.formats.frame import Frame
from dep.engine.picks import Picks
from dep.engine.truth import Truth, known_diameters, truth_of

__all__ = ["Gathered", "Known", "gather"]


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Cases, and where what is not in them was found.

    Attributes
    ----------
    cases : Cases
        Picks and truth.
    source : str
        Where class table and diameters are from.
    left_out : dict of str to int
        Rows of the truth whose class is not in the table.
    notes : tuple of str
        What a user should know: tomograms without picks or without truth.
    """

    cases: Cases
    source: str
    left_out: dict[str, int]
    notes: tuple[str, ...]

    @property
    def voxel_size(self) -> float | None:
        """Å; None where the tomograms differ."""
        sizes = {one.voxel_size for one in self.cases.each}
        return sizes.pop() if len(sizes) == 1 else None


def gather(picks: Sequence[Path], truth: Path, known: Known) -> Gathered:
    """Read picks and truth, and put those of the same tomogram together.

    One tomogram of picks and one of truth belong together whatever they are called.
    Otherwise names decide. A tomogram that only the truth has counts as one in which
    nothing was picked (unless `Known.common`); one that only the picks have is left
    out; both are noted.

    Raises
    ------
    PicksError
        Files that cannot be read or do not fit, diameters that are unknown, or no
        tomogram in common.
    ModelError
        A model that cannot be read.
    """
    frame = Frame(known.shape, known.voxel_size)
    picked = rows_of(
        [file for path in picks for file in coordinate_files(path)],
        frame,
        known.tomogram,
    )
    true = rows_of(coordinate_files(truth), frame, known.tomogram)
    pairs, notes = _pair(picked, true, known.common)
    used = [one for one, _ in pairs if one is not None]
    there = [one for _, one in pairs]
    tables = tables_of(used, there, known)
    counted: tuple[ClassInfo, ...]  # the class table of the figures
    if known.ignore_classes:
        table = table_of_truth(there, tables, known)
        classes, counted = table.classes, (_any(table),)
        sources = {table.source: None}
    else:
        classes = counted = union(tables)
        sources = dict.fromkeys(table.source for table in tables.values())
    read = [
        None
        if rows is None
        else _picks(
            _called_any(rows) if known.ignore_classes else rows,
            counted,
            tables[rows.path],
        )
        for rows, _ in pairs
    ]
    present = [one for one in read if one is not None]
    cases = []
    for one, (_, rows) in zip(read, pairs, strict=True):
        made = _nothing(rows, counted, present) if one is None else one
        placed = _truth(rows, classes, made)
        cases.append(
            _case_of_any(made, placed, counted)
            if known.ignore_classes
            else Case.of(made, placed)
        )
    left_out: dict[str, int] = {}
    for case in cases:
        for name, many in case.left_out.items():
            left_out[name] = left_out.get(name, 0) + many
    return Gathered(
        Cases(counted, tuple(cases)), some(sources, 2), left_out, tuple(notes)
    )


def _pair(
    picked: dict[str, Rows], true: dict[str, Rows], common: bool
) -> tuple[list[tuple[Rows | None, Rows]], list[str]]:
    if len(picked) == len(true) == 1:
        (one,), (other,) = picked.values(), true.values()
        return [(one, other)], said_of_names([one.tomogram, other.tomogram])
    both = [name for name in true if name in picked]
    if not both:
        message = (
            f"no tomogram in common: picks of {some(picked)}; truth of {some(true)}. "
            "Tomograms go by the name in the file, else by the file's"
        )
        raise PicksError(message)
    notes = []
    strangers = [name for name in picked if name not in true]
    if strangers:
        notes.append(f"left out, no truth is given of {some(strangers)}")
    lacking = [name for name in true if name not in picked]
    if lacking and (common or len(picked) == 1):
        notes.append(f"left out, no picks are given of {some(lacking)}")
    elif lacking:
        both = list(true)
        notes.append(
            f"no picks are given of {some(lacking)}: their particles count as missed "
            "(--common leaves such tomograms out)"
        )
    return [(picked.get(name), true[name]) for name in both], notes


def _picks(rows: Rows, classes: tuple[ClassInfo, ...], table: ClassTable) -> Picks:
    known = rows.table.frame.or_else(replace(table.frame, classes=None))
    part = rows.table
    if part.numbered and not part.frame.classes:
        # Numbers count in the file's own table, not in the union of several.
        part = part.named(rows.path, table.classes)
    made = (
        replace(part, frame=known).in_voxels(rows.path).picks(rows.path, None, classes)
    )
    return replace(
        made,
        tomogram=rows.tomogram,
        voxel_size=made.voxel_size or table.voxel_size,
    )


def _nothing(
    rows: Rows, classes: tuple[ClassInfo, ...], others: Sequence[Picks]
) -> Picks:
    """Stand in for a tomogram that has no picks, sampled as the others are."""
    sizes = {one.voxel_size for one in others}
    own = rows.table.frame_of(rows.tomogram)
    return Picks(
        xyz=np.zeros((0, 3), np.float32),
        class_id=np.zeros(0, np.int32),
        score=np.zeros(0, np.float32),
        classes=classes,
        tomogram=rows.tomogram,
        shape=own.shape,
        voxel_size=own.voxel_size or (sizes.pop() if len(sizes) == 1 else None),
    )


def _truth(rows: Rows, classes: tuple[ClassInfo, ...], picks: Picks) -> Truth:
    known = rows.table.frame.or_else(Frame(picks.shape, picks.voxel_size))
    return truth_of(replace(rows.table, frame=known).in_voxels(rows.path), classes)


def _any(table: ClassTable) -> ClassInfo:
    """Stand in for all classes: the diameters stay with the particles."""
    known_diameters(table.source, table.classes)
    # Without classes there are no particles either, and no size matters.
    largest = max((one.diameter for one in table.classes), default=1.0)
    return ClassInfo(ANY, largest)


def _called_any(rows: Rows) -> Rows:
    """Take the classes off picks."""
    bare = replace(rows.table.frame, classes=None)
    label = [ANY] * len(rows.table.label)
    return replace(
        rows, table=replace(rows.table, label=label, numbered=False, frame=bare)
    )


def _case_of_any(picks: Picks, truth: Truth, counted: tuple[ClassInfo, ...]) -> Case:
    """Put picks and truth into one class; particles keep the radii of their own."""
    diameter = np.array([one.diameter for one in truth.classes])[truth.class_id - 1]
    merged = replace(truth, class_id=np.ones_like(truth.class_id), classes=counted)
    case = Case.of(picks, merged)
    return replace(case, radius=diameter / case.voxel_size / 2)
