"""The rows of a coordinate file, before they become picks of one tomogram."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import MAX_CLASSES, ClassInfo
from dep.engine.errors import PicksError
from dep.engine.formats.frame import VOXELS, Centre, Counting, Frame

if TYPE_CHECKING:
    from dep.engine.picks import Picks


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a coordinate file.

    Attributes
    ----------
    xyz : (n, 3) float64
        x, y, z as `counting` says; by default in voxels, the first one's centre is 0.
    label : list of str
        Class name or number of each row; numbers count from 1.
    score : (n,) float64
        1 where the file has none.
    tomogram : list of str
        Of each row; empty strings where the file does not say.
    frame : Frame
        What the file, or who reads it, says of its tomograms and classes.
    numbered : bool
        Labels are numbers into the class table, not names.
    counting : Counting
        How the file counts coordinates.
    frames : mapping of str to Frame
        What the file says of each tomogram, by name, before `frame`.
    name : str
        What its tomogram is called where the file does not say; empty: as the file.
    """

    xyz: NDArray[np.float64]
    label: list[str]
    score: NDArray[np.float64]
    tomogram: list[str]
    frame: Frame
    numbered: bool
    counting: Counting = VOXELS
    frames: Mapping[str, Frame] = field(default_factory=dict)
    name: str = ""

    def frame_of(self, tomogram: str) -> Frame:
        """Say what is known of one of the tomograms."""
        return self.frames.get(tomogram, Frame()).or_else(self.frame)

    def in_voxels(self, path: Path, centre: Centre = "half") -> "Table":
        """Count coordinates in voxels of each row's own tomogram.

        Raises
        ------
        PicksError
            A shape or voxel size that this needs is unknown.
        """
        if self.counting == VOXELS:
            return self
        table = self._of_known_size()
        if not table.frames:
            xyz = self.counting.to_voxels(path, self.xyz, table.frame, centre)
        else:
            xyz = np.empty_like(self.xyz)
            for name, rows in self.rows_by_tomogram().items():
                xyz[rows] = self.counting.to_voxels(
                    path, self.xyz[rows], table.frame_of(name), centre
                )
        return replace(table, xyz=xyz, counting=VOXELS)

    def _of_known_size(self) -> "Table":
        """Take unbinned pixels for the voxels where the voxel size is unknown."""
        size = self.counting.pixel_size
        if not (size and self.counting.plain):
            return self
        frame = self.frame.or_else(Frame(voxel_size=size, pixel_size=size))
        return replace(self, frame=frame)

    def as_it_counts(self) -> "Table":
        """Leave pixels from the first one as they are, whatever their size."""
        return replace(self, counting=VOXELS) if self.counting.plain else self

    def rows_by_tomogram(self) -> dict[str, list[int]]:
        """Give the numbers of each tomogram's rows, in the order of the file."""
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.tomogram):
            rows.setdefault(name, []).append(row)
        return rows

    def of_tomogram(self, path: Path, wanted: str | None) -> tuple[str, "Table"]:
        """Take the rows of one tomogram.

        Raises
        ------
        PicksError
            Several and none chosen, or the one chosen is not there.
        """
        names = list(dict.fromkeys(self.tomogram))
        if names in ([], [""]):
            return wanted or self.name or path.stem, self
        if wanted is None:
            if len(names) > 1:
                message = (
                    f"{path}: holds {len(names)} tomograms ({_some(names)}); "
                    "say which one is wanted"
                )
                raise PicksError(message)
            return names[0], self
        rows = [row for row, name in enumerate(self.tomogram) if name == wanted]
        if not rows:
            message = f"{path}: no tomogram {wanted!r}; it holds {_some(names)}"
            raise PicksError(message)
        return wanted, self.only(rows)

    def only(self, rows: Sequence[int]) -> "Table":
        """Take some rows, in the order given."""
        return replace(
            self,
            xyz=self.xyz[list(rows)],
            label=[self.label[row] for row in rows],
            score=self.score[list(rows)],
            tomogram=[self.tomogram[row] for row in rows],
        )

    def named(self, path: Path, classes: tuple[ClassInfo, ...]) -> "Table":
        """Put the names of a class table in the place of numbers.

        Raises
        ------
        PicksError
            A number that the table has not.
        """
        names = [classes[number - 1].name for number in _class_ids(path, self, classes)]
        return replace(self, label=names, numbered=False)

    def picks(
        self,
        path: Path,
        tomogram: str | None,
        classes: tuple[ClassInfo, ...] | None,
    ) -> "Picks":
        """Turn the rows of one tomogram into picks, best first.

        Raises
        ------
        PicksError
            Several tomograms and none chosen, or a class that is not in the table. A
        file's numbers count in its own table where it holds one, and its classes are
        then found in `classes` by name.
        """
        from dep.engine.picks import Picks

        name, rows = self.of_tomogram(path, tomogram)
        if classes and rows.numbered and rows.frame.classes:
            rows = rows.named(path, rows.frame.classes)
        frame = rows.frame_of(name if name in rows.frames else "")
        known = classes or frame.classes or _invent(path, rows)
        order = np.argsort(-rows.score, kind="stable")
        return Picks(
            xyz=rows.xyz[order].astype(np.float32),
            class_id=_class_ids(path, rows, known)[order],
            score=rows.score[order].astype(np.float32),
            classes=known,
            tomogram=name,
            shape=frame.shape,
            voxel_size=frame.voxel_size,
        )


def _some(names: Iterable[str], most: int = 5) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _invent(path: Path, rows: Table) -> tuple[ClassInfo, ...]:
    """Make a class table of what a file holds; diameters are unknown."""
    if not rows.numbered:
        return tuple(ClassInfo(name, 0.0) for name in dict.fromkeys(rows.label))
    most = int(_numbers(path, rows, MAX_CLASSES).max(initial=0))
    return tuple(ClassInfo(str(number), 0.0) for number in range(1, most + 1))


def _numbers(path: Path, rows: Table, most: int) -> NDArray[np.int32]:
    """Read labels as class numbers, from 1 to `most`."""
    meaning = {label: int(label) for label in dict.fromkeys(rows.label)}
    numbers = [meaning[label] for label in rows.label]
    if numbers and not 1 <= min(numbers) <= max(numbers) <= most:
        row, found = next(
            (row, one)
            for row, one in enumerate(numbers, start=1)
            if not 1 <= one <= most
        )
        # A float of 30 digits is a whole number too: shown shorter.
        shown = found if abs(found) < 1e9 else f"{found:.3g}"
        message = f"{path}: class {shown} in row {row}, expected 1 to {most}"
        raise PicksError(message)
    return np.array(numbers, np.int32)


def _class_ids(
    path: Path, rows: Table, classes: tuple[ClassInfo, ...]
) -> NDArray[np.int32]:
    if rows.numbered:
        return _numbers(path, rows, len(classes))
    table = {one.name: number for number, one in enumerate(classes, start=1)}
    try:
        return np.array([table[name] for name in rows.label], np.int32)
    except KeyError as error:
        message = (
            f"{path}: class {error.args[0]!r} is not among the classes {_some(table)}"
        )
        raise PicksError(message) from error
