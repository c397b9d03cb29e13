"""A molecule as a density that can be sampled in any pose, from a map in MRC."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from dep.engine.errors import SettingError
from dep.engine.mrc import open_mrc

SPLINE: Literal[3] = 3
# Shares of a molecule's inner density: from SURFACE inwards it takes up room, beyond
# FAINT there is nothing to draw.
SURFACE, FAINT = 0.15, 0.01
# The inner density is that above which this share of the whole mass lies.
INNER_MASS = 0.1
# The faces of a map's box may hold this much of the inner density.
BACKGROUND = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Molecule:
    """One molecule.

    Attributes
    ----------
    name : str
        Of its class.
    source : str
        Where its density is from.
    coefficients : (z, y, x) float32
        Of the cubic spline through its density; 1 inside, 0 in ice.
    voxel_size : float
        Of that grid, Å.
    centre : (3,) float64
        x, y, z of the molecule's origin in that grid: its centre of mass.
    diameter : float
        Å: of the molecule where it is known, else of the ball with the same radius of
        gyration.
    reach : float
        Å from the origin to its farthest density.
    volume : float
        Å³ within its surface.
    box_offset : (float, float, float)
        Å, x, y, z: from the map's own centre, voxel n // 2, to the origin.
    """

    name: str
    source: str
    coefficients: NDArray[np.float32]
    voxel_size: float
    centre: NDArray[np.float64]
    diameter: float
    reach: float
    volume: float
    box_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def sample(
        self, rotation: NDArray[np.float64], offset: NDArray[np.float64], voxel: float
    ) -> NDArray[np.float32]:
        """Give its density in a pose, on a cube just large enough.

        Parameters
        ----------
        rotation : (3, 3)
            From the molecule's frame to the tomogram's, on (x, y, z) columns.
        offset : (3,)
            x, y, z of the origin from the middle voxel of the cube, in voxels.
        voxel : float
            Å of a voxel of the cube.

        Returns
        -------
        (n, n, n) float32
            z, y, x; n is odd and the same for all poses.
        """
        half = int(np.ceil(self.reach / voxel + 0.5))
        axis = np.arange(-half, half + 1, dtype=np.float64)
        scale = voxel / self.voxel_size
        # r_molecule = R^T (r - offset), one axis of the cube at a time.
        place = self.centre[:, None, None, None] + scale * (
            rotation[0][:, None, None, None] * (axis - offset[0])[None, None, None, :]
            + rotation[1][:, None, None, None] * (axis - offset[1])[None, None, :, None]
            + rotation[2][:, None, None, None] * (axis - offset[2])[None, :, None, None]
        )
        density: NDArray[np.float32] = ndimage.map_coordinates(
            self.coefficients,
            place[::-1],
            output=np.float32,
            order=SPLINE,
            mode="grid-constant",
            prefilter=False,
        )
        return density


def from_map(path: Path | str, voxel: float) -> Molecule:
    """Read a density map and prepare it for tomograms with voxels of `voxel` Å.

    The map may have any voxel size. What the tomogram's voxels cannot hold is removed
    (anti-aliasing) before it is brought to a coarser grid, at finest half a voxel.

    Raises
    ------
    TomogramError
        It cannot be read.
    SettingError
        No voxel size in the header, no density, or a box whose faces are not empty.
    """
    path = Path(path)
    data = open_mrc(path)
    own = data.header.voxel_size
    if own is None:
        message = (
            f"{path}: the header gives no voxel size (or one that differs by axis); "
            "write it into the header"
        )
        raise SettingError(message)
    density: NDArray[np.float32] = np.array(data.array, np.float32)
    density = np.nan_to_num(np.maximum(density, 0))
    if not density.max() > 0:
        message = f"{path}: no positive density in this map; protein must be bright"
        raise SettingError(message)
    inner = inner_density(density)
    faces = np.concatenate([f.ravel() for ax in range(3) for f in _ends(density, ax)])
    if faces.mean() > BACKGROUND * inner:
        message = (
            f"{path}: the faces of the map's box hold {faces.mean() / inner:.0%} of "
            "the density inside the molecule; expected an empty background. Mask the "
            "map, or give it a larger box"
        )
        raise SettingError(message)
    box = np.array(density.shape[::-1]) // 2 * own
    density /= np.float32(inner)
    density, grid = resample(density, own, voxel)
    molecule = from_density(density, grid, name=path.stem, source=str(path))
    offset = molecule.centre * grid - box
    return _moved(molecule, offset)


def resample(
    density: NDArray[np.float32], own: float, voxel: float
) -> tuple[NDArray[np.float32], float]:
    """Remove what voxels of `voxel` Å cannot hold; give density and its voxel size.

    The first voxel keeps its place. A soft low-pass that ends at the Nyquist frequency
    of `voxel`; then samples at voxel / 2 at the finest.
    """
    if own >= voxel:
        return density, own
    shape = density.shape
    square = np.zeros((), np.float64)
    for axis, n in enumerate(shape):
        k = fft.rfftfreq(n) if axis == 2 else fft.fftfreq(n)
        square = square + (k.reshape([-1 if a == axis else 1 for a in range(3)])) ** 2
    k = np.sqrt(square) * (2 * voxel / own)  # 1 at the coarser Nyquist frequency
    keep = 0.5 + 0.5 * np.cos(np.pi * np.clip((k - 0.8) / 0.2, 0, 1))
    transform = fft.rfftn(density) * keep.astype(np.float32)
    smooth: NDArray[np.float32] = fft.irfftn(transform, shape).astype(np.float32)
    grid = voxel / 2
    if own >= grid:
        return smooth, own
    lengths = tuple(int((n - 1) * own / grid) + 1 for n in shape)
    coarse: NDArray[np.float32] = ndimage.affine_transform(
        smooth, np.full(3, grid / own), output_shape=lengths, order=SPLINE
    )
    return coarse, grid


def from_density(
    density: NDArray[np.float32],
    grid: float,
    *,
    name: str,
    source: str,
    diameter: float | None = None,
    centre: NDArray[np.float64] | None = None,
) -> Molecule:
    """Prepare a density (z, y, x), 1 inside the molecule, on voxels of `grid` Å.

    `centre` (x, y, z, voxels) is the centre of mass unless it is given, `diameter` (Å)
    that of the ball with the same radius of gyration: sqrt(20 / 3) times the radius.
    """
    solid = np.where(density > FAINT, density, 0).astype(np.float64)
    where = np.nonzero(solid)
    weight = solid[where]
    xyz = np.stack(where[::-1], axis=1).astype(np.float64)
    mass_centre = weight @ xyz / weight.sum()
    if centre is None:
        centre = mass_centre
    distance = np.linalg.norm(xyz - centre, axis=1)
    if diameter is None:
        spread = ((xyz - mass_centre) ** 2).sum(axis=1)
        diameter = float(np.sqrt(20 / 3 * (weight @ spread) / weight.sum())) * grid
    coefficients = ndimage.spline_filter(
        np.pad(density, 2), SPLINE, output=np.float32, mode="mirror"
    )
    return Molecule(
        name=name,
        source=source,
        coefficients=coefficients,
        voxel_size=grid,
        centre=centre + 2,
        diameter=diameter,
        reach=float(distance.max() + 1) * grid,
        volume=float((density > SURFACE).sum()) * grid**3,
    )


def inner_density(density: NDArray[np.float32]) -> float:
    """Give the density above which a tenth of the whole mass lies."""
    falling = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(falling, dtype=np.float64)
    return float(falling[np.searchsorted(mass, INNER_MASS * mass[-1])])


def _ends(density: NDArray[np.float32], axis: int) -> list[NDArray[np.float32]]:
    return [np.take(density, at, axis=axis) for at in (0, -1)]


def _moved(molecule: Molecule, offset: NDArray[np.float64]) -> Molecule:
    """Note where the origin lies in the box of the map (the padding undone)."""
    x, y, z = (offset - 2 * molecule.voxel_size).tolist()
    return replace(molecule, box_offset=(x, y, z))
