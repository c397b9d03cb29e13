"""Vesicles and gold beads: potentials against ice, in V."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

# A bilayer: the phosphates of its two leaflets lie 38 Å apart (Nagle & Tristram-Nagle,
# Biochim. Biophys. Acta 1469:159, 2000) and are denser than its tails.
LEAFLETS = 38.0  # Å between the two head groups
HEAD_WIDTH, TAIL_WIDTH = 5.0, 12.0  # Å, standard deviations
HEAD_POTENTIAL, TAIL_POTENTIAL = 3.5, 0.6  # V
MEMBRANE = 60.0  # Å, of the whole
GOLD_POTENTIAL = 25.0  # V: 30 of gold (Kirkland 2010, sect. 5.1) less that of ice
UNEVEN = 0.18  # spread of a vesicle's three radii


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A drawn object: its potential and what it takes up.

    Attributes
    ----------
    potential : (n, n, n) float32
        V, z, y, x.
    solid : (n, n, n) bool
        Where nothing else may be.
    """

    potential: NDArray[np.float32]
    solid: NDArray[np.bool_]


def vesicle(
    radius: float,
    rotation: NDArray[np.float64],
    offset: NDArray[np.float64],
    voxel: float,
    generator: np.random.Generator,
) -> Body:
    """Draw an ellipsoidal vesicle of about that radius (Å), its origin at `offset`.

    The distance from the ellipsoid |r / a| = 1 is (f - 1) f / |grad f|, f being
    |r / a|: exact to first order. Head groups and tails are Gaussians of it, widened by
    half a voxel.
    """
    radii = radius * (1 - UNEVEN * generator.random(3))
    half = int(np.ceil((radius + MEMBRANE) / voxel + 1))
    place = _places(half, rotation, offset) * voxel
    scaled = place / radii[:, None, None, None]
    f = np.sqrt((scaled**2).sum(axis=0))
    slope = np.sqrt(((scaled / radii[:, None, None, None]) ** 2).sum(axis=0))
    distance = (f - 1) * f / np.maximum(slope, 1e-9)
    potential = TAIL_POTENTIAL * _layer(distance, TAIL_WIDTH, voxel)
    for side in (-1, 1):
        away = distance - side * LEAFLETS / 2
        potential += HEAD_POTENTIAL * _layer(away, HEAD_WIDTH, voxel)
    solid = np.abs(distance) < MEMBRANE / 2
    return Body(potential.astype(np.float32), solid)


def gold_bead(diameter: float, offset: NDArray[np.float64], voxel: float) -> Body:
    """Draw a gold bead: a ball whose surface is as sharp as the voxels can hold."""
    half = int(np.ceil(diameter / 2 / voxel + 2.5))
    place = _places(half, np.eye(3), offset) * voxel
    outside = np.sqrt((place**2).sum(axis=0)) - diameter / 2
    potential = GOLD_POTENTIAL / 2 * erfc(outside / (np.sqrt(2) * 0.5 * voxel))
    return Body(potential.astype(np.float32), outside < 0)


def _layer(
    distance: NDArray[np.float64], width: float, voxel: float
) -> NDArray[np.float64]:
    """Give a Gaussian of unit height, flattened by the voxels and of the same area."""
    wide = np.hypot(width, voxel / 2)
    result: NDArray[np.float64] = np.exp(-0.5 * (distance / wide) ** 2) * (width / wide)
    return result


def _places(
    half: int, rotation: NDArray[np.float64], offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give x, y, z (3, n, n, n) of a cube's voxels in the frame of the body."""
    axis = np.arange(-half, half + 1, dtype=np.float64)
    z, y, x = np.meshgrid(
        axis - offset[2], axis - offset[1], axis - offset[0], indexing="ij"
    )
    result: NDArray[np.float64] = np.einsum(
        "ij,jzyx->izyx", rotation.T, np.stack([x, y, z])
    )
    return result
