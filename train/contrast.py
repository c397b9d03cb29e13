"""How particles stand out from their tomogram: darker or brighter."""

import math
import statistics
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

# By so many standard errors particles must stand out before it is believed.
CERTAIN = 4.0
# Fewer particles say nothing of their spread.
FEWEST = 5
# How far from a centre its particle is looked for, voxels: most of the width of the
# particles that the method is for.
REACH = 6
# Edge of the cubes whose mean counts, voxels: noise alone has no say.
SMOOTHED = 3


def excess(
    voxels: npt.NDArray[np.generic],
    mean: float,
    std: float,
    xyz: npt.NDArray[np.floating],
) -> list[float]:
    """Return how much brighter than the rest the particle at each centre is.

    Parameters
    ----------
    voxels
        (z, y, x).
    mean, std
        Of all voxels.
    xyz
        (n, 3) centres in voxels; those outside are passed over.

    Returns
    -------
    list of float
        Halfway between the brightest and the darkest place near each centre, in
        standard deviations from the mean. The centre itself may be a particle's
        cavity, and the mean over a particle says little: the contrast transfer function
        takes it away and puts fringes of the other sign around.
    """
    shape = np.array(voxels.shape)
    found = []
    for voxel in np.floor(xyz[:, ::-1] + 0.5).astype(int):
        if (voxel < 0).any() or (voxel >= shape).any():
            continue
        low = np.maximum(voxel - REACH, 0)
        high = np.minimum(voxel + REACH + 1, shape)
        block = voxels[tuple(map(slice, low, high))].astype(np.float64)
        if min(block.shape) < SMOOTHED:
            continue
        places = sliding_window_view(block, (SMOOTHED,) * 3).mean(axis=(3, 4, 5))
        found.append(((places.max() + places.min()) / 2 - mean) / std)
    return found


def believed(excesses: Sequence[float]) -> float:
    """Return the mean excess, or 0 where it may be chance."""
    if len(excesses) < FEWEST:
        return 0.0
    average = statistics.mean(excesses)
    error = statistics.stdev(excesses) / math.sqrt(len(excesses))
    return average if abs(average) >= CERTAIN * error else 0.0
