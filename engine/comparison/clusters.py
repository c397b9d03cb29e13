"""Which picks of several sets are the same particle.

A cluster holds at most one pick of each set, and any two of its picks lie within t_dist
of each other. Clusters are made as in agglomerative clustering with complete linkage,
with the sets as cannot-link constraints: at first every pick is one; pairs of picks of
different sets within t_dist are gone through, nearest first, and the clusters of the
two become one if no set is in both and all their picks lie within t_dist.

With two sets these are the one-to-one matches of nearest pairs first, so that the
intersection and difference sets are those of such a matching. No chain arises: where b
lies between a and c, but a and c are farther apart than t_dist, b goes with the nearer.

Equal distances are ordered by coordinates, so neither the order of rows nor that of the
sets matters (but for picks at the very same place within one set, where the earlier row
goes first).
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dep.engine.metrics import near_pairs


def clusters(sets: Sequence[NDArray[np.float64]], t_dist: float) -> NDArray[np.int64]:
    """Put picks of several sets together.

    Parameters
    ----------
    sets : sequence of (n, 3) float64
        Coordinates of each set, in one unit.
    t_dist : float
        In the same unit; picks at exactly this distance are the same particle.

    Returns
    -------
    (clusters, sets) int64
        The pick of each set in each cluster, -1 where it has none. Ordered by the
        first set's picks, then those of the second that the first lacks, and so on.
    """
    many = len(sets)
    first = np.cumsum([0, *(len(one) for one in sets)])
    xyz = np.concatenate([np.zeros((0, 3)), *sets])
    of_set = np.repeat(np.arange(many), [len(one) for one in sets]).tolist()
    members: dict[int, list[int]] = {}  # of clusters of two and more, by label
    label = np.arange(len(xyz)).tolist()
    for a, b in _pairs_in_order(sets, first, xyz, t_dist):
        one = members.get(label[a], [a])
        other = members.get(label[b], [b])
        if label[a] == label[b] or {of_set[k] for k in one} & {
            of_set[k] for k in other
        }:
            continue
        if len(one) + len(other) > 2:  # else the pair itself is all there is
            apart = xyz[one][:, None] - xyz[other][None]
            if (np.sqrt((apart**2).sum(axis=2)) > t_dist).any():
                continue
        joined = one + other
        members.pop(label[a], None)
        members.pop(label[b], None)
        members[min(joined)] = joined
        for k in joined:
            label[k] = min(joined)
    found = np.full((len(xyz), many), -1, np.int64)
    for k, name in enumerate(label):
        found[name, of_set[k]] = k - first[of_set[k]]
    return found[sorted(set(label))]


def _pairs_in_order(
    sets: Sequence[NDArray[np.float64]],
    first: NDArray[np.int64],
    xyz: NDArray[np.float64],
    t_dist: float,
) -> list[tuple[int, int]]:
    """Give pairs of picks of different sets within `t_dist`, nearest first."""
    lefts, rights = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for i, j in combinations(range(len(sets)), 2):
        left, right = near_pairs(sets[i], sets[j], t_dist)
        lefts.append(left + first[i])
        rights.append(right + first[j])
    left, right = np.concatenate(lefts), np.concatenate(rights)
    apart = np.sqrt(((xyz[left] - xyz[right]) ** 2).sum(axis=1))
    kept = apart <= t_dist
    left, right, apart = left[kept], right[kept], apart[kept]
    # Places by coordinates, whatever the set: the same place has the same rank.
    _, place = np.unique(xyz, axis=0, return_inverse=True)
    place = place.reshape(-1)
    low = np.minimum(place[left], place[right])
    high = np.maximum(place[left], place[right])
    order = np.lexsort((right, left, high, low, apart))
    return list(zip(left[order].tolist(), right[order].tolist(), strict=True))
