"""Precision and recall at every threshold of the score, exactly.

At a threshold t the picks that count are those with score >= t, and they are matched
with the particles anew: a pick of low score that lies nearer may take over a particle.
Matching is greedy over pairs ordered by distance (ties: particle, then pick), one order
that picks and particles share; so it is the one stable matching of that order, and a
pick that is added changes it by a chain of proposals (Gale and Shapley, Am. Math.
Monthly 69:9, 1962): it proposes to its particles, nearest first; one that it suits
better than its present pick takes it, and the pick put out goes on to its next.
Particles only ever gain, so no pick need ask twice, and all thresholds together cost as
much as there are pairs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.evaluation.cases import Pairs


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Hits and picks at each threshold, from the highest score to the lowest.

    Attributes
    ----------
    threshold : (k,) float64
        The distinct scores, falling; picks with this score and above count.
    picks, hits : (k,) int64
        How many picks count, and how many particles they hit.
    particles : int
        How many there are.
    """

    threshold: NDArray[np.float64]
    picks: NDArray[np.int64]
    hits: NDArray[np.int64]
    particles: int

    @property
    def precision(self) -> NDArray[np.float64]:
        """Hits of picks; the contest's rule may count more hits than picks."""
        shares: NDArray[np.float64] = self.hits / np.maximum(self.picks, 1)
        return shares

    @property
    def recall(self) -> NDArray[np.float64]:
        """Hits of particles; never falls along the curve."""
        shares: NDArray[np.float64] = self.hits / max(self.particles, 1)
        return shares

    def f_beta(self, beta: float = 1.0) -> NDArray[np.float64]:
        """F_beta at each threshold, as `dep.engine.metrics.Rates.f_beta`."""
        both = self.picks + beta**2 * self.particles
        value: NDArray[np.float64] = (1 + beta**2) * self.hits / np.maximum(both, 1)
        return value

    @property
    def average_precision(self) -> float:
        """Sum of precision times the rise of recall; particles never found count 0.

        AP = sum over k of (R_k - R_k-1) P_k, not interpolated (as scikit-learn's).
        """
        rise = np.diff(self.recall, prepend=0.0)
        return float((rise * self.precision).sum())

    def best(self, beta: float = 1.0) -> int | None:
        """Index of the threshold of the best F_beta; of equals the highest threshold.

        None where no pick hits: then no threshold is any better.
        """
        if not self.hits.any():
            return None
        return int(self.f_beta(beta).argmax())

    def at(self, threshold: float) -> tuple[int, int]:
        """Give picks and hits at any threshold."""
        count = int(np.searchsorted(-self.threshold, -threshold, side="right"))
        return (
            (int(self.picks[count - 1]), int(self.hits[count - 1])) if count else (0, 0)
        )

    def best_to_dict(self, beta: float) -> dict[str, Any] | None:
        """Tell the best threshold and what it gives, as JSON can hold it."""
        index = self.best(beta)
        if index is None:
            return None
        return {
            "threshold": float(self.threshold[index]),
            "picks": int(self.picks[index]),
            "hits": int(self.hits[index]),
            "precision": float(self.precision[index]),
            "recall": float(self.recall[index]),
            "f1": float(self.f_beta()[index]),
            "f_beta": float(self.f_beta(beta)[index]),
        }


def sweep(pairs: Pairs, score: NDArray[np.float64], particles: int) -> Curve:
    """Match at every threshold.

    Parameters
    ----------
    pairs : Pairs
        All that may match, the one that takes precedence first.
    score : (n,) float64
        Of every pick that counts, also of those without a pair.
    particles : int
        How many there are, also those without a pair.

    Returns
    -------
    Curve
        The hits at each are those of `dep.engine.metrics.match` of the picks with that
        score or above.
    """
    order = np.argsort(-score, kind="stable")
    # Each pick's pairs, best first: a pair is known by its rank.
    by_pick = np.argsort(pairs.pick, kind="stable")
    first = np.searchsorted(pairs.pick[by_pick], np.arange(len(score)), "left").tolist()
    last = np.searchsorted(pairs.pick[by_pick], np.arange(len(score)), "right").tolist()
    ranks = by_pick.tolist()
    asked = list(first)
    pick_of, particle_of = pairs.pick.tolist(), pairs.particle.tolist()
    held: dict[int, int] = {}  # particle: rank of the pair that has it
    hits = np.zeros(len(order), np.int64)
    for step, new in enumerate(order.tolist()):
        pick = new
        while asked[pick] < last[pick]:
            rank = ranks[asked[pick]]
            asked[pick] += 1
            particle = particle_of[rank]
            present = held.get(particle)
            if present is None:
                held[particle] = rank
                break
            if rank < present:
                held[particle] = rank
                pick = pick_of[present]
        hits[step] = len(held)
    return _at_distinct(score[order], hits, particles)


def sweep_covered(pairs: Pairs, score: NDArray[np.float64], particles: int) -> Curve:
    """Count the particles that any pick covers, at every threshold.

    For rules that do not match one to one.

    Parameters
    ----------
    pairs : Pairs
        Which pick covers which particle, in any order.
    score : (n,) float64
        Of every pick that counts.
    particles : int
        How many there are.
    """
    best: dict[int, float] = {}
    for particle, value in zip(
        pairs.particle.tolist(), score[pairs.pick].tolist(), strict=True
    ):
        best[particle] = max(value, best.get(particle, value))
    falling = -np.sort(-score)
    found = np.sort(-np.array(list(best.values()), np.float64))
    hits = np.searchsorted(found, -falling, side="right")
    return _at_distinct(falling, hits.astype(np.int64), particles)


def _at_distinct(
    falling: NDArray[np.float64], hits: NDArray[np.int64], particles: int
) -> Curve:
    """Keep the last step of each score: picks of one score count together."""
    last = np.flatnonzero(np.diff(falling, append=-np.inf))
    return Curve(falling[last], last + 1, hits[last], particles)
