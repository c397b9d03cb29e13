"""Convert coordinate files: gather the picks of tomograms, change their frame, write.

Everything that changes a coordinate is named by who asks for it; nothing is guessed
from the numbers. In this order: read and turned into voxels of the tomogram that was
picked in; named; axes exchanged; mirrored; counted in voxels of another size; chosen;
written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dep.engine.card import ClassInfo
from dep.engine.errors import UseError
from dep.engine.formats.files import read_rows, with_one_class_table
from dep.engine.formats.format import Conventions
from dep.engine.formats.frame import Centre, Frame
from dep.engine.formats.known_tomograms import misfit
from dep.engine.formats.registry import FORMATS
from dep.engine.formats.table import Table
from dep.engine.formats.tomogram_names import Renaming
from dep.engine.formats.tomograms_star import TomogramSet
from dep.engine.picks import Picks
from dep.engine.readers.names import tomogram_name

AXES = "xyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How files are read.

    Attributes
    ----------
    form : str or None
        Their format; None: told by ending and content.
    frame : Frame
        What is said of all tomograms; goes before what files say.
    frames : mapping of str to Frame
        What is known of tomograms by name, after `frame` and what files say.
    centre : {"half", "floor", "middle"}
        Which centre RELION 5 coordinates count from.
    tomogram : str or None
        Only this one; or its name, where a file does not say.
    renaming : Renaming
        New names of tomograms.
    """

    form: str | None = None
    frame: Frame = field(default_factory=Frame)
    frames: Mapping[str, Frame] = field(default_factory=dict)
    centre: Centre = "half"
    tomogram: str | None = None
    renaming: Renaming = field(default_factory=Renaming)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is changed between reading and writing.

    Attributes
    ----------
    swap_yz : bool
        Exchange the axes y and z, as tomograms do in IMOD's ``clip flipyz``.
    flip : str
        Axes that are mirrored: some of "xyz". Voxel c becomes size - 1 - c.
    voxel_size : float or None
        Å; count in voxels of this size instead of the tomogram's own.
    keep : tuple of str
        Names of the classes that are kept; empty: all.
    min_score : float or None
        Picks below it are left out.
    """

    swap_yz: bool = False
    flip: str = ""
    voxel_size: float | None = None
    keep: tuple[str, ...] = ()
    min_score: float | None = None


def gather(
    paths: Sequence[Path],
    reading: Reading,
    classes: tuple[ClassInfo, ...] | None = None,
) -> list[Picks]:
    """Read the picks of all tomograms in some files, those of one tomogram together.

    Parameters
    ----------
    paths
        Files.
    reading
        How.
    classes
        The class table: numbers count in it, and names are found in it.

    Raises
    ------
    PicksError
        A file that is malformed or needs more than is known, or no picks of the
        tomogram asked for.
    """
    parts: dict[str, list[Picks]] = {}
    for path in paths:
        table = _named(read_rows(path, reading.form, reading.frame), path, reading)
        for name, rows in table.rows_by_tomogram().items():
            if reading.tomogram not in (None, name):
                continue
            one = replace(
                table.only(rows), frame=_frame(table, name, reading), frames={}
            )
            placed = one.in_voxels(path, reading.centre)
            parts.setdefault(name, []).append(placed.picks(path, name, classes))
        if not len(table.label):
            name = reading.tomogram or table.name
            frame = _frame(table, name, reading)
            empty = replace(table, frame=frame, frames={})
            parts.setdefault(name, []).append(empty.picks(path, name, classes))
    if not parts:
        message = f"no picks of tomogram {reading.tomogram!r} in {_some(paths)}"
        raise UseError(message)
    return [_joined(name, some) for name, some in parts.items()]


def _named(table: Table, path: Path, reading: Reading) -> Table:
    """Give every row its tomogram's new name."""
    unnamed = reading.tomogram or table.name or path.stem
    names = {
        name: reading.renaming.new(name or unnamed)
        for name in {*table.tomogram, *table.frames, ""}
    }
    return replace(
        table,
        tomogram=[names[name] for name in table.tomogram],
        frames={names[name]: frame for name, frame in table.frames.items()},
        name=names[""],
    )


def _frame(table: Table, name: str, reading: Reading) -> Frame:
    return table.frame_of(name).or_else(reading.frames.get(name, Frame()))


def _joined(name: str, parts: list[Picks]) -> Picks:
    """Join picks of the same tomogram, best first."""
    if len(parts) == 1:
        return parts[0]
    parts = with_one_class_table(parts)
    for what in ("shape", "voxel_size"):
        said = {getattr(one, what) for one in parts} - {None}
        if len(said) > 1:
            values = " and ".join(str(value) for value in sorted(said))
            message = (
                f"{name}: files differ in its {what.replace('_', ' ')} ({values}); say "
                f"which is right (--{what.replace('_', '-')})"
            )
            raise UseError(message)
    score = np.concatenate([one.score for one in parts])
    order = np.argsort(-score, kind="stable")
    return replace(
        parts[0],
        xyz=np.concatenate([one.xyz for one in parts])[order],
        class_id=np.concatenate([one.class_id for one in parts])[order],
        score=score[order],
        shape=next((one.shape for one in parts if one.shape), None),
        voxel_size=next((one.voxel_size for one in parts if one.voxel_size), None),
    )


def change(picks: Picks, changes: Changes) -> Picks:
    """Apply changes to the picks of one tomogram.

    Raises
    ------
    UseError
        Its shape or voxel size is needed and unknown, or a class to keep that there is
        not.
    """
    xyz = picks.xyz.astype(np.float64)
    shape, size = picks.shape, picks.voxel_size
    frame = Frame(shape, size)
    if changes.swap_yz:
        xyz = xyz[:, [0, 2, 1]]
        shape = shape and (shape[1], shape[0], shape[2])
        frame = Frame(shape, size)
    for axis in changes.flip:
        column = AXES.index(axis)
        edges = frame.need_shape(picks.tomogram, f"a flip of {axis}")
        xyz[:, column] = edges[2 - column] - 1 - xyz[:, column]
    if changes.voxel_size is not None:
        old = frame.need_voxel_size(picks.tomogram, "another voxel size")
        xyz = xyz * (old / changes.voxel_size)
        if shape:
            z, y, x = (
                max(1, int(edge * old / changes.voxel_size + 0.5)) for edge in shape
            )
            shape = (z, y, x)
        size = changes.voxel_size
    picks = replace(picks, xyz=xyz.astype(np.float32), shape=shape, voxel_size=size)
    names = [one.name for one in picks.classes]
    unknown = [name for name in changes.keep if name not in names]
    if unknown:
        message = (
            f"{picks.tomogram}: no class {', '.join(unknown)}; there are "
            f"{', '.join(names)}"
        )
        raise UseError(message)
    chosen = np.ones(len(picks), bool)
    if changes.keep:
        chosen &= np.isin(
            picks.class_id, [names.index(name) + 1 for name in changes.keep]
        )
    if changes.min_score is not None:
        chosen &= picks.score >= changes.min_score
    if chosen.all():
        return picks
    return replace(
        picks,
        xyz=picks.xyz[chosen],
        class_id=picks.class_id[chosen],
        score=picks.score[chosen],
    )


def targets(picks: Sequence[Picks], out: Path, form: str) -> dict[Path, list[Picks]]:
    """Say what is written where.

    One file, where `out` is one. A file for each tomogram, named after it, where `out`
    is a folder: it is there as one, or has no ending. Of a format of folders `out` is
    the folder.

    Raises
    ------
    UseError
        Two tomograms would write the same file.
    """
    one = FORMATS[form]
    if one.folder or not (out.is_dir() or not out.suffix):
        return {out: list(picks)}
    files: dict[Path, list[Picks]] = {}
    for some in picks:
        # RELION 3 names tomograms by the paths of their files.
        name = tomogram_name(Path(some.tomogram).name)
        path = one.path_of(out, name)
        if path in files:
            (other,) = files[path]
            message = (
                f"{path}: tomograms {other.tomogram!r} and {some.tomogram!r} would "
                "both write this file; give them other names (--rename)"
            )
            raise UseError(message)
        files[path] = [some]
    return files


def remarks(
    picks: Sequence[Picks], known: TomogramSet, form: str, how: Conventions
) -> list[str]:
    """Say what does not fit the tomograms that are known, and what RELION will miss.

    Parameters
    ----------
    picks
        As they are written.
    known
        Tomograms.
    form, how
        How they are written.
    """
    names = [one.tomogram for one in picks]
    said = []
    strange = [name for name in names if name not in known.frames]
    if strange:
        said.append(
            f"{known.path}: has no tomogram {_first(strange)}; give picks its names "
            "(--rename)"
        )
    for one in picks:
        wrong = misfit(one, known.frames.get(one.tomogram, Frame()), known.path)
        if wrong is not None:
            said.append(wrong)
    without = [
        one.tomogram
        for one in picks
        if one.tomogram not in how.optics_of and (how.optics is None)
    ]
    if form == "relion5" and known.star is not None and without:
        said.append(
            f"{known.path}: voltage, spherical aberration or amplitude contrast of "
            f"{_first(without)} are not there, so there is no optics block; give them "
            "(--optics)"
        )
    return said


def _first(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _some(paths: Sequence[Path], most: int = 3) -> str:
    more = ", ..." if len(paths) > most else ""
    return ", ".join(map(str, paths[:most])) + more
