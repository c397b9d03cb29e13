"""Choose one of several resolutions at which a tomogram is stored."""

import math
from collections.abc import Sequence

from dep.engine.readers.header import Level, Wish

# Voxel sizes that differ by no more are taken for the same, as in picking.
TOLERANCE = 0.05


def choose_level(levels: Sequence[Level], wish: Wish) -> Level:
    """Choose the level that serves best.

    That of the shape asked for, if there is one. Else, for a voxel size: the closest
    where one is within 5 %; else the coarsest of the finer ones, which resampling can
    make it of; else the finest. Without any wish, and where voxel sizes are unknown:
    the first, which is the finest by the specification.

    Parameters
    ----------
    levels : sequence of Level
        One or more, as the file lists them.
    wish : Wish
        What is asked for.
    """
    for level in levels:
        if wish.shape == level.shape:
            return level
    if wish.near is None or any(level.voxel_size is None for level in levels):
        return levels[0]

    def off(level: Level) -> float:
        return math.log((level.voxel_size or 1.0) / (wish.near or 1.0))

    closest = min(levels, key=lambda level: abs(off(level)))
    if abs(math.expm1(off(closest))) <= TOLERANCE:
        return closest
    finer = [level for level in levels if off(level) < 0]
    return max(finer, key=off) if finer else min(levels, key=off)
