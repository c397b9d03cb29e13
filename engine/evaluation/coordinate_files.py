"""Which files of a folder hold coordinates, and which rows belong to which tomogram."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dep.engine.errors import DepError, PicksError
from dep.engine.formats import (
    FORMATS,
    endings,
    format_of,
    may_hold_coordinates,
    read_rows,
    relion_set,
)
from dep.engine.formats.frame import Frame
from dep.engine.formats.table import Table

# Of one tomogram's files the first of these is read: STAR files know the class table.
_PREFERRED = (".star", ".csv")
# What programs write beside coordinates: dep's run record, RELION's sets and tomograms.
_NOT_COORDINATES = ("run.json", "optimisation_set.star", "tomograms.star")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of one tomogram in a file, as the file counts them.

    Attributes
    ----------
    path : Path
        The file.
    tomogram : str
        What the file calls it; the file's own name where it does not say.
    table : Table
        Its rows.
    """

    path: Path
    tomogram: str
    table: Table


def coordinate_files(path: Path) -> list[Path]:
    """List the files to read: one file as it is, or those of a folder.

    Of a tomogram that a folder has in several formats one is taken: STAR, then CSV,
    then the others.

    Raises
    ------
    PicksError
        No such path, or a folder without any.
    """
    if not path.exists():
        message = f"{path}: no such file or folder"
        raise PicksError(message)
    if not path.is_dir() or any(
        one.is_root is not None and one.is_root(path) for one in FORMATS.values()
    ):
        return [path]
    best: dict[str, tuple[int, Path]] = {}
    again = relion_set.combined_in(path)
    for file in sorted(path.iterdir()):
        if file.name in again or not _holds_coordinates(file):
            continue
        name = FORMATS[format_of(file)].name_of(file)
        suffix = file.suffix.lower()
        rank = _PREFERRED.index(suffix) if suffix in _PREFERRED else len(_PREFERRED)
        if name not in best or rank < best[name][0]:
            best[name] = (rank, file)
    if not best:
        message = f"{path}: no coordinate files ({', '.join(endings())}) in this folder"
        raise PicksError(message)
    return [file for _, file in best.values()]


def _holds_coordinates(file: Path) -> bool:
    name = file.name.lower()
    if name.startswith(".") or name.endswith(_NOT_COORDINATES) or not file.is_file():
        return False
    try:
        return may_hold_coordinates(file)
    except OSError:
        return True  # reading it says what is wrong


def rows_of(
    paths: Iterable[Path], frame: Frame, wanted: str | None = None
) -> dict[str, Rows]:
    """Read files and sort their rows by tomogram.

    Parameters
    ----------
    paths : iterable of path
        Files.
    frame : Frame
        What the user says of the tomograms.
    wanted : str, optional
        The one tomogram to take. One file that does not name its tomogram is of this.

    Raises
    ------
    PicksError
        A file that cannot be read, a tomogram in two files, or no rows of the one
        wanted.
    """
    paths = list(paths)
    found: dict[str, Rows] = {}
    for path in paths:
        table = read_rows(path, None, frame)
        by_name = table.rows_by_tomogram() or {"": []}
        for name, rows in by_name.items():
            own = name or (wanted if len(paths) == 1 else None) or table.name
            if own in found:
                message = (
                    f"{path}: holds the tomogram {own}, and so does "
                    f"{found[own].path}; expected each in one file"
                )
                raise PicksError(message)
            part = table if len(by_name) == 1 else table.only(rows)
            found[own] = Rows(path, own, part)
    if wanted is None:
        return found
    if wanted not in found:
        where = paths[0] if len(paths) == 1 else f"{len(paths)} files"
        message = f"{where}: no tomogram {wanted!r}; there is {some(found)}"
        raise PicksError(message)
    return {wanted: found[wanted]}


def frame_beside(path: Path) -> Frame:
    """Say what the STAR file beside a file knows: the same `dep pick` wrote both."""
    star = path.with_suffix(".star")
    if star != path and star.is_file():
        with contextlib.suppress(DepError):  # then it is not ours: do without it
            return read_rows(star).frame
    return Frame()


def said_of_names(names: Sequence[str]) -> list[str]:
    """Say that single tomograms go together whose names differ."""
    told = list(dict.fromkeys(names))
    if len(told) == 1:
        return []
    return [f"taken for one tomogram, whatever their names: {some(told)}"]


def some(names: Iterable[str], most: int = 5) -> str:
    """Name a few of many."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
