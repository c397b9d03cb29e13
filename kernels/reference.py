"""The specification of every kernel, in slow, readable NumPy: the twins equal it.

Steps and names follow the C core: `c/nms.c` and `c/measure.c`, `c/deduplicate.c`,
`c/assemble.c`, `c/moments.c`. Arguments were checked by the callers (`candidates.py`,
`duplicates.py`, `assembly.py`, `moments.py`). Integers are exact: int64 for S
(27^13 < 2^62), Python's beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Candidate:
    """One candidate: its voxel (z, y, x), its class and what was measured there."""

    zyx: Triple
    class_id: int
    value: float
    score: float
    shift: tuple[float, float, float]  # x, y, z


def mp_nms(
    labels: NDArray[np.uint8],
    probability: NDArray[Any] | None,
    iterations: Sequence[int],
    thresholds: Sequence[int],
    core: tuple[int, int],
    *,
    joint: bool,
    refine: bool,
) -> list[Candidate] | int:
    """Find the candidates of a label volume; see `dep.kernels.mp_nms`.

    Parameters
    ----------
    labels, probability : (z, y, x)
        As there.
    iterations
        n for each of the 256 labels, 0 where a class has none; all equal when joint.
    thresholds
        For each n the smallest S of a candidate.
    core
        First and one past the last plane to report.

    Returns
    -------
    list of Candidate, or int
        Ordered by linear index, then class; or the smallest class without iterations.
    """
    weight = _bytes(labels, probability)
    classes = [int(c) for c in np.unique(labels) if c > 0]
    unlisted = [c for c in classes if iterations[c] == 0]
    if unlisted:
        return unlisted[0]

    masks = [(0, labels > 0)] if joint else [(c, labels == c) for c in classes]
    found = []
    for label, mask in masks:
        n = iterations[label]
        sums = box_sums(mask, n)
        for zyx in local_maxima(sums, thresholds[n], core):
            s = int(sums[zyx])
            votes = _votes(labels, mask, weight, zyx, n)
            # The most votes; the smaller class on a tie.
            class_id = label or min(votes, key=lambda c: (-votes[c], c))
            value = s / 27**n  # int / int is correctly rounded
            score = value
            if probability is not None:
                score = sum(votes.values()) / (255 * s)
            shift = centroid(sums, zyx) if refine else (0.0, 0.0, 0.0)
            found.append(Candidate(zyx, class_id, value, score, shift))
    return sorted(found, key=lambda c: (c.zyx, c.class_id))


def _bytes(
    labels: NDArray[np.uint8], probability: NDArray[Any] | None
) -> NDArray[np.uint8]:
    """Weigh each voxel for votes and scores: its probability byte, or 1."""
    if probability is None:
        return np.ones_like(labels)
    if probability.dtype == np.float32:
        return probability_byte(probability)
    return probability


def probability_byte(p: NDArray[np.float32]) -> NDArray[np.uint8]:
    """floor(p * 255 + 0.5), every step rounded to float32."""
    scaled: NDArray[np.float32] = p * np.float32(255) + np.float32(0.5)
    return np.floor(scaled).astype(np.uint8)


def box_sums(mask: NDArray[np.bool_], n: int) -> NDArray[np.int64]:
    """Sum the mask over 3x3x3 n times; zero outside, nothing cut off at the faces."""
    # Room for what spreads beyond the faces: n steps cannot come round.
    sums = np.pad(mask.astype(np.int64), n)
    for _ in range(n):
        for axis in range(3):
            sums = np.roll(sums, 1, axis) + sums + np.roll(sums, -1, axis)
    z, y, x = mask.shape
    return sums[n : n + z, n : n + y, n : n + x]


def local_maxima(
    sums: NDArray[np.int64], threshold: int, core: tuple[int, int]
) -> list[Triple]:
    """Find where S >= threshold and (S, then the smaller index) beats the 26 around.

    Returns (z, y, x) of the voxels in the core's planes.
    """
    around = np.pad(sums, 1, constant_values=-1)  # beyond the faces there is no rival
    peak = sums >= threshold
    z, y, x = sums.shape
    for dz, dy, dx in product((-1, 0, 1), repeat=3):
        rival = around[1 + dz : 1 + dz + z, 1 + dy : 1 + dy + y, 1 + dx : 1 + dx + x]
        if (dz, dy, dx) < (0, 0, 0):
            peak &= sums > rival  # an earlier voxel wins a tie
        elif (dz, dy, dx) > (0, 0, 0):
            peak &= sums >= rival
    peak[: core[0]] = False
    peak[core[1] :] = False
    return [(int(k), int(j), int(i)) for k, j, i in np.argwhere(peak)]


def trinomial(n: int) -> list[int]:
    """Weights of n box sums of three: the coefficients of (1 + x + x^2)^n."""
    weights = [1]
    for _ in range(n):
        wide = [0, 0, *weights, 0, 0]
        weights = [sum(wide[i : i + 3]) for i in range(len(weights) + 2)]
    return weights


def _votes(
    labels: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    weight: NDArray[np.uint8],
    zyx: Triple,
    n: int,
) -> dict[int, int]:
    """Sum of trinomial weight times byte over the mask's voxels, for each label met."""
    w = trinomial(n)
    low = [max(at - n, 0) for at in zyx]
    region = tuple(slice(a, at + n + 1) for a, at in zip(low, zyx, strict=True))
    votes: dict[int, int] = {}
    for offset in np.argwhere(mask[region]):
        voxel = tuple(int(a + o) for a, o in zip(low, offset, strict=True))
        wz, wy, wx = (w[v - at + n] for v, at in zip(voxel, zyx, strict=True))
        label = int(labels[voxel])
        votes[label] = votes.get(label, 0) + wz * wy * wx * int(weight[voxel])
    return votes


def centroid(sums: NDArray[np.int64], zyx: Triple) -> tuple[float, float, float]:
    """Offset (x, y, z) of the centroid of S - min(S) in the 3x3x3 at a maximum.

    Only voxels inside the volume count. No offset where S is the same everywhere.
    """
    near = [
        (dx, dy, dz, int(sums[zyx[0] + dz, zyx[1] + dy, zyx[2] + dx]))
        for dz, dy, dx in product((-1, 0, 1), repeat=3)
        if all(
            0 <= at + d < size
            for at, d, size in zip(zyx, (dz, dy, dx), sums.shape, strict=True)
        )
    ]
    lowest = min(s for *_, s in near)
    mass = sum(s - lowest for *_, s in near)
    if mass == 0:
        return (0.0, 0.0, 0.0)
    x, y, z = (sum(v[axis] * (v[3] - lowest) for v in near) / mass for axis in range(3))
    return (x, y, z)


def deduplicate(
    xyz: NDArray[np.float32],
    score: NDArray[np.float64],
    class_id: NDArray[np.int32] | None,
    t_dist: float,
) -> NDArray[np.int64]:
    """Keep the best and drop all near it, again and again.

    Order: score falling, then z, y, x rising, then class rising, then place in the
    input.
    """
    classes = np.zeros(len(xyz), np.int32) if class_id is None else class_id
    x, y, z = xyz.T
    order = np.lexsort((classes, x, y, z, -score))  # the last key counts most; stable
    kept: list[int] = []
    for index in order:
        near = [k for k in kept if classes[k] == classes[index]]
        difference = xyz[near].astype(np.float64) - xyz[index].astype(np.float64)
        dx, dy, dz = (difference * difference).T
        if not np.any(dx + dy + dz < t_dist * t_dist):
            kept.append(int(index))
    return np.array(kept, dtype=np.int64)


def assemble(
    scores: NDArray[np.float32] | NDArray[np.float16],
    t_seg: np.float32,
    *,
    joint: bool,
    background: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Labels and probability bytes (z, y, x) of scores (C, z, y, x).

    float16 widens to float32 exactly; all arithmetic is float32.
    """
    p = scores.astype(np.float32)
    foreground = p[1:] if background else p
    by_background = joint and background
    best = np.full(p.shape[1:], -np.inf if by_background else t_seg, dtype=np.float32)
    labels = np.zeros(p.shape[1:], dtype=np.uint8)
    for c, of_class in enumerate(foreground, start=1):
        better = of_class > best  # never true for NaN; the smaller class keeps a tie
        best[better] = of_class[better]
        labels[better] = c
    if by_background:
        labels[~(np.float32(1) - p[0] > t_seg)] = 0
    probability = probability_byte(np.clip(best, np.float32(0), np.float32(1)))
    probability[labels == 0] = 0
    return labels, probability


def moments(
    voxels: NDArray[Any], pivot: float, block: int
) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64]]:
    """Extremes, and for each block sums and sums of squares; see `dep.kernels.moments`.

    `np.add.accumulate` adds one after the other, which `np.sum` does not.
    """
    values = voxels.astype(np.float64)
    found = []
    with np.errstate(over="ignore", invalid="ignore"):
        moved = values - pivot
        for numbers in (moved, moved * moved):
            sums = []
            for start in range(0, numbers.size, block):
                runs = numbers[start : start + block]
                runs = np.pad(runs, (0, -runs.size % 1024)).reshape(-1, 128, 8)
                a, b, c, d, e, f, g, h = np.add.accumulate(runs, axis=1)[:, -1].T
                of_runs = ((a + b) + (c + d)) + ((e + f) + (g + h))
                sums.append(np.add.accumulate(of_runs)[-1])
            found.append(np.array(sums))
    if not np.isfinite(values).all():
        return np.nan, np.nan, found[0], found[1]
    return float(values.min()), float(values.max()), found[0], found[1]
