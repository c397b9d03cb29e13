"""Read where particles really are, and score picks against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ClassInfo
from dep.engine.errors import PicksError
from dep.engine.formats import read_table
from dep.engine.formats.frame import Frame
from dep.engine.formats.table import Table
from dep.engine.metrics import Evaluation, evaluate
from dep.engine.picks import Picks


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Where particles really are.

    Attributes
    ----------
    xyz : (m, 3) float64
        x, y, z in voxels, the centre of the first voxel is 0.
    class_id : (m,) int64
        From 1, into `classes`.
    classes : tuple of ClassInfo
        The class table.
    ignored : dict of str to int
        Rows left out because their class is not in the table, such as vesicles.
    row : (m,) int64
        Where each particle stands among the tomogram's rows, from 1, those left out
        included: its number in an occupancy volume.
    """

    xyz: NDArray[np.float64]
    class_id: NDArray[np.int64]
    classes: tuple[ClassInfo, ...]
    ignored: dict[str, int]
    row: NDArray[np.int64]


def read_truth(
    path: str | PathLike[str],
    classes: Sequence[ClassInfo],
    *,
    tomogram: str | None = None,
    shape: tuple[int, int, int] | None = None,
    voxel_size: float | None = None,
) -> Truth:
    """Read the truth of one tomogram: CSV with ``class,x,y,z``, STAR or .coords.

    Parameters
    ----------
    path : path
        The file.
    classes : sequence of ClassInfo
        The classes that count; rows of others are left out. Files with numbers instead
        of names count from 1 in this table, or in their own where they hold one.
    tomogram : str, optional
        Which one to take from a file of several.
    shape, voxel_size : optional
        Of the tomogram, where the file's convention needs them.

    Raises
    ------
    PicksError
        A missing or malformed file, or several tomograms and none chosen.
    """
    path = Path(path)
    table = read_table(path, frame=Frame(shape, voxel_size))
    _, table = table.of_tomogram(path, tomogram)
    return truth_of(table, classes)


def truth_of(table: Table, classes: Sequence[ClassInfo]) -> Truth:
    """Sort the rows of a table, in voxels, into classes.

    Parameters
    ----------
    table : Table
        Of one tomogram.
    classes : sequence of ClassInfo
        As in `read_truth`.
    """
    own = [one.name for one in table.frame.classes or classes]
    number = {one.name: index for index, one in enumerate(classes, start=1)}
    rows: list[int] = []
    ids: list[int] = []
    ignored: dict[str, int] = {}
    for row, label in enumerate(table.label):
        name = label
        if table.numbered:
            index = int(label)
            name = own[index - 1] if 1 <= index <= len(own) else f"class {index}"
        if name in number:
            rows.append(row)
            ids.append(number[name])
        else:
            ignored[name] = ignored.get(name, 0) + 1
    return Truth(
        table.xyz[rows],
        np.array(ids, np.int64),
        tuple(classes),
        ignored,
        np.array(rows, np.int64) + 1,
    )


def evaluate_picks(picks: Picks, truth: Truth) -> Evaluation:
    """Score picks against the truth; classes are told by name.

    Raises
    ------
    PicksError
        The voxel size or a diameter is unknown, or the picks have a class that the
        truth's table has not.
    """
    known_diameters(picks.tomogram, truth.classes)
    voxel_size, picked_as = placed(picks, truth)
    return evaluate(
        picks.xyz,
        picked_as,
        truth.xyz,
        truth.class_id,
        [one.diameter / voxel_size for one in truth.classes],
        [one.name for one in truth.classes],
    )


def placed(picks: Picks, truth: Truth) -> tuple[float, NDArray[np.int64]]:
    """Give the voxel size of picks, and their classes as numbers in the truth's table.

    Raises
    ------
    PicksError
        The voxel size is unknown, or the picks have a class that the table has not.
    """
    if picks.voxel_size is None:
        message = (
            f"{picks.tomogram}: the voxel size of the picks is unknown, so diameters "
            "in Å say nothing; give it (--voxel-size, or the model's)"
        )
        raise PicksError(message)
    number = {one.name: index for index, one in enumerate(truth.classes, start=1)}
    names = picks.class_names
    strange = set(names) - set(number)
    if strange:
        message = (
            f"{picks.tomogram}: picks of {', '.join(sorted(strange))}, which the "
            f"truth's class table ({', '.join(number)}) has not"
        )
        raise PicksError(message)
    return picks.voxel_size, np.array([number[name] for name in names], np.int64)


def known_diameters(whose: str, classes: Sequence[ClassInfo]) -> None:
    """Refuse a class table that lacks a diameter.

    Raises
    ------
    PicksError
        Names the classes.
    """
    unknown = [one.name for one in classes if not one.diameter > 0]
    if unknown:
        message = (
            f"{whose}: no diameter is known of {', '.join(unknown)}; take the "
            "class table from a model"
        )
        raise PicksError(message)
