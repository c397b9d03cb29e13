"""The picks of a run, read back from its coordinate files, in one table of classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ClassInfo
from dep.engine.errors import DepError
from dep.engine.formats import FORMATS
from dep.engine.formats.format import Holds
from dep.engine.picks import Picks
from dep.engine.report.run_folder import LARGEST, Run, TomogramRun
from dep.engine.report.scores import whole

__all__ = ["ClassTable", "Found", "read_found"]

# The first of them that was written is read: STAR files of ours hold the class table.
PREFERRED = ("relion5", "star", "csv")


@dataclass(frozen=True, slots=True)
class ClassTable:
    """All classes of a run, whichever of its models knows them.

    Attributes
    ----------
    names : tuple of str
        In the order of the class tables.
    diameters : tuple of float
        Å; 0 where unknown.
    """

    names: tuple[str, ...]
    diameters: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One tomogram of a run with its picks.

    Attributes
    ----------
    run : TomogramRun
        What the record says.
    xyz : (n, 3) float32
        x, y, z in voxels, the centre of the first voxel is 0.
    class_index : (n,) int64
        From 0, into the run's `ClassTable`.
    score : (n,) int64
        In ten-thousandths.
    shape : (int, int, int) or None
        Of the tomogram, z, y, x in voxels.
    voxel_size : float or None
        Å.
    remarks : tuple of str
        What could not be read.
    """

    run: TomogramRun
    xyz: NDArray[np.float32]
    class_index: NDArray[np.int64]
    score: NDArray[np.int64]
    shape: tuple[int, int, int] | None
    voxel_size: float | None
    remarks: tuple[str, ...]

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Count the picks of each class."""
        return np.bincount(self.class_index, minlength=classes)


def read_found(run: Run) -> tuple[ClassTable, list[Found]]:
    """Read the coordinate files of a run.

    A file that is missing or damaged becomes a remark of its tomogram.
    """
    read = [_read(run, one) for one in run.tomograms]
    diameters: dict[str, float] = {}
    for picks, _ in read:
        for info in () if picks is None else picks.classes:
            diameters[info.name] = diameters.get(info.name) or info.diameter
    table = ClassTable((*diameters,), (*diameters.values(),))
    at = {name: index for index, name in enumerate(table.names)}
    found = []
    for one, (picks, remarks) in zip(run.tomograms, read, strict=True):
        if picks is None:
            xyz, index, score = np.zeros((0, 3), np.float32), np.zeros(0, int), None
        else:
            xyz = picks.xyz
            own = np.array([at[info.name] for info in picks.classes], np.int64)
            index = own[picks.class_id - 1] if len(picks) else np.zeros(0, np.int64)
            score = picks.score
        found.append(
            Found(
                run=one,
                xyz=xyz,
                class_index=index.astype(np.int64),
                score=np.zeros(0, np.int64) if score is None else whole(score),
                shape=one.shape or getattr(picks, "shape", None),
                voxel_size=one.voxel_size or getattr(picks, "voxel_size", None),
                remarks=remarks,
            )
        )
    return table, found


def _read(run: Run, one: TomogramRun) -> tuple[Picks | None, tuple[str, ...]]:
    """Read the picks of one tomogram, or say why there are none."""
    if not one.picked:
        return None, ()
    scored = [form for form, one in FORMATS.items() if Holds.SCORE in one.holds]
    remarks = []
    for form in dict.fromkeys((*PREFERRED, *scored, *FORMATS)):
        if form not in one.outputs:
            continue
        try:
            picks = Picks.read(
                run.folder / one.outputs[form],
                form,
                tomogram=one.name,
                classes=_classes(run, one),
                shape=one.shape,
                voxel_size=one.voxel_size,
            )
        except DepError as error:
            remarks.append(str(error))
            continue
        if form not in scored:
            remarks.append(
                f"{one.outputs[form]}: this format holds no scores; all count as 1"
            )
        return picks, tuple(remarks)
    if not remarks:
        remarks.append("no coordinate file that can be read back")
    return None, tuple(remarks)


def _classes(run: Run, one: TomogramRun) -> tuple[ClassInfo, ...] | None:
    """Give the class table of the record, with the diameters of the model card."""
    card = run.models.get(str(one.model.get("weights_digest")), {})
    sizes = {
        str(info.get("name")): _diameter(info.get("diameter"))
        for info in _list(card.get("classes"))
    }
    if not sizes or not set(one.classes) <= set(sizes):
        # Diameters of another card, or of none, say nothing: the file may know.
        return None
    return tuple(ClassInfo(name, sizes[name]) for name in one.classes) or None


def _list(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [one for one in value if isinstance(one, dict)]


def _diameter(value: object) -> float:
    right = isinstance(value, int | float) and 0 < value < LARGEST
    return float(value) if right else 0.0  # type: ignore[arg-type]
