"""Which tiles of a tomogram are empty, told by small blocks measured on the way.

A region is taken for empty where boxes of about a particle's size look alike: their
means hardly differ, and their variances no more than chance makes them. Of constant
fill that is true, of noise about as fine as a voxel too; noise as coarse as particles
is told from them by the network alone, so that such tiles are never empty.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.tiles import TilePlan

EDGE = 4  # voxels of a block; boxes are two of them wide, and overlap by one
# By how many deviations of the tomogram means of boxes differ from their median at
# most, and by which factor variances. Of white noise, 1 box in 100,000: 0.19 and 1.3.
EMPTY, EVEN = 0.25, 1.3
# Variances below this share of the tomogram's are those of a constant, and rounding.
STILL = 0.05**2


class Blocks:
    """Means and variances of small blocks: 1/32 as many numbers as voxels.

    Where the length of an axis is no multiple of the edge, the last block is wider.

    Parameters
    ----------
    shape : (int, int, int)
        Of the tomogram, z, y, x.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape = shape
        depth, *face = (max(1, length // EDGE) for length in shape)
        self._rows, self._columns = (np.arange(count) * EDGE for count in face)
        # Of voxels and of their squares (z, y, x); blocks at hand are summed up first.
        self._means: NDArray[np.float32] = np.zeros((2, depth, *face), np.float32)
        self._sums: NDArray[np.float64] = np.zeros((2, *face))
        self._voxels = np.outer(
            np.diff(self._rows, append=shape[1]),
            np.diff(self._columns, append=shape[2]),
        )
        self._planes = 0
        self._pivot = 0.0

    def take(self, plane: NDArray[Any]) -> None:
        """Add the next plane (y, x)."""
        if self._planes == 0:
            self._pivot = float(plane.mean(dtype=np.float64))
        # Of differences from one plane's mean: no digits are lost to a large one.
        moved = np.subtract(plane, self._pivot, dtype=np.float64)
        self._sums[0] += self._summed(moved)
        self._sums[1] += self._summed(np.square(moved, out=moved))
        self._planes += 1
        block = min((self._planes - 1) // EDGE, self._means.shape[1] - 1)
        last = block == self._means.shape[1] - 1
        if self._planes == (self._shape[0] if last else (block + 1) * EDGE):
            planes = self._planes - block * EDGE
            self._means[:, block] = self._sums / (self._voxels * planes)
            self._sums[:] = 0

    def alike(
        self, low: tuple[int, ...], high: tuple[int, ...], deviation: float
    ) -> bool:
        """Say whether all boxes of a region look alike.

        Parameters
        ----------
        low, high : (int, int, int)
            First voxel of the region and the one after its last, z, y, x; what lies
            outside of the tomogram does not count.
        deviation : float
            Of the tomogram.
        """
        mean, square = self._boxes(low, high)
        if np.abs(mean - np.median(mean)).max() >= EMPTY * deviation:
            return False
        variance = square - mean * mean
        common = max(float(np.median(variance)), STILL * deviation**2)
        return bool(variance.max() < EVEN * common)

    def _summed(self, plane: NDArray[np.float64]) -> NDArray[np.float64]:
        summed: NDArray[np.float64] = np.add.reduceat(plane, self._rows, axis=0)
        return np.add.reduceat(summed, self._columns, axis=1)

    def _boxes(
        self, low: tuple[int, ...], high: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Average neighbours of the blocks that a region touches (2, z, y, x)."""
        places = (
            slice(
                min(max(first, 0) // EDGE, count - 1),
                min(-(-max(last, 1) // EDGE), count),
            )
            for first, last, count in zip(low, high, self._means.shape[1:], strict=True)
        )
        region = self._means[:, *places].astype(np.float64)
        for axis in (1, 2, 3):
            size = region.shape[axis]
            if size > 1:
                before = region.take(range(size - 1), axis)
                region = (before + region.take(range(1, size), axis)) / 2
        return region


def reach_of(diameters: list[float], voxel_size: float) -> int:
    """Say how many voxels around a region a particle of it can reach.

    Parameters
    ----------
    diameters : list of float
        Of all particles, ångström.
    voxel_size : float
        That the network sees, ångström.
    """
    return math.ceil(max(diameters) / 2 / voxel_size) + EDGE


def without_empty(
    plan: TilePlan, blocks: Blocks, deviation: float, reach: int
) -> TilePlan:
    """Leave out tiles whose core, and `reach` around it, can hold no particle.

    Parameters
    ----------
    plan : TilePlan
        All tiles.
    blocks : Blocks
        Of the same tomogram.
    deviation : float
        Of its voxels: what becomes 1.
    reach : int
        How far a particle of the core extends out of it, voxels.
    """

    def empty(core: tuple[int, ...], size: tuple[int, ...]) -> bool:
        low = tuple(start - reach for start in core)
        high = tuple(
            start + length + reach for start, length in zip(core, size, strict=True)
        )
        return blocks.alike(low, high, deviation)

    return plan.without(tile for tile in plan if empty(tile.core, tile.size))
