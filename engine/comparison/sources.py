"""From files to sets of picks: names of sets, tomograms and classes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dep.engine.card import ClassInfo
from dep.engine.comparison.comparison import PickSet
from dep.engine.errors import PicksError
from dep.engine.evaluation.coordinate_files import (
    Rows,
    coordinate_files,
    frame_beside,
    rows_of,
    said_of_names,
    some,
)
from dep.engine.formats.frame import Frame
from dep.engine.picks import Picks


def read_sets(
    paths: Sequence[Path],
    names: Sequence[str],
    *,
    classes: tuple[ClassInfo, ...] | None = None,
    tomogram: str | None = None,
    shape: tuple[int, int, int] | None = None,
    voxel_size: float | None = None,
    common: bool = False,
) -> tuple[list[PickSet], list[str]]:
    """Read each path, a file or a folder, as one set of picks.

    Parameters
    ----------
    paths : sequence of path
        Of the sets. Where each holds one tomogram, it is the same one whatever it is
        called; otherwise tomograms go by name.
    names : sequence of str
        Of the sets.
    classes : tuple of ClassInfo, optional
        What the numbers of files mean that number their classes and hold no table.
    tomogram : str, optional
        The one to take.
    shape, voxel_size : optional
        Of the tomograms, where a file's convention needs them.
    common : bool
        Leave out tomograms that are not in all sets.

    Returns
    -------
    sets, notes
        The sets, and which tomograms are not in all of them.

    Raises
    ------
    PicksError
        A file that cannot be read, or no tomogram in common.
    """
    frame = Frame(shape, voxel_size)
    read = [rows_of(coordinate_files(path), frame, tomogram) for path in paths]
    notes: list[str] = []
    if all(len(one) == 1 for one in read):
        name = next(iter(read[0]))
        notes += said_of_names([next(iter(one)) for one in read])
        read = [dict.fromkeys([name], *one.values()) for one in read]
    everywhere = set(read[0]).intersection(*read)
    if not everywhere:
        told = "; ".join(
            f"{name}: {some(one)}" for name, one in zip(names, read, strict=True)
        )
        message = f"no tomogram in common ({told})"
        raise PicksError(message)
    every = dict.fromkeys(key for one in read for key in one)
    strays = [key for key in every if key not in everywhere]
    if common and strays:
        notes.append(f"left out, not in all sets: {some(strays)}")
        read = [{k: rows for k, rows in one.items() if k in everywhere} for one in read]
        every = dict.fromkeys(key for key in every if key in everywhere)
    for name, one in zip(names, read, strict=True):
        lacking = [key for key in every if key not in one]
        if lacking:
            notes.append(
                f"{name} has no picks of {some(lacking)}: it counts as having found "
                "nothing there (--common leaves such tomograms out)"
            )
    sizes = {
        name: _sampling([one[name] for one in read if name in one]) for name in every
    }
    sets = [
        PickSet(
            name, {k: _picks(rows, k, sizes[k], classes) for k, rows in one.items()}
        )
        for name, one in zip(names, read, strict=True)
    ]
    return _with_known_diameters(sets), notes


def _with_known_diameters(sets: Sequence[PickSet]) -> list[PickSet]:
    """Fill in diameters that one file lacks and another knows, by class name."""
    known: dict[str, float] = {}
    for one in sets:
        for picks in one.picks.values():
            for kind in picks.classes:
                known[kind.name] = known.get(kind.name) or kind.diameter

    def filled(picks: Picks) -> Picks:
        classes = tuple(
            kind if kind.diameter else replace(kind, diameter=known[kind.name])
            for kind in picks.classes
        )
        return replace(picks, classes=classes)

    return [
        PickSet(one.name, {name: filled(picks) for name, picks in one.picks.items()})
        for one in sets
    ]


def names_of(paths: Sequence[Path]) -> list[str]:
    """Name sets after their files, else after their folders, else A, B, C."""
    for found in (
        [path.stem if path.is_file() else path.name for path in paths],
        [path.resolve().parent.name for path in paths],
    ):
        if len(set(found)) == len(found) and all(found):
            return found
    return [_letter(at) for at in range(len(paths))]


def _letter(at: int) -> str:
    return chr(ord("A") + at) if at < 26 else f"set{at + 1}"


def _sampling(rows: Sequence[Rows]) -> Frame:
    """Say what any of the files knows of a tomogram, for those that do not.

    Where none does, the STAR file beside one may.
    """
    known = Frame()
    for one in rows:
        known = known.or_else(one.table.frame_of(one.tomogram))
    for one in rows if known.voxel_size is None else ():
        beside = frame_beside(one.path)
        if beside.voxel_size is not None:
            known = known.or_else(beside)
            break
    return replace(known, classes=None)


def _picks(
    rows: Rows, name: str, known: Frame, classes: tuple[ClassInfo, ...] | None
) -> Picks:
    part = replace(rows.table, frame=rows.table.frame.or_else(known))
    if classes and part.numbered and not part.frame.classes:
        part = part.named(rows.path, classes)
    made = part.in_voxels(rows.path).picks(rows.path, None, None)
    return replace(made, tomogram=name)
