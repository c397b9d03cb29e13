"""A tomogram to pick, made in memory: noise, and dark balls where particles are."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

SHAPE = (200, 512, 512)
CUT = (192, 192, 192)
SPACING = 32  # voxels between particles: about 1,500 in SHAPE
RADII = (3, 4, 5, 6, 7, 8)
DEPTH = 2.0  # standard deviations that a ball is darker: the bundled model finds them
STEP = 0.05  # a step of whole numbers, in standard deviations


def make(
    shape: tuple[int, int, int] = SHAPE, dtype: DTypeLike = np.int8, seed: int = 11
) -> NDArray[Any]:
    """Make a tomogram (z, y, x) of float32 or int8."""
    return make_with_centres(shape, dtype, seed)[0]


def make_with_centres(
    shape: tuple[int, int, int], dtype: DTypeLike = np.int8, seed: int = 11
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Make a tomogram, and give where its particles are: (n, 3), z, y, x."""
    rng = np.random.default_rng(seed)
    voxels = rng.standard_normal(shape, np.float32)
    balls = []
    for radius in RADII:
        z, y, x = np.ogrid[(slice(-radius, radius + 1),) * 3]
        balls.append(z * z + y * y + x * x <= radius * radius)
    places = centres(shape, rng)
    for number, centre in enumerate(places):
        radius = RADII[number % len(RADII)]
        box = tuple(slice(c - radius, c + radius + 1) for c in centre)
        voxels[box][balls[number % len(RADII)]] -= DEPTH
    if np.dtype(dtype) == np.int8:
        return np.clip(np.rint(voxels / STEP), -127, 127).astype(np.int8), places
    return voxels.astype(dtype, copy=False), places


def centres(shape: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Place particles on a grid, each moved a little: none touches another or a face.

    Returns
    -------
    (n, 3) int64
        z, y, x.
    """
    free = (SPACING - 2 * max(RADII) - 1) // 2  # how far each may move
    axes = [np.arange(SPACING // 2, size - SPACING // 2 + 1, SPACING) for size in shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return grid + rng.integers(-free, free + 1, grid.shape)
