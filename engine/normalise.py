"""Normalise a tomogram to zero mean and unit deviation, without a float copy of it.

Robust statistics take the median and the distance of the quartiles instead, which few
voxels far away (gold, hot voxels, edges of the reconstruction) do not move.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.choices import KernelBackend, StatisticsKind
from dep.engine.emptiness import Blocks
from dep.engine.errors import TomogramError
from dep.engine.quartiles import Quartiles
from dep.engine.volume import PlaneSource
from dep.kernels.moments import BLOCK, moments

# Between the quartiles of a normal distribution, in standard deviations.
QUARTILES_APART = 1.349
# Deviations from the centre that a network gets to see: of gold and hot voxels, which
# are further away, it would make particles. docs/performance.md has the figures.
ROBUST_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of all voxels of a tomogram.

    Attributes
    ----------
    mean, std, minimum, maximum : float
        Of all voxels.
    voxels : int
        How many.
    quartiles : (float, float, float), optional
        First, median, third; where robust statistics were asked for.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    voxels: int
    quartiles: tuple[float, float, float] | None = None

    @property
    def centre(self) -> float:
        """What becomes 0: the mean, or the median where quartiles are known."""
        return self.mean if self.quartiles is None else self.quartiles[1]

    @property
    def deviation(self) -> float:
        """What becomes 1: the deviation, that of the middle half where it is known."""
        if self.quartiles is None:
            return self.std
        first, _, third = self.quartiles
        return (third - first) / QUARTILES_APART


def measure(
    source: PlaneSource,
    tick: Callable[[int, int], None] | None = None,
    kind: StatisticsKind = "plain",
    blocks: Blocks | None = None,
    kernels: KernelBackend = "auto",
) -> Statistics:
    """Measure a tomogram plane by plane, in float64.

    The result does not depend on how planes are read, nor on the processor: 8- and
    16-bit integers are summed exactly, others in fixed blocks of a plane
    (`dep.kernels.moments`) whose sums are added without rounding (`math.fsum`).
    Quartiles are exact.

    Parameters
    ----------
    source : PlaneSource
        The tomogram.
    tick : callable, optional
        Called with (planes done, planes in all), those of all passes.
    kind : {"plain", "robust"}
        Robust finds quartiles too, which takes another pass over voxels of 32 bits and
        three more over longer ones (`dep.engine.quartiles`).
    blocks : Blocks, optional
        Of this tomogram; filled in the first pass.
    kernels : {"auto", "c", "cuda", "reference"}
        Who sums; there is none on the device, so that it is the C core for "cuda" too.

    Raises
    ------
    TomogramError
        Voxels that are NaN or infinite, or all alike; robust: half of them alike.
    """
    depth, height, width = source.shape
    voxels = depth * height * width
    quartiles = Quartiles(source.dtype, voxels) if kind == "robust" else None
    planes = depth * (quartiles.passes if quartiles else 1)
    exact = source.dtype.kind in "iub" and source.dtype.itemsize <= 2
    # Sums are of differences from one voxel: no digits are lost to a large mean.
    pivot = 0.0 if exact else _pivot(source)
    low, high = math.inf, -math.inf
    sums: list[float] = []
    squares: list[float] = []
    backend: KernelBackend = "reference" if kernels == "reference" else "c"
    for z in range(depth):
        plane = source.read(z, z + 1)[0]
        found = moments(plane, pivot, backend=backend)
        if not math.isfinite(found.low):
            raise not_finite(source, z, plane)
        low, high = min(low, found.low), max(high, found.high)
        sums += found.sums.tolist()
        squares += found.squares.tolist()
        if quartiles is not None:
            stored = plane.reshape(-1)
            for start in range(0, stored.size, BLOCK):
                quartiles.take(stored[start : start + BLOCK])
        if blocks is not None:
            blocks.take(plane)
        if tick is not None:
            tick(z + 1, planes)
    if low == high:
        message = (
            f"{source.label}: all {voxels} voxels have the value {low:g}. "
            "Expected a tomogram; the file may be a mask or an unfinished one."
        )
        raise TomogramError(message)
    total, power = math.fsum(sums), math.fsum(squares)
    variance = (power - total * (total / voxels)) / voxels
    if not variance > 0 or max(-low, high) > np.finfo(np.float32).max:
        message = (
            f"{source.label}: the spread of the voxels cannot be computed "
            f"(from {low:g} to {high:g}). Expected values that float32 can hold."
        )
        raise TomogramError(message)
    of_all = Statistics(pivot + total / voxels, math.sqrt(variance), low, high, voxels)
    if quartiles is None:
        return of_all
    return replace(of_all, quartiles=_narrowed(source, quartiles, tick))


def _narrowed(
    source: PlaneSource,
    quartiles: Quartiles,
    tick: Callable[[int, int], None] | None,
) -> tuple[float, float, float]:
    """Go over the tomogram again until its quartiles are known."""
    depth = source.shape[0]
    done = depth
    while not quartiles.narrow():
        for z in range(depth):
            plane = source.read(z, z + 1)[0].reshape(-1)
            for start in range(0, plane.size, BLOCK):
                quartiles.take(plane[start : start + BLOCK])
            done += 1
            if tick is not None:
                tick(done, depth * quartiles.passes)
    first, median, third = quartiles.values()
    if first == third:
        message = (
            f"{source.label}: half of the voxels have the value {median:g}, so that "
            "robust statistics find no spread. Cut the tomogram to what was "
            "reconstructed, or leave --robust out (statistics='plain')."
        )
        raise TomogramError(message)
    return first, median, third


def _pivot(source: PlaneSource) -> float:
    """Take the middle voxel, or 0 where that is not finite."""
    depth, height, width = source.shape
    value = float(source.read(depth // 2, depth // 2 + 1)[0, height // 2, width // 2])
    return value if math.isfinite(value) else 0.0


def not_finite(source: PlaneSource, z: int, plane: NDArray[Any]) -> TomogramError:
    """Say that a plane holds voxels that are NaN or infinite."""
    bad = int(plane.size - np.count_nonzero(np.isfinite(plane)))
    return TomogramError(
        f"{source.label}: {bad} voxels of plane {z} (of {source.shape[0]}, from 0) are "
        "NaN or infinite. Expected finite values: reconstruct the tomogram again, or "
        "replace them."
    )


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Turns voxels as stored into what the network sees.

    ``out = (voxel - mean) * scale``, ``scale = 1 / std``, negative where the contrast
    is to be inverted. In float32; only the difference is made in float64 where voxels
    hold more digits than float32 does (32-bit integers and whatever is longer than 4
    bytes), since the mean rounded to float32 would shift them. What is further than
    `limit` from 0 is brought to there.
    """

    mean: float
    scale: float
    limit: float = math.inf

    @classmethod
    def zscore(cls, statistics: Statistics, *, invert: bool = False) -> "Normaliser":
        """Zero centre and unit deviation; `invert` swaps dark and bright.

        Where the statistics are robust, voxels are limited to `ROBUST_LIMIT` too.
        """
        scale = 1.0 / statistics.deviation
        limit = math.inf if statistics.quartiles is None else ROBUST_LIMIT
        return cls(statistics.centre, -scale if invert else scale, limit)

    def __call__(self, voxels: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write the normalised voxels into `out` of the same shape."""
        fine = voxels.dtype.itemsize > 4 or (
            voxels.dtype.itemsize == 4 and voxels.dtype.kind != "f"
        )
        # NumPy converts in small pieces here, so no float copy of the voxels is made.
        # Naming the type also keeps NumPy 1 from half precision for float16 voxels.
        kind = np.float64 if fine else np.float32
        np.subtract(voxels, kind(self.mean), out=out, dtype=kind, casting="unsafe")
        out *= np.float32(self.scale)
        if self.limit < math.inf:
            np.clip(out, -self.limit, self.limit, out=out)
