"""Finds tomograms and the centres annotated in them in a folder."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dep.engine.card import ClassInfo
from dep.engine.errors import DepError, PicksError
from dep.engine.formats import endings, may_hold_coordinates, read_rows
from dep.engine.formats.frame import Frame
from dep.engine.formats.table import Table
from dep.engine.readers.header import Header
from dep.engine.readers.names import (
    TOMOGRAM_SUFFIXES,
    tomogram_name,
    tomograms_among,
)
from dep.engine.readers.registry import read_header
from dep.engine.voxel_frame import VOXEL_SIZE_TOLERANCE
from dep.train.config import ConfigError
from dep.train.sources import match_names, same_name, some

TABLES = endings()
SAME = 0.01  # voxels: files are written with as many digits
# Below the folder: of a run of copick, of its runs, of its project.
COPICK_LEVELS = ("", "*/", "*/*/")
COPICK_TOMOGRAMS, COPICK_PICKS = "VoxelSpacing*/*.zarr", "Picks"
ONLY = "particle"  # what a class is called that has no name


@dataclass(frozen=True)
class Annotation:
    """One tomogram and one file of centres.

    Attributes
    ----------
    tomogram, coordinates
        Files.
    of_class
        The class of all rows, where the file does not say.
    binning
        What the file's coordinates are divided by.
    xyz
        (n, 3) in voxels.
    label
        (n,) names of classes.
    """

    tomogram: Path
    coordinates: Path
    of_class: str | None
    binning: float
    xyz: npt.NDArray[np.float64]
    label: list[str]


@dataclass
class Found:
    """What a folder holds.

    Attributes
    ----------
    voxel_size
        Å, of all tomograms taken; None where no header knows it.
    annotations
        By tomogram, then file.
    classes
        Names, in the order in which numbers in the files count them.
    remarks
        What was passed over, and why.
    most_number
        The greatest number of a class that has no name.
    """

    voxel_size: float | None = None
    annotations: list[Annotation] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    most_number: int = 0

    @property
    def tomograms(self) -> list[Path]:
        """Those with centres."""
        return list(dict.fromkeys(one.tomogram for one in self.annotations))

    def count(self, name: str) -> int:
        """Return how many particles of a class there are."""
        return sum(one.label.count(name) for one in self.annotations)


def discover(folder: Path) -> Found:
    """Look for annotated tomograms in a folder and the folders in it.

    A file of centres belongs to a tomogram when it names it, or when its own name
    starts with the tomogram's; what then follows is the class of its rows, if the file
    has none (``TS_01_ribosome.coords``). Projects of copick are taken as they lie, with
    all picks of a run; of several kinds of tomograms the one that most runs have.

    Raises
    ------
    ConfigError
        No folder, no tomogram, or no centres of any.
    """
    if not folder.is_dir():
        msg = f"{folder}: no such folder"
        raise ConfigError(msg)
    files = sorted(
        path
        for pattern in ("*", "*/*")
        for path in folder.glob(pattern)
        if not path.name.startswith(".")
    )
    found = Found()
    project = _copick(folder, found)
    picks = {path.parent.parent / COPICK_PICKS: None for path in project}
    files = [
        path
        for path in files
        if not path.match(COPICK_TOMOGRAMS) and path.parent not in picks
    ]
    headers = _headers([*project, *tomograms_among(files)], found)
    if not headers:
        msg = f"{folder}: no tomograms ({' '.join(TOMOGRAM_SUFFIXES)}) in this folder"
        raise ConfigError("\n  ".join([msg, *found.remarks]))
    for path in files:
        if path.is_file() and may_hold_coordinates(path):
            _attach(path, headers, found)
    for path in filter(Path.is_dir, picks):
        _attach(path, headers, found)
    if not found.annotations:
        msg = (
            f"{folder}: {len(headers)} tomograms, and no coordinates "
            f"({' '.join(TABLES)}) that name one of them or are named after one"
        )
        raise ConfigError("\n  ".join([msg, *found.remarks]))
    _name_classes(found)
    without = [path for path in headers if path not in found.tomograms]
    if without:
        found.remarks.append(
            f"no coordinates for {some([path.name for path in without])}"
        )
    return found


def _copick(folder: Path, found: Found) -> list[Path]:
    """Return one tomogram of each run of a copick project; none where it is none."""
    every = sorted(
        path
        for level in COPICK_LEVELS
        for path in folder.glob(level + COPICK_TOMOGRAMS)
    )
    kinds = Counter((path.parent.name, path.name) for path in every)
    runs: dict[Path, list[Path]] = {}
    for path in every:
        runs.setdefault(path.parent.parent, []).append(path)
    left: Counter[tuple[str, str]] = Counter()
    chosen = []
    for paths in runs.values():
        best = max(paths, key=lambda path: kinds[path.parent.name, path.name])
        chosen.append(best)
        left.update((p.parent.name, p.name) for p in paths if p is not best)
    for (spacing, name), many in sorted(left.items()):
        found.remarks.append(
            f"{spacing}/{name}: left out of {many} runs, which hold another tomogram"
        )
    return chosen


def _headers(paths: Iterable[Path], found: Found) -> dict[Path, Header]:
    """Read headers; keep the tomograms of the commonest voxel size."""
    headers: dict[Path, Header] = {}
    for path in paths:
        try:
            headers[path] = read_header(path)
        except DepError as error:
            found.remarks.append(str(error))
    sizes = [one.voxel_size for one in headers.values() if one.voxel_size]
    if not sizes:
        return headers
    size = max(sorted(set(sizes)), key=sizes.count)
    found.voxel_size = size
    for path, header in list(headers.items()):
        if header.voxel_size and not _alike(header.voxel_size, size):
            found.remarks.append(
                f"{path}: left out, its voxels have {header.voxel_size:g} Å, others "
                f"{size:g} Å"
            )
            del headers[path]
    return headers


def _attach(path: Path, headers: dict[Path, Header], found: Found) -> None:
    """Find the tomograms of one file of centres."""
    by_name: dict[str, list[Path]] = {}
    for candidate in headers:
        by_name.setdefault(tomogram_name(candidate), []).append(candidate)
    try:
        table = _read(path)
    except DepError as error:
        found.remarks.append(str(error))
        return
    shares = [
        share
        for share in _shares(table, list(by_name))
        if len(by_name[share[0]]) == 1 and share[1]
    ]
    if not shares:
        found.remarks.append(f"{path}: no centres of any tomogram here")
    for tomogram, rows, rest in shares:
        file = by_name[tomogram][0]
        try:
            one = _annotation(path, file, headers[file], table.only(rows), rest, found)
        except DepError as error:
            found.remarks.append(str(error))
            continue
        twin = _twin(one, found)
        if twin is None:
            found.annotations.append(one)
        else:
            found.remarks.append(f"{path}: holds the centres of {twin} again")


def _shares(table: Table, tomograms: list[str]) -> Iterator[tuple[str, list[int], str]]:
    """Give tomogram, rows, and what the file's name says besides the tomogram's."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(table.tomogram):
        rows.setdefault(name, []).append(row)
    if set(rows) - {""}:
        for tomogram, found in match_names(tomograms, list(rows)).items():
            if isinstance(found, str):
                yield tomogram, rows[found], ""
        return
    owner = _owner(table.name, tomograms)
    if owner is not None:
        yield (
            owner,
            list(range(len(table.label))),
            table.name[len(owner) :].strip(" _-."),
        )


def _annotation(
    path: Path,
    tomogram: Path,
    header: Header,
    rows: Table,
    rest: str,
    found: Found,
) -> Annotation:
    """Place the rows of one tomogram, and name their classes.

    Raises
    ------
    PicksError
        Coordinates from the centre of a tomogram whose voxel size is unknown, or
        classes that are not numbered from 1.
    """
    of_class: str | None = None
    own = rows.frame.classes
    if rows.numbered and own:
        rows = rows.named(path, own)
    elif rows.numbered and len(set(rows.label)) == 1 and (rest or rows.label[0] != "1"):
        # One class, whatever its number: no need for all numbers below it.
        of_class = rest or f"{ONLY}{rows.label[0]}"
        rows = replace(rows, label=[of_class] * len(rows.label), numbered=False)
    elif rows.numbered and min(map(int, rows.label)) < 1:
        msg = f"{path}: classes count from 1, found {min(map(int, rows.label))}"
        raise PicksError(msg)
    elif rows.numbered:
        found.most_number = max(found.most_number, *map(int, rows.label))
        rows = replace(rows, label=[f"{ONLY}{int(k)}" for k in rows.label])
    size = header.voxel_size or found.voxel_size
    binning = 1.0
    pixel_size = rows.counting.pixel_size if rows.counting.plain else None
    if pixel_size and size and not _alike(pixel_size, size):
        binning = float(f"{size / pixel_size:.4g}")
    frame = replace(rows.frame, shape=header.shape, voxel_size=size)
    placed = replace(rows, frame=frame, frames={}).as_it_counts().in_voxels(path)
    return Annotation(
        tomogram=tomogram,
        coordinates=path,
        of_class=of_class,
        binning=binning,
        xyz=placed.xyz / binning,
        label=rows.label,
    )


def _twin(one: Annotation, found: Found) -> Path | None:
    """Find the file that holds the same centres of the same tomogram already."""
    for other in found.annotations:
        if (
            other.tomogram == one.tomogram
            and other.xyz.shape == one.xyz.shape
            and np.allclose(other.xyz, one.xyz, atol=SAME)
        ):
            return other.coordinates
    return None


def _name_classes(found: Found) -> None:
    """List the classes; those with numbers first, for numbers count in this list."""
    numbered = [f"{ONLY}{k}" for k in range(1, found.most_number + 1)]
    if len(numbered) == 1:
        found.annotations = [
            replace(one, label=[ONLY if k == numbered[0] else k for k in one.label])
            for one in found.annotations
        ]
        numbered = [ONLY]
    names = {label for one in found.annotations for label in one.label}
    found.classes = [*numbered, *sorted(names - set(numbered))]


def _read(path: Path) -> Table:
    """Read a file of centres; one without classes holds class 1."""
    try:
        return read_rows(path)
    except DepError:
        table = read_rows(path, frame=Frame(classes=(ClassInfo(ONLY, 1.0),)))
        return replace(table, frame=Frame())


def _owner(stem: str, tomograms: Iterable[str]) -> str | None:
    """Find the tomogram that a file of centres is named after, by its longest name."""
    stem = same_name(stem)
    fitting = [
        name
        for name in tomograms
        if stem == name or (stem.startswith(name) and not stem[len(name)].isalnum())
    ]
    return max(fitting, key=len, default=None)


def _alike(a: float, b: float) -> bool:
    return abs(a / b - 1) <= VOXEL_SIZE_TOLERANCE
