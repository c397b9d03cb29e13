"""Intersection and difference sets of picks, their counts, and how near they are.

The comparison of particle sets in Liu et al., Nature Communications 15:2090, 2024:
what two sets share within a distance t_dist, and what only one of them holds.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.comparison.clusters import clusters
from dep.engine.errors import PicksError, SettingError
from dep.engine.picks import Picks

VOXEL_SIZES_ALIKE = 0.01  # relative; formats round
BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class PickSet:
    """Picks of one or more tomograms, under one name.

    Attributes
    ----------
    name : str
        Of the set: "A", a file's name, a program's.
    picks : mapping of str to Picks
        By tomogram.
    """

    name: str
    picks: Mapping[str, Picks]


@dataclass(frozen=True, slots=True)
class Distance:
    """A distance that says its unit."""

    value: float
    unit: str  # "voxels" or "Å"

    def __post_init__(self) -> None:
        if not 0 < self.value < float("inf"):
            message = f"t_dist: expected a distance above 0, found {self.value:g}"
            raise SettingError(message)
        if self.unit not in ("voxels", "Å"):
            message = f"t_dist: expected voxels or Å, found {self.unit!r}"
            raise SettingError(message)

    def voxels(self, tomogram: str, voxel_size: float | None) -> float:
        """Give it in voxels of a tomogram.

        Raises
        ------
        PicksError
            It is in Å and the voxel size is unknown.
        """
        if self.unit == "voxels":
            return self.value
        if voxel_size is None:
            message = (
                f"{tomogram}: a distance in Å needs the voxel size, which is unknown; "
                "give it (--voxel-size), or the distance in voxels"
            )
            raise PicksError(message)
        return self.value / voxel_size


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """The clusters of one tomogram.

    Attributes
    ----------
    tomogram : str
        Its name.
    picks : tuple of Picks
        One for each set, empty where a set has none here.
    member : (clusters, sets) int64
        The pick of each set in each cluster, -1 where there is none.
    voxel_size : float or None
        Å, where any set says.
    kind : list of str
        Class of each cluster; classes of several names joined by " / ".
    """

    tomogram: str
    picks: tuple[Picks, ...]
    member: NDArray[np.int64]
    voxel_size: float | None
    kind: list[str]

    def distances(self, i: int, j: int) -> NDArray[np.float64]:
        """Measure how far apart two sets' picks of a cluster are, in voxels."""
        both = (self.member[:, i] >= 0) & (self.member[:, j] >= 0)
        apart = (
            self.picks[i].xyz[self.member[both, i]].astype(np.float64)
            - self.picks[j].xyz[self.member[both, j]]
        )
        distance: NDArray[np.float64] = np.sqrt((apart**2).sum(axis=1))
        return distance

    def combination(self) -> list[tuple[int, ...]]:
        """Say which sets each cluster is in."""
        return [tuple(np.flatnonzero(row >= 0).tolist()) for row in self.member]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Several sets of picks, put together.

    Attributes
    ----------
    names : tuple of str
        Of the sets.
    t_dist : Distance
        Picks within it are the same particle.
    by_class : bool
        Only picks of one class (by name) can be the same particle.
    each : tuple of Together
        Of every tomogram that any set has.
    """

    names: tuple[str, ...]
    t_dist: Distance
    by_class: bool
    each: tuple[Together, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Count the picks of each set."""
        return tuple(
            sum(len(one.picks[at]) for one in self.each)
            for at in range(len(self.names))
        )

    def combinations(self) -> dict[tuple[int, ...], int]:
        """Count the particles that each combination of sets holds, and no other set.

        Combinations of most sets first; of more than two sets only those that hold any.
        """
        counted = Counter(sets for one in self.each for sets in one.combination())
        sets = range(len(self.names))
        return {
            some: counted[some]
            for size in range(len(self.names), 0, -1)
            for some in combinations(sets, size)
            if counted[some] or len(self.names) == 2
        }

    def by_kind(self) -> dict[str, dict[tuple[int, ...], int]]:
        """Count the same per class; picks of different classes under both names."""
        counted: dict[str, Counter[tuple[int, ...]]] = {}
        for one in self.each:
            for kind, sets in zip(one.kind, one.combination(), strict=True):
                counted.setdefault(kind, Counter())[sets] += 1
        order = self.combinations()
        return {
            kind: {some: counted[kind][some] for some in order}
            for kind in sorted(counted)
        }

    def distances(self, i: int, j: int) -> NDArray[np.float64]:
        """Measure the same over all tomograms, in the unit of t_dist."""
        parts = [np.zeros(0)]
        for one in self.each:
            apart = one.distances(i, j)
            parts.append(
                apart * one.voxel_size
                if self.t_dist.unit == "Å" and one.voxel_size
                else apart
            )
        return np.concatenate(parts)

    def histogram(self, i: int, j: int) -> tuple[list[int], list[float]]:
        """Count those distances in `BINS` bins from 0 to t_dist; give the edges too."""
        counts, edges = np.histogram(
            self.distances(i, j), bins=BINS, range=(0, self.t_dist.value)
        )
        return counts.tolist(), edges.tolist()

    def label(self, sets: tuple[int, ...]) -> str:
        """Name a combination: "A and B", "only A"."""
        if len(sets) == 1:
            return f"only {self.names[sets[0]]}"
        return " and ".join(self.names[at] for at in sets)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {
            "sets": dict(zip(self.names, self.sizes, strict=True)),
            "t_dist": {"value": self.t_dist.value, "unit": self.t_dist.unit},
            "by_class": self.by_class,
            "tomograms": [one.tomogram for one in self.each],
            "combinations": [
                {"sets": [self.names[at] for at in some], "particles": count}
                for some, count in self.combinations().items()
            ],
            "per_class": {
                kind: [
                    {"sets": [self.names[at] for at in some], "particles": count}
                    for some, count in counts.items()
                ]
                for kind, counts in self.by_kind().items()
            },
            "pairs": [
                self._pair(i, j) for i, j in combinations(range(len(self.names)), 2)
            ],
        }

    def _pair(self, i: int, j: int) -> dict[str, Any]:
        apart = self.distances(i, j)
        counts, edges = self.histogram(i, j)
        a, b = self.sizes[i], self.sizes[j]
        union = a + b - len(apart)
        return {
            "sets": [self.names[i], self.names[j]],
            "both": len(apart),
            "only_first": a - len(apart),
            "only_second": b - len(apart),
            "jaccard": len(apart) / union if union else None,
            "mean_distance": float(apart.mean()) if len(apart) else None,
            "median_distance": float(np.median(apart)) if len(apart) else None,
            "histogram": {"counts": counts, "edges": edges, "unit": self.t_dist.unit},
        }


def compare(
    sets: Sequence[PickSet], t_dist: Distance, *, by_class: bool = False
) -> Comparison:
    """Put the picks of several sets together, tomogram by tomogram.

    Parameters
    ----------
    sets : sequence of PickSet
        Two or more, with names of their own. A set's coordinates are in voxels of the
        same tomogram as the others'.
    t_dist : Distance
        See `dep.engine.comparison.clusters`.
    by_class : bool
        Only picks of one class, by name, are the same particle.

    Raises
    ------
    PicksError
        Voxel sizes that differ, or a distance in Å where none is known.
    SettingError
        Fewer than two sets, or two of one name.
    """
    names = tuple(one.name for one in sets)
    if len(names) < 2 or len(set(names)) < len(names):
        message = f"expected two or more sets with names of their own, found {names}"
        raise SettingError(message)
    tomograms = dict.fromkeys(name for one in sets for name in one.picks)
    each = tuple(_together(name, sets, t_dist, by_class) for name in tomograms)
    return Comparison(names, t_dist, by_class, each)


def _together(
    tomogram: str, sets: Sequence[PickSet], t_dist: Distance, by_class: bool
) -> Together:
    there = [one.picks.get(tomogram) for one in sets]
    size = _one_voxel_size(tomogram, sets)
    reach = t_dist.voxels(tomogram, size)
    picks = tuple(_or_none(tomogram, one, there) for one in there)
    xyz = [one.xyz.astype(np.float64) for one in picks]
    labels = [np.array(one.class_names, dtype=object) for one in picks]
    if not by_class:
        member = clusters(xyz, reach)
    else:
        parts = [np.zeros((0, len(sets)), np.int64)]
        for kind in dict.fromkeys(name for one in labels for name in one):
            rows = [np.flatnonzero(one == kind) for one in labels]
            found = clusters([a[b] for a, b in zip(xyz, rows, strict=True)], reach)
            # Index -1 takes the -1 appended.
            parts.append(
                np.stack(
                    [np.append(b, -1)[found[:, at]] for at, b in enumerate(rows)],
                    axis=1,
                )
            )
        member = np.concatenate(parts)
    kinds = [
        " / ".join(
            dict.fromkeys(labels[at][pick] for at, pick in enumerate(row) if pick >= 0)
        )
        for row in member.tolist()
    ]
    return Together(tomogram, picks, member, size, kinds)


def _one_voxel_size(tomogram: str, sets: Sequence[PickSet]) -> float | None:
    known = {
        one.name: size
        for one in sets
        if tomogram in one.picks and (size := one.picks[tomogram].voxel_size)
    }
    if not known:
        return None
    low, high = min(known.values()), max(known.values())
    if high > low * (1 + VOXEL_SIZES_ALIKE):
        said = ", ".join(f"{name} {size:g} Å" for name, size in known.items())
        message = (
            f"{tomogram}: voxel sizes differ ({said}); sets are compared in voxels of "
            "one tomogram, so bring them to one sampling first"
        )
        raise PicksError(message)
    return next(iter(known.values()))


def _or_none(tomogram: str, own: Picks | None, others: Sequence[Picks | None]) -> Picks:
    """Stand in with no picks for a set that lacks a tomogram."""
    if own is not None:
        return own
    model = next(one for one in others if one is not None)
    return Picks(
        xyz=np.zeros((0, 3), np.float32),
        class_id=np.zeros(0, np.int32),
        score=np.zeros(0, np.float32),
        classes=model.classes,
        tomogram=tomogram,
        shape=model.shape,
        voxel_size=model.voxel_size,
    )
