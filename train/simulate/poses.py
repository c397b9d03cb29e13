"""Orientations: evenly drawn from all rotations, and as Euler angles.

ZYZ, degrees: R = Rz(rot) Ry(tilt) Rz(psi) on (x, y, z) columns, and
r_tomogram = R r_molecule + xyz.
"""

import numpy as np
from numpy.typing import NDArray


def random_angles(generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw rot, tilt, psi (degrees) so that R is uniform on SO(3).

    The Haar measure in ZYZ angles is d(rot) d(cos tilt) d(psi); Miles, Biometrika
    52:636 (1965).
    """
    rot, height, psi = generator.random(3)
    tilt = np.degrees(np.arccos(1 - 2 * height))
    return np.array([360 * rot - 180, tilt, 360 * psi - 180])


def rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the (3, 3) matrix of rot, tilt, psi (degrees)."""
    rot, tilt, psi = np.radians(angles)
    return _about_z(rot) @ _about_y(tilt) @ _about_z(psi)


def _about_z(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _about_y(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
