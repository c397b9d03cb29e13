"""Hits, misses and false picks one by one: what every count is a sum of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.evaluation.cases import Cases
from dep.engine.metrics import Evaluation, match, summarise


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Hits, then misses, then false picks, tomogram by tomogram.

    Attributes
    ----------
    pick, particle : (e,) int64
        Which, counted through all cases as in `Cases`; -1 where there is none.
    case : (e,) int64
        Index of the tomogram.
    xyz : (e, 3) float64
        Where: the particle's centre, and the pick's where no particle is. Voxels.
    true_as, picked_as : (e,) int64
        Classes of particle and pick, from 1; 0 where there is none.
    distance : (e,) float64
        Between the two, in voxels; NaN where it is no hit.
    score : (e,) float64
        Of the pick; NaN where there is none.
    """

    pick: NDArray[np.int64]
    particle: NDArray[np.int64]
    case: NDArray[np.int64]
    xyz: NDArray[np.float64]
    true_as: NDArray[np.int64]
    picked_as: NDArray[np.int64]
    distance: NDArray[np.float64]
    score: NDArray[np.float64]

    @property
    def hit(self) -> NDArray[np.bool_]:
        """A pick on a particle, whatever their classes."""
        return (self.true_as > 0) & (self.picked_as > 0)

    def of_case(self, index: int) -> "Events":
        """Take those of one tomogram."""
        kept = self.case == index
        return Events(
            self.pick[kept],
            self.particle[kept],
            self.case[kept],
            self.xyz[kept],
            self.true_as[kept],
            self.picked_as[kept],
            self.distance[kept],
            self.score[kept],
        )

    def evaluation(self, names: tuple[str, ...]) -> Evaluation:
        """Count them."""
        confusion = np.zeros((len(names) + 1, len(names) + 1), np.int64)
        np.add.at(confusion, (self.true_as, self.picked_as), 1)
        return summarise(confusion, self.distance[self.hit], names)


def events_of(cases: Cases, factor: float = 1.0) -> Events:
    """Match picks with particles, tomogram by tomogram.

    One to one, nearest pairs first, whatever the classes: `dep.engine.metrics.match`.

    Parameters
    ----------
    cases : Cases
        Picks and particles.
    factor : float
        Of the particle's radius within which a pick hits.
    """
    parts: list[Events] = []
    first_pick = first_particle = 0
    for index, case in enumerate(cases.each):
        pick, particle, distance = match(
            case.picks, case.truth, cases.radii(case, factor)
        )
        missed = np.delete(np.arange(len(case.truth)), particle)
        false = np.delete(np.arange(len(case.picks)), pick)
        no_pick, no_particle = np.full(len(missed), -1), np.full(len(false), -1)
        made = np.concatenate([pick, no_pick, false])
        there = np.concatenate([particle, missed, no_particle])
        # Index -1 takes the row appended, which is nobody's.
        parts.append(
            Events(
                pick=np.where(made < 0, -1, made + first_pick),
                particle=np.where(there < 0, -1, there + first_particle),
                case=np.full(len(made), index),
                xyz=np.concatenate([case.truth[there[there >= 0]], case.picks[false]]),
                true_as=np.append(case.true_as, 0)[there],
                picked_as=np.append(case.picked_as, 0)[made],
                distance=np.append(distance, np.full(len(missed) + len(false), np.nan)),
                score=np.append(case.score, np.nan)[made],
            )
        )
        first_pick += len(case.picks)
        first_particle += len(case.truth)
    return Events(
        **{
            name: np.concatenate([empty, *(getattr(one, name) for one in parts)])
            for name, empty in _EMPTY.items()
        }
    )


_EMPTY: dict[str, NDArray[Any]] = {
    **dict.fromkeys(
        ("pick", "particle", "case", "true_as", "picked_as"), np.zeros(0, np.int64)
    ),
    "xyz": np.zeros((0, 3)),
    "distance": np.zeros(0),
    "score": np.zeros(0),
}
