"""How particles stand out from their tomogram: darker or brighter."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# By so many standard errors particles must stand out before it is believed.
CERTAIN = 4.0


def excess(
    voxels: npt.NDArray[np.generic],
    mean: float,
    std: float,
    xyz: npt.NDArray[np.floating],
) -> list[float]:
    """Return how much brighter than the rest each centre is.

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
        The mean of the voxel at each centre and its 26 neighbours, in standard
        deviations from the mean; of a deviation of 1 at most.
    """
    found = []
    for x, y, z in np.floor(xyz + 0.5).astype(int):
        low = (max(z - 1, 0), max(y - 1, 0), max(x - 1, 0))
        block = voxels[low[0] : z + 2, low[1] : y + 2, low[2] : x + 2]
        if min(x, y, z) >= 0 and block.size:
            value = float(block.astype(np.float64).mean())
            found.append((value - mean) / std)
    return found


def believed(excesses: Sequence[float]) -> float:
    """Return the mean excess, or 0 where it may be chance."""
    if not excesses:
        return 0.0
    average = sum(excesses) / len(excesses)
    return average if abs(average) * math.sqrt(len(excesses)) >= CERTAIN else 0.0
