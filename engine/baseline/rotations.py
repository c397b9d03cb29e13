"""Rotations that cover SO(3) evenly, as many as an angular step asks for.

Super-Fibonacci spirals (Alexa, CVPR 2022, algorithm 1): any number of unit quaternions
of low discrepancy, in closed form.
"""

import math

import numpy as np
from numpy.typing import NDArray

PHI = math.sqrt(2)
PSI = 1.533751168755204288118041  # Alexa 2022: the root of psi^4 = psi + 4


def how_many(step: float) -> int:
    """Say how many rotations lie `step` degrees apart.

    SO(3) has the volume 8 pi^2 where lengths are angles of rotation in radians: one
    rotation for each cube of edge `step`.
    """
    return max(1, math.ceil(8 * math.pi**2 / math.radians(step) ** 3))


def rotations(step: float) -> NDArray[np.float64]:
    """Give rotations about `step` degrees apart.

    Returns
    -------
    (n, 3, 3) float64
        Matrices on (x, y, z) columns.
    """
    n = how_many(step)
    s = np.arange(n) + 0.5
    r, big_r = np.sqrt(s / n), np.sqrt(1 - s / n)
    alpha, beta = 2 * math.pi * s / PHI, 2 * math.pi * s / PSI
    return matrices(
        np.stack(
            [
                r * np.sin(alpha),
                r * np.cos(alpha),
                big_r * np.sin(beta),
                big_r * np.cos(beta),
            ],
            axis=1,
        )
    )


def matrices(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn unit quaternions (n, 4), scalar last, into rotation matrices (n, 3, 3)."""
    x, y, z, w = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    result: NDArray[np.float64] = np.moveaxis(np.array(rows), -1, 0)
    return result
