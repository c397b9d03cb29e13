"""Normalise a tomogram to zero mean and unit deviation, without a float copy of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import TomogramError
from dep.engine.volume import PlaneSource

# Voxels summed at once. Squares of 16-bit integers times this stay below 2^53, so
# float64 sums of them are exact in whatever order they are made.
BLOCK = 1 << 17


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of all voxels of a tomogram: mean, standard deviation, least and greatest."""

    mean: float
    std: float
    minimum: float
    maximum: float
    voxels: int


def measure(
    source: PlaneSource, tick: Callable[[int, int], None] | None = None
) -> Statistics:
    """Measure a tomogram in one pass, plane by plane, in float64.

    The result does not depend on how planes are read: 8- and 16-bit integers are
    summed exactly, others in fixed blocks of a plane whose sums are added without
    rounding (`math.fsum`).

    Parameters
    ----------
    source : PlaneSource
        The tomogram.
    tick : callable, optional
        Called with (planes done, planes in all).

    Raises
    ------
    TomogramError
        Voxels that are NaN or infinite, or all alike.
    """
    depth, height, width = source.shape
    exact = source.dtype.kind in "iub" and source.dtype.itemsize <= 2
    # Sums are of differences from one voxel: no digits are lost to a large mean.
    pivot = 0.0 if exact else _pivot(source)
    low, high = math.inf, -math.inf
    sums: list[float] = []
    squares: list[float] = []
    for z in range(depth):
        plane = source.read(z, z + 1)[0].reshape(-1)
        least, most = float(plane.min()), float(plane.max())
        if not (math.isfinite(least) and math.isfinite(most)):
            raise _not_finite(source, z, plane)
        low, high = min(low, least), max(high, most)
        for start in range(0, plane.size, BLOCK):
            block = plane[start : start + BLOCK].astype(np.float64)
            if not exact:
                block -= pivot
            sums.append(float(block.sum()))
            # Not np.dot: BLAS would split it among threads, which changes its rounding
            # with their number, and takes 50 times as long where a core is busy.
            np.square(block, out=block)
            squares.append(float(block.sum()))
        if tick is not None:
            tick(z + 1, depth)
    voxels = depth * height * width
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
    return Statistics(pivot + total / voxels, math.sqrt(variance), low, high, voxels)


def _pivot(source: PlaneSource) -> float:
    """Take the middle voxel, or 0 where that is not finite."""
    depth, height, width = source.shape
    value = float(source.read(depth // 2, depth // 2 + 1)[0, height // 2, width // 2])
    return value if math.isfinite(value) else 0.0


def _not_finite(source: PlaneSource, z: int, plane: NDArray[Any]) -> TomogramError:
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
    bytes), since the mean rounded to float32 would shift them.
    """

    mean: float
    scale: float

    @classmethod
    def zscore(cls, statistics: Statistics, *, invert: bool = False) -> "Normaliser":
        """Zero mean and unit deviation; `invert` swaps dark and bright."""
        scale = 1.0 / statistics.std
        return cls(statistics.mean, -scale if invert else scale)

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
