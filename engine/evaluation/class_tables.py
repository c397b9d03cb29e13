"""Which class table, and whose diameters, picks are scored by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dep.engine.bundled import model_path
from dep.engine.card import ClassInfo, ModelCard
from dep.engine.errors import PicksError
from dep.engine.evaluation.coordinate_files import Rows, frame_beside, some
from dep.engine.formats.frame import Frame
from dep.engine.model_file import read_card


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
    ignore_classes : bool
        Whatever the picks are called; particles have the diameters of their classes.
    """

    model: Path | None = None
    diameter: float | None = None
    diameters: Mapping[str, float] = field(default_factory=dict)
    tomogram: str | None = None
    shape: tuple[int, int, int] | None = None
    voxel_size: float | None = None
    contest: tuple[ClassInfo, ...] = ()
    common: bool = False
    ignore_classes: bool = False


@dataclass(frozen=True, slots=True)
class ClassTable:
    """A class table, where it is from, and what else is known there."""

    classes: tuple[ClassInfo, ...]
    source: str
    frame: Frame = field(default_factory=Frame)  # for coordinates and diameters
    voxel_size: float | None = None  # for diameters alone


def tables_of(
    picked: Sequence[Rows], true: Sequence[Rows], known: Known
) -> dict[Path, ClassTable]:
    """Find the class table of each file of picks."""
    chosen: ClassTable | None = None
    if known.model is not None:
        chosen = _of_card(read_card(model_path(known.model)))
    elif known.diameter is not None or known.diameters:
        sized = () if known.ignore_classes else picked  # picks have no diameters then
        chosen = ClassTable(_given((*sized, *true), known), "--diameter")
    tables: dict[Path, ClassTable] = {}
    for one in picked:
        if one.path not in tables:
            of_file = [rows for rows in picked if rows.path == one.path]
            tables[one.path] = (
                chosen or _own(of_file) or _contest(of_file, known) or _twin(one.path)
            ) or _bundled()
    return tables


def table_of_truth(
    true: Sequence[Rows], tables: Mapping[Path, ClassTable], known: Known
) -> ClassTable:
    """Find diameters of the particles alone, where the picks' classes do not count.

    They are those given, else the truth's own, else of the first table of the picks'
    that holds any of the truth's classes, else the bundled model's.

    Parameters
    ----------
    true : sequence of Rows
        Of the truth.
    tables : mapping of Path to ClassTable
        As `tables_of` found them for the picks.
    known : Known
        What the user says.

    Raises
    ------
    PicksError
        None of them holds a class of the truth.
    """
    chosen = known.model is not None or bool(known.diameter or known.diameters)
    own = {one.path: table for one in true if (table := _own([one])) is not None}
    offered = list(tables.values())
    if own and not chosen:
        source = some((str(path) for path in own), 2)
        offered.insert(0, ClassTable(union(own), source))
    if not chosen:
        offered.append(_bundled())
    names: dict[str, None] = {}
    for one in true:
        classes = one.table.frame.classes
        if one.table.numbered and not classes and one.table.label:
            return offered[0]  # numbers fit any table
        named = [kind.name for kind in classes] if classes else one.table.label
        names |= dict.fromkeys(named)
    for table in offered:
        if not names or any(kind.name in names for kind in table.classes):
            return table
    message = (
        f"no diameter is known of the truth's classes ({some(names)}): give them with "
        "--diameter NAME=NUMBER, one number for all, or --model"
    )
    raise PicksError(message)


def _bundled() -> ClassTable:
    hint = ", the bundled one; if another picked, name it with --model"
    return _of_card(read_card(model_path(None)), hint)


def _of_card(card: ModelCard, hint: str = "") -> ClassTable:
    return ClassTable(
        card.classes, f"model {card.name}{hint}", voxel_size=card.voxel_size
    )


def _given(rows: Sequence[Rows], known: Known) -> tuple[ClassInfo, ...]:
    """Make a table of the diameters given; all classes found where one is for all."""
    if known.diameter is None:
        return tuple(ClassInfo(name, size) for name, size in known.diameters.items())
    names: dict[str, None] = {}
    numbered = set()
    for one in rows:
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


def _own(rows: Sequence[Rows]) -> ClassTable | None:
    table = rows[0].table
    classes = table.frame.classes
    sized = all(one.table.frame_of(one.tomogram).voxel_size for one in rows)
    if not classes or not sized or not all(one.diameter > 0 for one in classes):
        return None
    return ClassTable(tuple(classes), str(rows[0].path))


def _contest(rows: Sequence[Rows], known: Known) -> ClassTable | None:
    names = {one.name for one in known.contest}
    named = [one.table for one in rows if not one.table.numbered]
    labels = {label for table in named for label in table.label}
    if len(named) < len(rows) or not labels or not labels <= names:
        return None
    return ClassTable(known.contest, "the contest's particles")


def _twin(path: Path) -> ClassTable | None:
    """Take the table of the STAR file beside it: written by the same `dep pick`."""
    frame = frame_beside(path)
    if (
        frame.classes
        and frame.voxel_size
        and all(one.diameter > 0 for one in frame.classes)
    ):
        return ClassTable(tuple(frame.classes), str(path.with_suffix(".star")), frame)
    return None


def union(tables: Mapping[Path, ClassTable]) -> tuple[ClassInfo, ...]:
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
