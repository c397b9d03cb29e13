"""Local maxima of a filtered block, with sub-voxel places."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dep.engine.baseline.blocks import Block, Box
from dep.engine.baseline.scipy_api import maximum3

# The 26 neighbours that come after a voxel in memory, and those before it.
_AFTER = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]


@dataclass(frozen=True, slots=True)
class Peaks:
    """Local maxima: x, y, z in voxels of the tomogram, and their values."""

    xyz: NDArray[np.float32]
    value: NDArray[np.float32]

    @classmethod
    def join(cls, parts: list["Peaks"]) -> "Peaks":
        """Put those of all blocks together."""
        return cls(
            np.concatenate([one.xyz for one in parts]),
            np.concatenate([one.value for one in parts]),
        )


def local_maxima(response: NDArray[np.float32], owned: Box, block: Block) -> Peaks:
    """Find the voxels of a block's core that beat their 26 neighbours, and are above 0.

    Of neighbours with equal values the first in memory wins, so that a plateau of two
    gives one peak. Outside of the tomogram there is nothing to beat.

    Parameters
    ----------
    response : (z, y, x) float32
        Of the core and at least one voxel around it, where the tomogram goes on.
    owned : box
        The core, in voxels of `response`.
    block : Block
        Whose core it is.
    """
    core = response[owned]
    top = (core == maximum3(response)[owned]) & (core > 0)
    first = np.array([part.start for part in owned])
    zyx = np.argwhere(top) + first
    padded = np.pad(response, 1, constant_values=-np.inf)
    wins = np.ones(len(zyx), bool)
    value = response[tuple(zyx.T)]
    for step in _AFTER:
        before = tuple((zyx + 1 - np.array(step)).T)
        wins &= padded[before] < value
    zyx, value = zyx[wins], value[wins]
    place = zyx + _parabola(padded, zyx, value)
    place += np.array([part.start for part in block.core]) - first
    return Peaks(place[:, ::-1].astype(np.float32), value)


def _parabola(
    padded: NDArray[np.float32], zyx: NDArray[np.int64], value: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Give the top of a parabola through three values, for each axis.

    At the tomogram's faces, where one of them is missing, it is the voxel's centre.
    """
    offset = np.zeros(zyx.shape)
    middle = value.astype(np.float64)
    for axis in range(3):
        step = np.zeros(3, np.int64)
        step[axis] = 1
        low = padded[tuple((zyx + 1 - step).T)].astype(np.float64)
        high = padded[tuple((zyx + 1 + step).T)].astype(np.float64)
        known = np.isfinite(low) & np.isfinite(high)
        low, high = np.where(known, low, middle), np.where(known, high, middle)
        bend = low - 2 * middle + high
        curved = bend < 0
        offset[:, axis] = (low - high) / np.where(curved, 2 * bend, np.inf)
    limited: NDArray[np.float64] = np.clip(offset, -0.5, 0.5)
    return limited
