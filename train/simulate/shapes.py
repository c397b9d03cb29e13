"""Built-in molecules: analytic shapes with a known diameter, for work without maps.

A molecule is named ``family:diameter``, the diameter (Å) being that of the ball that
just holds it, and ``cluster:diameter:variant`` where a family has variants.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from dep.engine.errors import SettingError
from dep.train.simulate.molecule import Molecule, from_density

# Half-width of the surface, in voxels of the tomogram: what its voxels can hold.
SOFTNESS = 0.5
SMALLEST = 20.0  # Å
# A distance function takes places (3, ...), x, y, z in units of the diameter, and says
# how far outside the surface they lie.
_Distance = Callable[[NDArray[np.float64], int], NDArray[np.float64]]


def _balls(
    place: NDArray[np.float64], centres: NDArray[np.float64], radii: NDArray[np.float64]
) -> NDArray[np.float64]:
    outside = np.full(place.shape[1:], np.inf)
    for centre, radius in zip(centres, radii, strict=True):
        distance = np.sqrt(((place.T - centre) ** 2).sum(axis=-1)).T - radius
        outside = np.minimum(outside, distance)
    return outside


def _globule(place: NDArray[np.float64], _variant: int) -> NDArray[np.float64]:
    return _balls(place, np.zeros((1, 3)), np.array([0.5]))


def _dimer(place: NDArray[np.float64], _variant: int) -> NDArray[np.float64]:
    centres = np.array([[0.22, 0.0, 0.0], [-0.22, 0.0, 0.0]])
    return _balls(place, centres, np.full(2, 0.28))


def _cluster(place: NDArray[np.float64], variant: int) -> NDArray[np.float64]:
    """Join five to eight balls without symmetry, each touching an earlier one."""
    generator = np.random.default_rng([5, variant])
    radii = generator.uniform(0.6, 1.2, int(generator.integers(5, 9)))
    centres = np.zeros((len(radii), 3))
    for one in range(1, len(radii)):
        other = int(generator.integers(one))
        way = generator.normal(size=3)
        way *= 0.8 * (radii[one] + radii[other]) / np.linalg.norm(way)
        centres[one] = centres[other] + way
    centres -= (radii**3) @ centres / (radii**3).sum()
    size = 2 * float((np.linalg.norm(centres, axis=1) + radii).max())
    return _balls(place, centres / size, radii / size)


def _ring(place: NDArray[np.float64], _variant: int) -> NDArray[np.float64]:
    """Seven balls on a circle that overlap a little."""
    sine = math.sin(math.pi / 7) * 1.15
    radius = 0.5 * sine / (1 + sine)
    angle = 2 * np.pi * np.arange(7) / 7
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    return _balls(place, circle * (0.5 - radius), np.full(7, radius))


def _barrel(place: NDArray[np.float64], _variant: int) -> NDArray[np.float64]:
    """Give a cylinder with a channel through it, along z."""
    outer, inner = 0.36, 0.13
    half = math.sqrt(0.25 - outer**2)
    around = np.hypot(place[0], place[1])
    wall = np.abs(around - (outer + inner) / 2) - (outer - inner) / 2
    result: NDArray[np.float64] = np.maximum(wall, np.abs(place[2]) - half)
    return result


def _shell(place: NDArray[np.float64], _variant: int) -> NDArray[np.float64]:
    """Give a hollow ball whose wall is a seventh of its diameter."""
    wall = 1 / 7
    radius = np.sqrt((place**2).sum(axis=0))
    result: NDArray[np.float64] = np.abs(radius - (0.5 - wall / 2)) - wall / 2
    return result


def _rod(place: NDArray[np.float64], _variant: int) -> NDArray[np.float64]:
    radius = 0.14
    along = np.maximum(np.abs(place[2]) - (0.5 - radius), 0)
    result: NDArray[np.float64] = np.sqrt(place[0] ** 2 + place[1] ** 2 + along**2)
    return result - radius


FAMILIES: dict[str, _Distance] = {
    "globule": _globule,
    "dimer": _dimer,
    "cluster": _cluster,
    "ring": _ring,
    "barrel": _barrel,
    "shell": _shell,
    "rod": _rod,
}


def is_shape(name: str) -> bool:
    """Say whether a name stands for a built-in molecule rather than a file."""
    return name.split(":")[0] in FAMILIES and ":" in name


def shape(name: str, voxel: float) -> Molecule:
    """Build ``family:diameter`` or ``family:diameter:variant`` for voxels of so many Å.

    The surface is smooth: half the complementary error function of the distance.

    Raises
    ------
    SettingError
        A name that is none of these.
    """
    family, *numbers = name.split(":")
    try:
        diameter = float(numbers[0])
        variant = int(numbers[1]) if len(numbers) > 1 else 0
    except (IndexError, ValueError):
        diameter, variant = math.nan, 0
    if (
        family not in FAMILIES
        or not SMALLEST <= diameter < math.inf
        or variant < 0
        or len(numbers) > (2 if family == "cluster" else 1)
    ):
        message = (
            f"{name}: no built-in molecule; expected one of {', '.join(FAMILIES)} with "
            f"a diameter in Å of at least {SMALLEST:g}, such as ring:140, or "
            "cluster:120:2 for a cluster's second variant"
        )
        raise SettingError(message)
    grid = voxel / 2
    half = math.ceil((diameter / 2 + 3 * voxel) / grid)
    axis = np.arange(-half, half + 1) * (grid / diameter)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    outside = FAMILIES[family](np.stack([x, y, z]), variant) * diameter
    density = 0.5 * erfc(outside / (math.sqrt(2) * SOFTNESS * voxel))
    return from_density(
        density.astype(np.float32),
        grid,
        name="-".join([f"{family}{diameter:g}", *numbers[1:]]),
        source=f"built-in {name}",
        diameter=diameter,
        centre=np.full(3, float(half)),
    )
