"""Compare two contenders: how long one takes against the other, and what both find."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from dep.engine.bench.measure import Turn
from dep.engine.metrics import Rates, match
from dep.engine.picks import Picks


@dataclass(frozen=True, slots=True)
class Ratio:
    """Quotients of pairs measured one after the other: their median, and the range."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, above: Sequence[float], below: Sequence[float]) -> Self:
        """Divide pair by pair; see the class."""
        quotients = [a / b for a, b in zip(above, below, strict=True)]
        return cls(statistics.median(quotients), min(quotients), max(quotients))

    def to_dict(self) -> dict[str, float]:
        """Give plain values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two contenders find the same particles.

    Attributes
    ----------
    rates : Rates
        Of the second's picks, the first's taken for the truth.
    same_class : int
        Of the pairs, how many have one class name.
    mean_distance : float or None
        Of the pairs, in voxels; None where there is none.
    reach : float
        How far apart a pair may be, in voxels: the first's t_dist.
    """

    rates: Rates
    same_class: int
    mean_distance: float | None
    reach: float

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the shares that have a partner; None without picks."""
        return self.rates.f1 if self.rates.picks + self.rates.particles else None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {
            "first_picks": self.rates.particles,
            "second_picks": self.rates.picks,
            "pairs": self.rates.hits,
            "f1": self.f1,
            "same_class": self.same_class,
            "mean_distance": self.mean_distance,
            "within_voxels": self.reach,
        }


def agreement(first: Picks, second: Picks, reach: float) -> Agreement:
    """Pair the picks of one tomogram, nearest first, one to one.

    Parameters
    ----------
    first, second : Picks
        Of the same tomogram.
    reach : float
        How far apart the picks of a pair may be, in voxels of the tomogram.
    """
    truth, picks = (one.xyz.astype(np.float64) for one in (first, second))
    pick, particle, distance = match(picks, truth, np.full(len(truth), reach))
    names, found = first.class_names, second.class_names
    same = sum(
        names[k] == found[n]
        for n, k in zip(pick.tolist(), particle.tolist(), strict=True)
    )
    return Agreement(
        Rates(hits=len(pick), picks=len(picks), particles=len(truth)),
        same,
        float(distance.mean()) if len(distance) else None,
        reach,
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second contender against the first.

    Attributes
    ----------
    whole, network, alone : Ratio
        Seconds of the second by those of the first, round by round: of the whole pick,
        of the network in it, and of the network calls alone.
    agreement : Agreement
        Of their picks.
    """

    whole: Ratio
    network: Ratio
    alone: Ratio
    agreement: Agreement

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {
            "second_by_first": {
                "whole": self.whole.to_dict(),
                "network": self.network.to_dict(),
                "network_alone": self.alone.to_dict(),
            },
            "agreement": self.agreement.to_dict(),
        }


def compare(
    first: Sequence[Turn], second: Sequence[Turn], found: Agreement
) -> Comparison:
    """Compare the rounds of two contenders, pair by pair."""
    return Comparison(
        Ratio.of([t.stats.total for t in second], [t.stats.total for t in first]),
        Ratio.of([t.stats.network for t in second], [t.stats.network for t in first]),
        Ratio.of([t.alone for t in second], [t.alone for t in first]),
        found,
    )
