"""Slices of a tomogram for people to look at: which, how thick, how grey, what colours.

Pictures (`dep.engine.picture`) and reports (`dep.engine.report`) show the same.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dep.engine.volume import Volume

# Okabe & Ito, "Color Universal Design" (2008), without black: distinct to everyone.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
# Then the line tells classes apart: (degrees drawn, degrees left out), whole first.
LINES = ((360, 0), (30, 30), (10, 14))

SLAB = 50.0  # Å averaged in z for one slice: less is noise, more smears small particles
MAX_PLANES = 32
UNKNOWN_DIAMETER = 100.0  # Å, drawn where the class table does not say


def middles(depth: int, count: int = 3) -> list[int]:
    """Choose the planes to show, evenly over the depth; fewer where it is thin.

    Three are the quarters of the depth, one is its middle.
    """
    if depth < count + 1:
        return [depth // 2]
    return sorted({depth * k // (count + 1) for k in range(1, count + 1)})


def planes(middle: int, depth: int, voxel_size: float) -> range:
    """Name the planes of a slab of `SLAB` ångström around its middle."""
    count = min(MAX_PLANES, max(1, round(SLAB / voxel_size)), depth)
    first = min(max(0, middle - count // 2), depth - count)
    return range(first, first + count)


def slab(volume: "Volume", middle: int) -> NDArray[np.float32]:
    """Average a slab plane by plane; (y, x), y pointing up as in IMOD.

    Only its planes are read, one at a time.
    """
    within = planes(middle, volume.shape[0], volume.voxel_size)
    total = np.zeros(volume.shape[1:], np.float32)
    for z in within:
        total += volume.read(z, z + 1)[0]
    total /= len(within)
    return total[::-1]


def grey(plane: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Stretch a plane to bytes between its 0.5th and 99.5th percentile.

    Voxels that are not numbers are black.
    """
    finite = np.isfinite(plane)
    if not finite.all():
        plane = np.where(finite, plane, plane[finite].min() if finite.any() else 0)
    low, high = np.percentile(plane, (0.5, 99.5))
    span = max(float(high - low), np.finfo(np.float32).tiny)
    stretched: NDArray[np.uint8] = (np.clip((plane - low) / span, 0, 1) * 255).astype(
        np.uint8
    )
    return stretched


def round_length(longest: float) -> float:
    """Give the longest of 1, 2, 5, 10, 20, 50 ... that is not longer than `longest`."""
    longest *= 1 + 1e-9  # a rounded 100 counts as 100
    unit = 10.0 ** math.floor(math.log10(longest))
    return max(step * unit for step in (1, 2, 5) if step * unit <= longest)
