"""A case: the picks of one tomogram and its truth, in one class table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ClassInfo
from dep.engine.metrics import near_pairs
from dep.engine.picks import Picks
from dep.engine.truth import Truth, known_diameters, placed

ANY = "(any)"  # the one class where classes do not count


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Picks and truth of one tomogram.

    Attributes
    ----------
    tomogram : str
        Its name.
    picks, truth : (n, 3) and (m, 3) float64
        x, y, z in voxels of the tomogram, the centre of the first voxel is 0.
    picked_as, true_as : (n,) and (m,) int64
        Classes, from 1.
    score : (n,) float64
        Of the picks.
    row : (m,) int64
        Where each particle stands in the truth's file, from 1.
    voxel_size : float
        Ångström.
    left_out : dict of str to int
        Rows of the truth whose class is not in the table.
    radius : (m,) float64 or None
        Of each particle, in voxels; None: as its class in the table says.
    """

    tomogram: str
    picks: NDArray[np.float64]
    picked_as: NDArray[np.int64]
    score: NDArray[np.float64]
    truth: NDArray[np.float64]
    true_as: NDArray[np.int64]
    row: NDArray[np.int64]
    voxel_size: float
    left_out: dict[str, int] = field(default_factory=dict)
    radius: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, picks: Picks, truth: Truth) -> Self:
        """Put picks and truth into the truth's class table; classes go by name.

        Raises
        ------
        PicksError
            The voxel size is unknown, or the picks have a class that the table has not.
        """
        voxel_size, picked_as = placed(picks, truth)
        return cls(
            tomogram=picks.tomogram,
            picks=picks.xyz.astype(np.float64),
            picked_as=picked_as,
            # The number that files show: 0.7, not 0.699999988 (its float32).
            score=np.array([float(str(one)) for one in picks.score], np.float64),
            truth=truth.xyz,
            true_as=truth.class_id,
            row=truth.row,
            voxel_size=voxel_size,
            left_out=truth.ignored,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Cases of one class table, with picks and particles counted through all of them.

    Attributes
    ----------
    classes : tuple of ClassInfo
        The class table, with diameters in Å.
    each : tuple of Case
        One for each tomogram.
    """

    classes: tuple[ClassInfo, ...]
    each: tuple[Case, ...]

    def __post_init__(self) -> None:
        told = ", ".join(one.tomogram for one in self.each[:3])
        known_diameters(told or "class table", self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(one.name for one in self.classes)

    @property
    def classless(self) -> bool:
        """Whether picks and particles go together whatever their classes."""
        return self.names == (ANY,)

    @property
    def picked_as(self) -> NDArray[np.int64]:
        """Class of each pick of all cases, one case after the other."""
        return _join([one.picked_as for one in self.each], np.int64)

    @property
    def true_as(self) -> NDArray[np.int64]:
        """Class of each particle of all cases."""
        return _join([one.true_as for one in self.each], np.int64)

    @property
    def score(self) -> NDArray[np.float64]:
        """Score of each pick of all cases."""
        return _join([one.score for one in self.each], np.float64)

    def radii(self, case: Case, factor: float = 1.0) -> NDArray[np.float64]:
        """Give the radius of each particle of a case, in its voxels, times a factor."""
        if case.radius is not None:
            return factor * case.radius
        size = np.array([one.diameter for one in self.classes], np.float64)
        radius: NDArray[np.float64] = (
            factor * (size / case.voxel_size)[case.true_as - 1] / 2
        )
        return radius


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Picks and particles that lie near each other, of all cases.

    Attributes
    ----------
    pick, particle : (p,) int64
        Counted through all cases, as in `Cases`.
    distance : (p,) float64
        Voxels.
    """

    pick: NDArray[np.int64]
    particle: NDArray[np.int64]
    distance: NDArray[np.float64]

    def only(self, kept: NDArray[np.bool_]) -> "Pairs":
        """Take some of them, in their order."""
        return Pairs(self.pick[kept], self.particle[kept], self.distance[kept])


def pairs_within_radius(cases: Cases, factor: float = 1.0) -> Pairs:
    """Find all pairs of a pick and a particle whose radius reaches it.

    They come nearest first; equal distances: the earlier particle, then the earlier
    pick. That is the order in which `dep.engine.metrics.match` takes them.

    Parameters
    ----------
    cases : Cases
        Pairs are within one tomogram.
    factor : float
        Of the particle's radius; a pick at exactly that distance still hits.
    """
    picks, particles, distances = [], [], []
    first_pick = first_particle = 0
    for case in cases.each:
        radius = cases.radii(case, factor)
        reach = float(radius.max(initial=0.0))
        pick, particle = near_pairs(case.picks, case.truth, reach)
        apart = np.sqrt(((case.picks[pick] - case.truth[particle]) ** 2).sum(axis=1))
        close = apart <= radius[particle]
        picks.append(pick[close] + first_pick)
        particles.append(particle[close] + first_particle)
        distances.append(apart[close])
        first_pick += len(case.picks)
        first_particle += len(case.truth)
    pick, particle = _join(picks, np.int64), _join(particles, np.int64)
    distance = _join(distances, np.float64)
    order = np.lexsort((pick, particle, distance))
    return Pairs(pick[order], particle[order], distance[order])


def _join(arrays: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:  # noqa: ANN401
    return np.concatenate([np.zeros(0, dtype), *arrays])
