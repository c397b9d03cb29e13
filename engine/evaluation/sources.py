"""From files to cases: class table and diameters, and picks beside their truth."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dep.engine.bundled import model_path
from dep.engine.card import ClassInfo, ModelCard
from dep.engine.errors import DepError, PicksError
from dep.engine.evaluation.cases import Case, Cases
from dep.engine.evaluation.coordinate_files import (
    Rows,
    coordinate_files,
    rows_of,
    some,
)
from dep.engine.formats import read_rows
from dep.engine.formats.frame import Frame
from dep.engine.model_file import read_card
from dep.engine.picks import Picks
from dep.engine.truth import Truth, truth_of


@dataclass(frozen=True, slots=True)
class Known:
    """What the user says, beyond what the files do.

    Attributes
    ----------
    model : Path or None
        Class table and diameters are this model's.
    diameter, diameters : float or None, mapping of str to float
        Of all classes, and of those named, in Å.
    tomogram : str or None
        The one to take.
    shape : (int, int, int) or None
        z, y, x in voxels.
    voxel_size : float or None
        Å.
    contest : tuple of ClassInfo
        Class table to fall back on when all picks are of its classes.
    common : bool
        Leave out tomograms of the truth that have no picks.
    """

    model: Path | None = None
    diameter: float | None = None
    diameters: Mapping[str, float] = field(default_factory=dict)
    tomogram: str | None = None
    shape: tuple[int, int, int] | None = None
    voxel_size: float | None = None
    contest: tuple[ClassInfo, ...] = ()
    common: bool = False


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


@dataclass(frozen=True, slots=True)
class _Table:
    """A class table, where it is from, and what else is known there."""

    classes: tuple[ClassInfo, ...]
    source: str
    frame: Frame = field(default_factory=Frame)  # for coordinates and diameters
    voxel_size: float | None = None  # for diameters alone


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
    tables = _tables(used, [one for _, one in pairs], known)
    classes = _union(tables)
    read = [
        None if rows is None else _picks(rows, classes, tables[rows.path])
        for rows, _ in pairs
    ]
    present = [one for one in read if one is not None]
    cases = []
    for one, (_, rows) in zip(read, pairs, strict=True):
        made = _nothing(rows, classes, present) if one is None else one
        cases.append(Case.of(made, _truth(rows, classes, made)))
    left_out: dict[str, int] = {}
    for case in cases:
        for name, many in case.left_out.items():
            left_out[name] = left_out.get(name, 0) + many
    sources = dict.fromkeys(table.source for table in tables.values())
    return Gathered(
        Cases(classes, tuple(cases)), some(sources, 2), left_out, tuple(notes)
    )


def _pair(
    picked: dict[str, Rows], true: dict[str, Rows], common: bool
) -> tuple[list[tuple[Rows | None, Rows]], list[str]]:
    if len(picked) == len(true) == 1:
        return [(*picked.values(), *true.values())], []  # type: ignore[list-item]
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


def _tables(
    picked: Sequence[Rows], true: Sequence[Rows], known: Known
) -> dict[Path, _Table]:
    """Find the class table of each file of picks."""
    chosen: _Table | None = None
    if known.model is not None:
        chosen = _of_card(read_card(model_path(known.model)))
    elif known.diameter is not None or known.diameters:
        chosen = _Table(_given(picked, true, known), "--diameter")
    tables: dict[Path, _Table] = {}
    for one in picked:
        if one.path not in tables:
            of_file = [rows for rows in picked if rows.path == one.path]
            tables[one.path] = (
                chosen or _own(of_file) or _contest(of_file, known) or _twin(one.path)
            ) or _of_card(
                read_card(model_path(None)),
                ", the bundled one; if another picked, name it with --model",
            )
    return tables


def _of_card(card: ModelCard, hint: str = "") -> _Table:
    return _Table(card.classes, f"model {card.name}{hint}", voxel_size=card.voxel_size)


def _given(
    picked: Sequence[Rows], true: Sequence[Rows], known: Known
) -> tuple[ClassInfo, ...]:
    """Make a table of the diameters given; all classes found where one is for all."""
    if known.diameter is None:
        return tuple(ClassInfo(name, size) for name, size in known.diameters.items())
    names: dict[str, None] = {}
    numbered = set()
    for one in (*picked, *true):
        own = one.table.frame.classes
        if own or not one.table.numbered:
            numbered.add(False)
            names |= dict.fromkeys(
                [kind.name for kind in own] if own else one.table.label
            )
        elif one.table.label:
            numbered.add(True)
            most = max(int(label) for label in one.table.label)
            names |= dict.fromkeys(str(number) for number in range(1, most + 1))
    if len(numbered) > 1:
        message = (
            "some files name their classes, others number them: one --diameter for all "
            "cannot tell which is which; give a class table with --model, or "
            "--diameter NAME=NUMBER in the order of the numbers"
        )
        raise PicksError(message)
    return tuple(
        ClassInfo(name, known.diameters.get(name, known.diameter)) for name in names
    )


def _own(rows: Sequence[Rows]) -> _Table | None:
    table = rows[0].table
    classes = table.frame.classes
    sized = all(one.table.frame_of(one.tomogram).voxel_size for one in rows)
    if not classes or not sized or not all(one.diameter > 0 for one in classes):
        return None
    return _Table(tuple(classes), str(rows[0].path))


def _contest(rows: Sequence[Rows], known: Known) -> _Table | None:
    names = {one.name for one in known.contest}
    named = [one.table for one in rows if not one.table.numbered]
    labels = {label for table in named for label in table.label}
    if len(named) < len(rows) or not labels or not labels <= names:
        return None
    return _Table(known.contest, "the contest's particles")


def _twin(path: Path) -> _Table | None:
    """Take the table of the STAR file beside it: written by the same `dep pick`."""
    star = path.with_suffix(".star")
    if star == path or not star.is_file():
        return None
    with contextlib.suppress(DepError):  # then it is not ours: do without it
        frame = read_rows(star).frame
        if (
            frame.classes
            and frame.voxel_size
            and all(one.diameter > 0 for one in frame.classes)
        ):
            return _Table(tuple(frame.classes), str(star), frame)
    return None


def _union(tables: Mapping[Path, _Table]) -> tuple[ClassInfo, ...]:
    """Put the tables of several files together; classes go by name.

    Raises
    ------
    PicksError
        Two diameters for one class.
    """
    union: dict[str, tuple[ClassInfo, Path]] = {}
    for path, table in tables.items():
        for one in table.classes:
            first, where = union.setdefault(one.name, (one, path))
            if first.diameter != one.diameter:
                message = (
                    f"{path}: the diameter of {one.name} is {one.diameter:g} Å, but in "
                    f"{where} {first.diameter:g} Å; give one class table with --model"
                )
                raise PicksError(message)
    return tuple(one for one, _ in union.values())


def _picks(rows: Rows, classes: tuple[ClassInfo, ...], table: _Table) -> Picks:
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
