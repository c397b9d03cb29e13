"""Looks at all data of a training before it starts, and lists all that is wrong.

Headers and coordinate files are read, voxels are not.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dep.engine.card import ClassInfo
from dep.engine.errors import DepError
from dep.engine.formats import read_rows
from dep.engine.formats.frame import Frame
from dep.engine.formats.table import Table
from dep.engine.readers.header import Wish
from dep.engine.readers.names import tomogram_name
from dep.engine.readers.registry import is_there, open_tomogram, read_header
from dep.engine.truth import truth_of
from dep.engine.voxel_frame import VOXEL_SIZE_TOLERANCE
from dep.train.placing import listed_once, rows_for, where_outside
from dep.train.sections import DataSection
from dep.train.sources import PARTS, Pair, list_pairs, some


@dataclass(frozen=True)
class Surveyed:
    """A tomogram and its centres, its voxels still unread.

    Attributes
    ----------
    path, name
        Of the tomogram.
    shape
        (z, y, x) in voxels.
    xyz
        (n, 3) float64, centres in voxels, 0 the centre of the first voxel.
    class_id
        (n,) int64, from 1, in the order of the configuration's classes.
    fully_annotated
        Every particle of every class is among them.
    weight
        How often it is trained on, beside others of weight 1.
    """

    path: Path
    name: str
    shape: tuple[int, int, int]
    xyz: npt.NDArray[np.float64]
    class_id: npt.NDArray[np.int64]
    fully_annotated: bool
    weight: float = 1.0


@dataclass
class Survey:
    """All tomograms by part ("train", "validate", "test"), and what was found wrong.

    Attributes
    ----------
    parts
        Tomograms that can be used.
    present
        Classes with a centre, of all coordinates that could be read, also those of
        tomograms that cannot be used.
    faults, warnings
        One line each.
    left_out
        Rows by class, where it is not configured.
    """

    parts: dict[str, list[Surveyed]] = field(
        default_factory=lambda: {part: [] for part in PARTS}
    )
    present: dict[str, set[int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Known:
    """What is right in a configuration that is wrong elsewhere.

    Attributes
    ----------
    binning
        Of all entries: without it nothing is said of where centres lie.
    classes
        All names: without them no coordinates are called those of no class.
    entries
        All entries to train on: without them no class is called absent.
    """

    binning: bool = True
    classes: bool = True
    entries: bool = True


def survey(
    data: DataSection,
    names: Sequence[str],
    voxel_size: float | None,
    known: Known = Known(),
) -> Survey:
    """Look at headers and coordinates of all tomograms.

    Parameters
    ----------
    data
        With paths that can be opened from here.
    names
        Of the classes, in the order of the configuration.
    voxel_size
        Å, of the configuration; None where it is wrong there.
    known
        What else may be wrong there.

    Returns
    -------
    Survey
        Its `faults` list what a training cannot start with.
    """
    listing = list_pairs(data)
    result = Survey(faults=listing.faults, warnings=listing.warnings)
    pairs = [pair for part in PARTS for pair in listing.parts[part]]
    # Of tomograms that are not there the rows still tell which classes have particles.
    absent = [pair for part in PARTS for pair in listing.absent[part]]
    tables = _tables([*pairs, *absent], names, result)
    files = {path: table for (path, _), table in tables.items()}
    rows, others = rows_for(pairs, files), rows_for(absent, files)
    result.faults += rows.faults
    result.warnings += rows.warnings
    chosen = others.chosen | rows.chosen
    lost = set(listing.lost)
    for part in PARTS:
        by_tomogram: dict[Path, list[tuple[Pair, Table]]] = {}
        for pair in listing.parts[part] + listing.absent[part]:
            table = tables.get((pair.coordinates, pair.source.of_class))
            mine = chosen.get((pair.coordinates, pair.tomogram))
            if table is None or (mine is None and (rows.faults or others.faults)):
                lost.add(part)
            if table is not None and mine is not None:
                found = by_tomogram.setdefault(pair.tomogram.resolve(), [])
                found.append((pair, table.only(mine)))
        for found in by_tomogram.values():
            _sort(part, [table for _, table in found], names, result)
            if is_there(found[0][0].tomogram):
                _look(part, found, data, names, voxel_size, known, result)
    _count(names, result, known.classes and known.entries and "train" not in lost)
    result.faults = list(dict.fromkeys(result.faults))
    result.warnings = list(dict.fromkeys(result.warnings))
    return result


def _tables(
    pairs: Iterable[Pair], names: Sequence[str], result: Survey
) -> dict[tuple[Path, str | None], Table]:
    """Read every coordinate file once."""
    tables: dict[tuple[Path, str | None], Table] = {}
    failed: set[Path] = set()
    for pair in pairs:
        path, name = pair.coordinates, pair.source.of_class
        if path in failed or (path, name) in tables:
            continue
        only = name or (names[0] if len(names) == 1 else None)
        frame = Frame(classes=(ClassInfo(only, 1.0),)) if only else Frame()
        try:
            table = read_rows(path, frame=frame)
        except DepError as error:
            failed.add(path)
            result.faults.append(str(error))
            continue
        if name is not None:
            others = [] if table.numbered else sorted(set(table.label) - {name})
            if others:
                failed.add(path)
                result.faults.append(
                    f"{path}: says class = {name!r} in the configuration, but names "
                    f"classes itself ({some(others)}); leave class out"
                )
                continue
            table = replace(table, label=[name] * len(table.label), numbered=False)
        tables[path, name] = table
    return tables


def _sort(
    part: str, tables: Sequence[Table], names: Sequence[str], result: Survey
) -> None:
    """Take note of the classes of one tomogram's rows, wherever they lie."""
    for table in tables:
        truth = truth_of(table, [ClassInfo(name, 0.0) for name in names])
        result.left_out.update(truth.ignored)
        result.present.setdefault(part, set()).update(map(int, truth.class_id))


def _look(
    part: str,
    found: Sequence[tuple[Pair, Table]],
    data: DataSection,
    names: Sequence[str],
    voxel_size: float | None,
    known: Known,
    result: Survey,
) -> None:
    """Check one tomogram with the rows of all its coordinate files."""
    path = found[0][0].tomogram
    try:
        header = read_header(path, Wish(near=voxel_size))
        if not header.compression:
            # A file cut short shows here.
            open_tomogram(path, Wish(near=voxel_size)).planes.close()
    except DepError as error:
        result.faults.append(str(error))
        return
    size = header.voxel_size
    wanted = voxel_size or size
    if wanted is None:
        return  # neither header nor configuration: told already
    if size is None:
        result.warnings.append(
            f"{path}: the header holds no voxel size, {wanted:g} Å are assumed"
        )
        size = wanted
    if not _alike(size, wanted):
        result.faults.append(
            f"{path}: voxel size {size:g} Å, the configuration says {wanted:g} Å; "
            "bin all tomograms alike, or correct voxel_size"
        )
        return
    table = [ClassInfo(name, 0.0) for name in names]
    complete = {
        data.fully_annotated if said is None else said
        for said in (pair.source.fully_annotated for pair, _ in found)
    }
    if len(complete) > 1:
        result.faults.append(
            f"{path}: fully_annotated is true in one entry and false in another"
        )
    weights = {pair.source.weight for pair, _ in found}
    if len(weights) > 1:
        result.faults.append(
            f"{path}: weight is {' and '.join(f'{one:g}' for one in sorted(weights))} "
            "in its entries; it is of the tomogram, so let them agree"
        )
    xyz, class_id = [np.zeros((0, 3))], [np.zeros(0, np.int64)]
    for pair, rows in found:
        binning = pair.source.binning or data.binning
        pixel_size = rows.counting.pixel_size if rows.counting.plain else None
        if pixel_size and known.binning and not _alike(pixel_size * binning, size):
            result.faults.append(
                f"{pair.coordinates}: counts in unbinned pixels of "
                f"{pixel_size:g} Å, the voxels of {path} have {size:g} Å: set "
                f"binning = {size / pixel_size:.4g} (found {binning:g})"
            )
            continue
        frame = replace(rows.frame, shape=header.shape, voxel_size=size)
        one = replace(rows, frame=frame, frames={}).as_it_counts()
        try:
            placed = one.in_voxels(pair.coordinates)
        except DepError as error:
            result.faults.append(str(error))
            continue
        if rows.counting.plain:
            placed = replace(placed, xyz=placed.xyz / binning)
        truth = truth_of(placed, table)
        outside = where_outside(truth.xyz, header.shape, path)
        if outside and known.binning:
            result.faults.append(f"{pair.coordinates}: {outside}")
        if not len(truth.xyz) and not max(complete) and known.classes:
            result.faults.append(_nothing(pair, truth.ignored, len(names)))
        xyz.append(truth.xyz)
        class_id.append(truth.class_id)
    centres, labels = np.concatenate(xyz), np.concatenate(class_id)
    once = listed_once(centres, labels)
    if len(once) < len(centres):
        result.warnings.append(
            f"{path}: {len(centres) - len(once)} of {len(centres)} centres are listed "
            "twice, and count once"
        )
    result.parts[part].append(
        Surveyed(
            path=path,
            name=tomogram_name(path),
            shape=header.shape,
            xyz=centres[once],
            class_id=labels[once],
            fully_annotated=complete == {True},
            weight=found[0][0].source.weight,
        )
    )


def _alike(a: float, b: float) -> bool:
    return abs(a / b - 1) <= VOXEL_SIZE_TOLERANCE


def _nothing(pair: Pair, ignored: dict[str, int], classes: int) -> str:
    message = f"{pair.coordinates}: no centre of any configured class in {pair.name}"
    if not ignored:
        return message
    held = some([f"{name} ({many})" for name, many in ignored.items()])
    message += f"; it holds {held}"
    if all(name.startswith("class ") for name in ignored):
        message += (
            f', numbers that are none of 1 to {classes}; say class = "NAME" '
            "beside coordinates if all rows are of one class"
        )
    return message


def _count(names: Sequence[str], result: Survey, sure: bool) -> None:
    """Demand particles of every class, where all are known; say what was left out."""
    held = [f"{name} ({many})" for name, many in sorted(result.left_out.items())]
    if held:
        result.warnings.append(
            f"rows left out, of classes that are not configured: {some(held)}"
        )
    for part, present in result.present.items():
        absent = [
            name for number, name in enumerate(names, start=1) if number not in present
        ]
        if part == "train":
            also = f"; the files also hold {some(held)}" if held else ""
            result.faults += [
                f"class {name}: no particle in any training tomogram{also}"
                for name in absent
                if sure
            ]
        elif absent:
            result.warnings.append(
                f"no particle of {some(absent)} in the tomograms of {part}: "
                "nothing is measured of it there"
            )
