"""A molecule's density as a template: read, masked, turned, without its missing wedge.

The template turns about its box's middle voxel, n // 2 along each axis (as in RELION),
and that is where its picks are. Density is bright. The mask is a ball about it with a
soft edge: it looks the same in every orientation, so that the local deviation of a
tomogram has to be computed once, not for each orientation.
"""

import math
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dep.engine.baseline.scipy_api import (
    Shape,
    backward,
    fast_length,
    forward,
    resampled,
    spline_coefficients,
)
from dep.engine.errors import SettingError
from dep.engine.mrc import open_mrc

SOFT = 2.0  # voxels over which the mask falls from 1 to 0
SURFACE = 0.1  # of the highest density: where the molecule ends
LARGEST_EDGE = 512  # voxels: of a template's own box
LEAST_RADIUS = 1.5  # voxels of the tomogram
CENTRED = 0.12  # of its diameter: whose middle is farther from the box's is suspicious
HIDDEN = 1e-6  # of its power: less of a template in the mask is nothing to look for


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A density map and what to call it.

    Attributes
    ----------
    name : str
        The class of its picks.
    label : str
        What messages call it: its file.
    density : (z, y, x) float32
        Bright where the molecule is.
    voxel_size : float
        Ångström.
    radius : float
        Å from the middle voxel to the farthest density above a tenth of the highest.
    off_centre : float
        Å from the middle voxel to the mean place of that density, weighted by it.
    """

    name: str
    label: str
    density: NDArray[np.float32]
    voxel_size: float
    radius: float
    off_centre: float

    @property
    def diameter(self) -> float:
        """Of the ball around the molecule, Å."""
        return 2 * self.radius

    @property
    def remark(self) -> str:
        """What is suspicious about it: picks lie where its box's middle voxel is."""
        if self.off_centre <= CENTRED * self.diameter:
            return ""
        return (
            f"{self.label}: the density lies {self.off_centre:.0f} Å off the box's "
            "middle voxel, and picks will be off by as much: centre the map first if "
            "that is not meant"
        )


def open_template(
    path: str | PathLike[str], name: str | None = None, voxel_size: float | None = None
) -> Template:
    """Read a template from an MRC file.

    Parameters
    ----------
    path : path
        Density bright.
    name : str, optional
        Of its class; default: the file's name without suffix.
    voxel_size : float, optional
        Å; overrules the header.

    Raises
    ------
    TomogramError
        It cannot be read.
    SettingError
        No voxel size, no density, or a box that is too large.
    """
    path = Path(path)
    data = open_mrc(path)
    size = data.header.voxel_size if voxel_size is None else voxel_size
    if size is None:
        message = (
            f"{path}: the header gives no voxel size (or one that differs by axis); "
            "give it with --template-voxel-size"
        )
        raise SettingError(message)
    if not 0 < size < math.inf:
        message = f"{path}: expected a voxel size above 0 Å, found {size:g}"
        raise SettingError(message)
    if max(data.array.shape) > LARGEST_EDGE:
        message = (
            f"{path}: a box of {' x '.join(map(str, data.array.shape[::-1]))} voxels; "
            f"expected {LARGEST_EDGE} at most along each axis: bin or crop the map"
        )
        raise SettingError(message)
    density: NDArray[np.float32] = np.array(data.array, np.float32)
    return template_of(density, size, name or path.stem, str(path))


def template_of(
    density: NDArray[np.float32], voxel_size: float, name: str, label: str | None = None
) -> Template:
    """Make a template of an array (z, y, x).

    Raises
    ------
    SettingError
        Voxels that are not finite, or no density above 0.
    """
    label = label or name
    if not np.isfinite(density).all():
        message = f"{label}: voxels that are NaN or infinite; expected finite density"
        raise SettingError(message)
    highest = float(density.max())
    if not highest > 0 or float(density.min()) == highest:
        message = f"{label}: no positive density; a template's molecule must be bright"
        raise SettingError(message)
    inside = density > SURFACE * highest
    places = np.argwhere(inside) - np.array(density.shape) // 2
    distance = np.sqrt((places**2).sum(axis=1).max())
    middle = np.average(places, axis=0, weights=density[inside].astype(np.float64))
    return Template(
        name,
        label,
        density,
        voxel_size,
        radius=float(distance + 0.5) * voxel_size,
        off_centre=float(np.linalg.norm(middle)) * voxel_size,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A template in the voxels of a tomogram, ready to be turned.

    Attributes
    ----------
    template : Template
        Which.
    coefficients : (z, y, x) float32
        Of the spline through its low-passed density, in its own voxels.
    scale : float
        Its own voxels in one of the tomogram's.
    mask : (b, b, b) float32
        The soft ball, b odd.
    wedge : (n, n, n // 2 + 1) float32
        1 where the tomogram has data, 0 in its missing wedge, in a box of n.
    """

    template: Template
    coefficients: NDArray[np.float32]
    scale: float
    mask: NDArray[np.float32]
    wedge: NDArray[np.float32]

    def turned(self, rotation: NDArray[np.float64]) -> NDArray[np.float32]:
        """Give the masked template in one orientation, (b, b, b).

        Its weighted mean in the mask is 0, and sum(values^2 / mask) = sum(mask): so
        its correlation with voxels f, divided by sum(mask) and their deviation in the
        mask, is the correlation coefficient weighted by the mask.

        Parameters
        ----------
        rotation : (3, 3)
            From the template's frame to the tomogram's, on (x, y, z) columns.

        Raises
        ------
        SettingError
            Nothing of it is left in the mask.
        """
        edge = self.mask.shape[0]
        # r_template = R^T r_tomogram; reversed twice for z, y, x.
        matrix = self.scale * rotation.T[::-1, ::-1]
        middle = np.array(self.template.density.shape) // 2
        offset = middle - matrix @ np.full(3, edge // 2)
        box = resampled(self.coefficients, matrix, offset, self.mask.shape)
        length = self.wedge.shape[0]
        whole = (length, length, length)
        spectrum = forward(box, whole, 1) * self.wedge
        seen = backward(spectrum, whole, (edge, edge, edge), 1)
        total = float(self.mask.sum(dtype=np.float64))
        mean = float((seen * self.mask).sum(dtype=np.float64)) / total
        seen = seen - np.float32(mean)
        power = float((np.square(seen) * self.mask).sum(dtype=np.float64)) / total
        if not power > HIDDEN * float(self.template.density.max()) ** 2:
            message = (
                f"{self.template.label}: nothing of the template is left within the "
                "mask and the tilts; look at --mask-radius, --low-pass and --tilt"
            )
            raise SettingError(message)
        result: NDArray[np.float32] = seen * self.mask / np.float32(math.sqrt(power))
        return result


def prepare(
    template: Template,
    voxel_size: float,
    tilt: tuple[float, float],
    low_pass: float | None = None,
    mask_radius: float | None = None,
) -> Prepared:
    """Bring a template to a tomogram's voxel size.

    Parameters
    ----------
    template : Template
        In whatever voxels.
    voxel_size : float
        Of the tomogram, Å. What its voxels cannot hold is removed from the template.
    tilt : (float, float)
        Lowest and highest tilt, degrees; the axis is y and the beam z.
    low_pass : float, optional
        Å: nothing finer is kept.
    mask_radius : float, optional
        Å; default: the template's radius.

    Raises
    ------
    SettingError
        A mask of too few voxels.
    """
    radius = (mask_radius or template.radius) / voxel_size
    if radius < LEAST_RADIUS:
        message = (
            f"{template.label}: a mask of {radius:.1f} voxels' radius; expected "
            f"{LEAST_RADIUS:g} or more: take a less binned tomogram"
        )
        raise SettingError(message)
    mask = ball(radius)
    finest = max(2 * voxel_size, low_pass or 0.0)
    smooth = low_passed(template.density, template.voxel_size, finest)
    return Prepared(
        template,
        spline_coefficients(smooth),
        voxel_size / template.voxel_size,
        mask,
        wedge(fast_length(2 * mask.shape[0]), tilt),
    )


def ball(radius: float) -> NDArray[np.float32]:
    """Give a ball with a soft edge, 1 up to `radius` voxels and 0 `SOFT` beyond."""
    half = math.ceil(radius + SOFT) - 1
    axis = np.arange(-half, half + 1, dtype=np.float64) ** 2
    distance = np.sqrt(axis[:, None, None] + axis[:, None] + axis)
    beyond = np.clip((distance - radius) / SOFT, 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * beyond)).astype(np.float32)


def low_passed(
    density: NDArray[np.float32], voxel_size: float, finest: float
) -> NDArray[np.float32]:
    """Remove what is finer than `finest` Å, softly over the last fifth before it."""
    if finest <= 2 * voxel_size:
        return density  # its voxels hold nothing finer
    shape = _fast(density.shape)
    square = _frequencies(shape) * (finest / voxel_size) ** 2  # 1 at the limit
    keep = 0.5 + 0.5 * np.cos(np.pi * np.clip((np.sqrt(square) - 0.8) / 0.2, 0, 1))
    spectrum = forward(density, shape, 1) * keep.astype(np.float32)
    z, y, x = density.shape
    smooth: NDArray[np.float32] = backward(spectrum, shape, (z, y, x), 1)
    return smooth.astype(np.float32)


def wedge(length: int, tilt: tuple[float, float]) -> NDArray[np.float32]:
    """Give 1 where a tilt series has data, half a spectrum of a cube.

    A projection at tilt t holds the frequencies along y and along (x, z) = (cos t,
    sin t), as in `dep.train.simulate.geometry`; between the tilts, and on the axis,
    all is taken to be there.
    """
    k = np.fft.fftfreq(length)
    kz, kx = k[:, None, None], np.fft.rfftfreq(length)[None, None, :]
    angle = np.degrees(np.arctan2(kz, kx))  # -90 to 90, since kx >= 0
    low, high = tilt
    there = (angle >= low) & (angle <= high)
    # Where kx is 0, both ends of the frequency are one: kz and -kz.
    there |= (kx == 0) & ((-angle >= low) & (-angle <= high))
    there |= (kx == 0) & (kz == 0)
    result: NDArray[np.float32] = np.broadcast_to(
        there, (length, length, length // 2 + 1)
    ).astype(np.float32)
    return result


def _fast(shape: tuple[int, ...]) -> Shape:
    z, y, x = (fast_length(n) for n in shape)
    return z, y, x


def _frequencies(shape: Shape) -> NDArray[np.float64]:
    """Squares of frequencies in cycles per voxel, half a spectrum."""
    z, y = (np.fft.fftfreq(n) ** 2 for n in shape[:2])
    x = np.fft.rfftfreq(shape[2]) ** 2
    result: NDArray[np.float64] = z[:, None, None] + y[:, None] + x
    return result
