"""Compare picks with the truth: how many are found, how near, and as what."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dep.engine.errors import PicksError, SettingError

# Each axis of a cell's key takes 20 bits: a million cells along an axis.
_KEY_BITS = 20
# Of points within reach of each other. A tomogram has tens of thousands; more than this
# are coordinates of another unit or sampling, and would fill the memory.
MOST_PAIRS = 10_000_000
_MOST_AT_ONCE = 2 * MOST_PAIRS  # looked at in one step of `near_pairs`


@dataclass(frozen=True, slots=True)
class Rates:
    """Hits against picks and particles.

    Attributes
    ----------
    hits, picks, particles : int
        Precision is hits / picks, recall is hits / particles; both are 0 where there is
        nothing to divide by.
    """

    hits: int
    picks: int
    particles: int

    @property
    def precision(self) -> float:
        """Share of picks that are particles."""
        return self.hits / self.picks if self.picks else 0.0

    @property
    def recall(self) -> float:
        """Share of particles that were picked."""
        return self.hits / self.particles if self.particles else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.picks + self.particles
        return 2 * self.hits / both if both else 0.0

    def f_beta(self, beta: float) -> float:
        """Weighted harmonic mean: recall counts beta times as much as precision.

        (1 + b^2) P R / (b^2 P + R), which is (1 + b^2) hits / (b^2 particles + picks)
        (van Rijsbergen, Information Retrieval, 1979, chapter 7).
        """
        both = self.picks + beta**2 * self.particles
        return (1 + beta**2) * self.hits / both if both else 0.0

    def to_dict(self) -> dict[str, float]:
        """Give plain values that JSON can hold."""
        return {
            "hits": self.hits,
            "picks": self.picks,
            "particles": self.particles,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good picks are.

    Attributes
    ----------
    localisation : Rates
        Whatever the class.
    mean_distance : float
        Of hits, in voxels; NaN where there are none.
    classes : tuple of str
        Names, in the order of their numbers.
    per_class : tuple of Rates
        A hit is a pick on a particle of its own class.
    confusion : (C + 1, C + 1) int64
        Row: class of the particle, column: class of the pick. Row 0: picks on nothing;
        column 0: particles not picked.
    """

    localisation: Rates
    mean_distance: float
    classes: tuple[str, ...]
    per_class: tuple[Rates, ...]
    confusion: NDArray[np.int64]

    @property
    def mean_class_f1(self) -> float:
        """Mean F1 of the classes that occur in the truth; 0 where none does."""
        there = [one.f1 for one in self.per_class if one.particles]
        return sum(there) / len(there) if there else 0.0

    @property
    def pooled(self) -> Rates:
        """All classes together; a hit is a pick on a particle of its own class."""
        hits = sum(one.hits for one in self.per_class)
        return Rates(hits, self.localisation.picks, self.localisation.particles)

    @property
    def macro(self) -> dict[str, float]:
        """Mean precision, recall and F1 of the classes that occur in the truth."""
        there = [one for one in self.per_class if one.particles]
        return {
            name: sum(getattr(one, name) for one in there) / max(len(there), 1)
            for name in ("precision", "recall", "f1")
        }

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold; a missing distance is None."""
        found = self.localisation.hits > 0
        return {
            "localisation": {
                **self.localisation.to_dict(),
                "mean_distance": self.mean_distance if found else None,
            },
            "mean_class_f1": self.mean_class_f1,
            "pooled": self.pooled.to_dict(),
            "macro": self.macro,
            "per_class": {
                name: one.to_dict()
                for name, one in zip(self.classes, self.per_class, strict=True)
            },
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    picks_xyz: ArrayLike,
    picks_class: ArrayLike,
    truth_xyz: ArrayLike,
    truth_class: ArrayLike,
    diameters: Sequence[float],
    names: Sequence[str] | None = None,
) -> Evaluation:
    """Compare picks with the truth.

    A pick hits a particle when it lies within the particle's radius. Picks and
    particles are paired one to one whatever their classes, nearest pairs first (equal
    distances: the earlier particle, then the earlier pick).

    Parameters
    ----------
    picks_xyz : (n, 3)
        x, y, z in voxels.
    picks_class : (n,) int
        From 1.
    truth_xyz : (m, 3)
        x, y, z in voxels.
    truth_class : (m,) int
        From 1.
    diameters : sequence of float
        Of the particles of each class, in voxels.
    names : sequence of str, optional
        Of the classes; default: their numbers.

    Raises
    ------
    SettingError
        Arrays that do not fit, classes out of range, or diameters not above 0.
    """
    many = len(diameters)
    size = np.asarray(diameters, np.float64)
    if not (np.isfinite(size).all() and (size > 0).all()):
        message = f"expected diameters above 0, in voxels, found {list(diameters)}"
        raise SettingError(message)
    picked, picked_as = _points("picks", picks_xyz, picks_class, many)
    true, true_as = _points("truth", truth_xyz, truth_class, many)
    pick, particle, distance = match(picked, true, size[true_as - 1] / 2)
    confusion = np.zeros((many + 1, many + 1), np.int64)
    np.add.at(confusion, (true_as[particle], picked_as[pick]), 1)
    missed = np.delete(true_as, particle)
    false = np.delete(picked_as, pick)
    confusion[:, 0] += np.bincount(missed, minlength=many + 1)
    confusion[0, :] += np.bincount(false, minlength=many + 1)
    return summarise(
        confusion, distance, names or [str(number) for number in range(1, many + 1)]
    )


def summarise(
    confusion: NDArray[np.int64], distance: NDArray[np.float64], names: Sequence[str]
) -> Evaluation:
    """Give the figures of a confusion matrix.

    Parameters
    ----------
    confusion : (C + 1, C + 1) int64
        As in `Evaluation`.
    distance : (h,) float64
        Of the hits, in voxels.
    names : sequence of str
        Of the C classes.
    """
    found = confusion[1:, 1:].sum()
    return Evaluation(
        localisation=Rates(
            int(found), int(confusion[:, 1:].sum()), int(confusion[1:].sum())
        ),
        mean_distance=float(distance.mean()) if len(distance) else float("nan"),
        classes=tuple(names),
        per_class=tuple(
            Rates(
                hits=int(confusion[number, number]),
                picks=int(confusion[:, number].sum()),
                particles=int(confusion[number].sum()),
            )
            for number in range(1, len(confusion))
        ),
        confusion=confusion,
    )


def match(
    picks: NDArray[np.float64],
    truth: NDArray[np.float64],
    radius: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pair picks with particles, nearest first, one to one.

    Parameters
    ----------
    picks : (n, 3) float64
        Voxels.
    truth : (m, 3) float64
        Voxels.
    radius : (m,) float64
        Of each particle; a pick at exactly this distance still hits.

    Returns
    -------
    (pick, particle, distance)
        Indices of the pairs, nearest first, and how far apart they are.

    Raises
    ------
    PicksError
        As `near_pairs`.
    """
    pick, particle = near_pairs(picks, truth, float(radius.max(initial=0.0)))
    distance = np.sqrt(((picks[pick] - truth[particle]) ** 2).sum(axis=1))
    close = distance <= radius[particle]
    pick, particle, distance = pick[close], particle[close], distance[close]
    pick_free = np.ones(len(picks), bool)
    particle_free = np.ones(len(truth), bool)
    pairs = []
    for pair in np.lexsort((pick, particle, distance)):
        if pick_free[pick[pair]] and particle_free[particle[pair]]:
            pick_free[pick[pair]] = particle_free[particle[pair]] = False
            pairs.append(pair)
    chosen = np.array(pairs, np.int64)
    return pick[chosen], particle[chosen], distance[chosen]


def _points(
    what: str, xyz: ArrayLike, class_id: ArrayLike, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    points = np.asarray(xyz, np.float64).reshape(-1, 3)
    ids = np.asarray(class_id, np.int64)
    if ids.shape != (len(points),):
        message = f"{what}: {len(points)} coordinates but classes of shape {ids.shape}"
        raise SettingError(message)
    if not np.isfinite(points).all():
        message = f"{what}: coordinates that are not finite"
        raise SettingError(message)
    if len(ids) and not 1 <= ids.min() <= ids.max() <= classes:
        message = (
            f"{what}: classes from {ids.min()} to {ids.max()}, expected 1 to {classes}"
        )
        raise SettingError(message)
    return points, ids


def near_pairs(
    a: NDArray[np.float64], b: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give pairs (index in a, index in b) of points at most `reach` apart.

    Points of b are sorted into cells of edge `reach`; those near a point of a lie in
    its cell or the 26 around it.

    Raises
    ------
    PicksError
        More than `MOST_PAIRS`: no particles lie so close.
    """
    nothing = np.zeros(0, np.int64)
    if not (len(a) and len(b)):
        return nothing, nothing
    low = np.minimum(a.min(axis=0), b.min(axis=0))
    # Not finer than the key's bits allow, nor zero.
    extent = float((np.maximum(a.max(axis=0), b.max(axis=0)) - low).max())
    edge = max(reach, extent / (1 << (_KEY_BITS - 2)), 1e-6)
    cell_a = ((a - low) // edge).astype(np.int64) + 1
    key_b = _key(((b - low) // edge).astype(np.int64) + 1)
    order = np.argsort(key_b, kind="stable")
    key_b = key_b[order]
    found_a, found_b = [nothing], [nothing]
    many = 0
    for step in product((-1, 0, 1), repeat=3):
        key = _key(cell_a + np.array(step))
        start = np.searchsorted(key_b, key, "left")
        count = np.searchsorted(key_b, key, "right") - start
        _check_number(int(count.sum()), _MOST_AT_ONCE, reach)
        left = np.repeat(np.arange(len(a)), count)
        within = np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count)
        right = order[start[left] + within]
        close = np.sqrt(((a[left] - b[right]) ** 2).sum(axis=1)) <= reach
        found_a.append(left[close])
        found_b.append(right[close])
        many += len(found_a[-1])
        _check_number(many, MOST_PAIRS, reach)
    return np.concatenate(found_a), np.concatenate(found_b)


def _check_number(many: int, most: int, reach: float) -> None:
    if many > most:
        message = (
            f"{many:,} pairs of points lie within about {reach:.4g} voxels of each "
            f"other, expected {MOST_PAIRS:,} at most: coordinates of another unit or "
            "voxel size, the same rows many times over, or too large a distance?"
        )
        raise PicksError(message)


def _key(cell: NDArray[np.int64]) -> NDArray[np.int64]:
    key: NDArray[np.int64] = (
        (cell[:, 0] << 2 * _KEY_BITS) | (cell[:, 1] << _KEY_BITS) | cell[:, 2]
    )
    return key
