"""Which rows of a coordinate file belong to a tomogram, and whether they lie in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dep.engine.formats.table import Table
from dep.train.sources import NAME, Pair, match_names, some

MOST_BINNING = 16


@dataclass
class Rows:
    """Row numbers by (coordinate file, tomogram), and what was found wrong."""

    chosen: dict[tuple[Path, Path], list[int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def rows_for(pairs: Sequence[Pair], tables: Mapping[Path, Table]) -> Rows:
    """Share the rows of every file out to the tomograms that use it."""
    result = Rows()
    users: dict[Path, dict[Path, Pair]] = {}
    for pair in pairs:
        users.setdefault(pair.coordinates, {})[pair.tomogram] = pair
    for path, by_tomogram in users.items():
        if path in tables:
            _share_out(path, list(by_tomogram.values()), tables[path], result)
    return result


def _share_out(path: Path, pairs: list[Pair], table: Table, result: Rows) -> None:
    """Share out one file."""
    members: dict[str, list[int]] = {}
    for row, name in enumerate(table.tomogram):
        members.setdefault(name, []).append(row)
    nameless = members.pop("", [])
    names = [pair.name for pair in pairs]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled and members:
        result.faults.append(
            f"{path}: several tomograms are called {some(doubled)}; rename them, or "
            "give each a file of its own"
        )
        return
    if nameless and members:
        result.faults.append(
            f"{path}: {len(nameless)} rows name no tomogram, the others do"
        )
        return
    if not members:
        if len(pairs) > 1:
            result.faults.append(
                f"{path}: names no tomogram, and {len(pairs)} tomograms share it "
                f"({some(names)}); add a column with their names, or give each a file "
                f"with {NAME} in its path"
            )
            return
        result.chosen[path, pairs[0].tomogram] = nameless
        return
    matched = match_names(names, list(members))
    lacking: list[str] = []
    for pair in pairs:
        found = matched[pair.name]
        key = (path, pair.tomogram)
        own_file = pair.alone or NAME in str(pair.source.coordinates)
        if isinstance(found, str):
            result.chosen[key] = members[found]
        elif isinstance(found, list):
            result.faults.append(
                f"{path}: one name in it could mean any of {some(found)}; name each "
                "tomogram in full"
            )
        elif own_file and len(pairs) == 1 and len(members) == 1:
            result.warnings.append(
                f"{path}: holds centres of {next(iter(members))!r}, taken for "
                f"{pair.name}"
            )
            result.chosen[key] = next(iter(members.values()))
        elif pair.alone:
            result.faults.append(
                f"{path}: no centres of tomogram {pair.name!r}; it holds "
                f"{some(list(members))}"
            )
        else:
            lacking.append(pair.name)
    if len(lacking) == len(pairs):
        result.faults.append(
            f"{path}: holds none of the tomograms {some(lacking)}, but "
            f"{some(list(members))}"
        )
    elif lacking:
        result.warnings.append(
            f"{path}: holds no centres of {some(lacking)}: left out "
            f"({len(lacking)} of {len(pairs)} tomograms)"
        )


def listed_once(
    xyz: npt.NDArray[np.float64], class_id: npt.NDArray[np.int64], within: float = 0.01
) -> npt.NDArray[np.int64]:
    """Find rows that repeat an earlier one: the same class at the same place.

    Two files of one tomogram may hold the same particles, in formats that round
    otherwise, and one file may be named by two patterns.

    Parameters
    ----------
    xyz, class_id
        (n, 3) in voxels, and (n,).
    within
        Voxels, along each axis, that count as the same place.

    Returns
    -------
    (m,) int64
        The rows that repeat none, rising.
    """
    order = np.lexsort((xyz[:, 0], class_id))
    again = np.zeros(len(xyz), bool)
    for apart in range(1, len(xyz)):
        a, b = order[:-apart], order[apart:]
        near = (class_id[a] == class_id[b]) & (xyz[b, 0] - xyz[a, 0] <= within)
        if not near.any():
            break
        same = near & (np.abs(xyz[a] - xyz[b]).max(axis=1) <= within)
        again[np.maximum(a[same], b[same])] = True
    return np.flatnonzero(~again)


def where_outside(
    xyz: npt.NDArray[np.float64], shape: tuple[int, int, int], tomogram: Path
) -> str | None:
    """Say which centres lie outside a tomogram, and what may be the cause.

    Parameters
    ----------
    xyz
        (n, 3) in voxels; a centre belongs to its nearest voxel, halves go up.
    shape
        (z, y, x).
    tomogram
        Its file.

    Returns
    -------
    str or None
        None if all lie inside.
    """
    edges = np.array(shape[::-1], dtype=np.float64)  # x, y, z

    def inside(points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        voxels = np.floor(points + 0.5)
        return np.asarray(((voxels >= 0) & (voxels < edges)).all(axis=1))

    outside = np.flatnonzero(~inside(xyz))
    if not outside.size:
        return None
    first = ", ".join(f"{value:g}" for value in xyz[outside[0]])
    message = (
        f"{outside.size} of {len(xyz)} centres lie outside {tomogram}, which has "
        f"{shape[2]} x {shape[1]} x {shape[0]} voxels (x, y, z); the first is number "
        f"{outside[0] + 1} at ({first})"
    )
    if inside(xyz[:, ::-1]).all():
        return (
            message + ". With x and z exchanged all lie inside: is the order z, y, x?"
        )
    if 2 * outside.size > len(xyz):
        for binning in range(2, MOST_BINNING + 1):
            if inside(xyz / binning).all():
                return (
                    f"{message}. With binning = {binning} all lie inside: are these "
                    "pixels of the unbinned tomogram?"
                )
    return message
