"""Difference of Gaussians: blobs of given diameters, whatever their shape inside.

The response at a voxel is G(sigma) * f - G(k sigma) * f, f the normalised tomogram with
particles bright and k the ratio. For a solid ball of radius R the response at its
centre is erf(u / sqrt 2) - sqrt(2 / pi) u exp(-u^2 / 2) at u = R / sigma, less the same
at u / k; over sigma it is largest where u^2 = 6 ln k / (1 - 1 / k^2), so

    sigma = R sqrt((1 - 1 / k^2) / (6 ln k))

which tends to R / sqrt 3, the scale of the Laplacian of a Gaussian, as k tends to 1.
k = 1.6 is the ratio at which the difference is closest to that Laplacian (Marr and
Hildreth, Proc. R. Soc. B 207:187, 1980). For micrographs: Voss et al., J. Struct. Biol.
166:205, 2009.

Responses are divided by their standard deviation over the tomogram, for each diameter
apart, so that diameters compete by how unlikely a response is and one threshold serves
all of them. A response of z deviations gets the score z / (1 + z), which is in [0, 1)
and loses no order.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dep.engine.baseline.blocks import Block, Shape, cut, read_block
from dep.engine.baseline.found import Found
from dep.engine.baseline.peaks import Peaks, local_maxima
from dep.engine.baseline.scipy_api import gaussian
from dep.engine.card import MAX_CLASSES, ClassInfo
from dep.engine.errors import SettingError
from dep.engine.normalise import Normaliser
from dep.engine.volume import PlaneSource

RATIO = 1.6
THRESHOLD = 4.0  # deviations; docs/baseline.md has what others find
APART = 0.7  # of the smallest diameter: how near two picks may be
CUT_OFF = 4.0  # deviations at which a Gaussian ends
SMALLEST_DIAMETER = 3.0  # voxels
PARTICLE = "particle"
# Arrays of a block that exist at once (float32): voxels, two Gaussians and one in work,
# and what looking for maxima takes.
_ARRAYS = 7


@dataclass(frozen=True, slots=True)
class Blob:
    """A diameter to look for, Å, and the class that its picks get."""

    diameter: float
    name: str = PARTICLE


@dataclass(frozen=True, slots=True, kw_only=True)
class DogSettings:
    """How blobs are found.

    Attributes
    ----------
    blobs : tuple of Blob
        Diameters and their classes; several of one class are several scales of it.
    threshold : float or None
        Least response, in standard deviations. None: `THRESHOLD`, or none at all where
        a number is asked for.
    number : int or None
        At most so many picks of a tomogram, the best.
    t_dist : float or None
        Least distance of two picks, voxels; None: 0.7 of the smallest diameter.
    ratio : float
        Of the two Gaussians.
    """

    blobs: tuple[Blob, ...]
    threshold: float | None = None
    number: int | None = None
    t_dist: float | None = None
    ratio: float = RATIO

    def __post_init__(self) -> None:
        if not self.blobs:
            message = "no diameter was given"
            raise SettingError(message)
        for blob in self.blobs:
            if not (math.isfinite(blob.diameter) and blob.diameter > 0):
                message = f"expected a diameter above 0 Å, found {blob.diameter}"
                raise SettingError(message)
        if len(set(self.blobs)) < len(self.blobs):
            message = "a diameter of one class was given twice"
            raise SettingError(message)
        if len(self.classes) > MAX_CLASSES:
            message = f"{len(self.classes)} classes; expected {MAX_CLASSES} at most"
            raise SettingError(message)
        if not (math.isfinite(self.ratio) and 1 < self.ratio <= 4):
            message = f"expected a ratio of Gaussians of 1 to 4, found {self.ratio}"
            raise SettingError(message)
        if self.threshold is not None and not 0 <= self.threshold < math.inf:
            message = (
                "expected a threshold of 0 standard deviations or more, found "
                f"{self.threshold}"
            )
            raise SettingError(message)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, in the order of their first diameters."""
        return tuple(dict.fromkeys(blob.name for blob in self.blobs))

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The class table; the diameter of several scales is their mean."""
        table = []
        for name in self.names:
            sizes = [blob.diameter for blob in self.blobs if blob.name == name]
            table.append(ClassInfo(name, sum(sizes) / len(sizes)))
        return tuple(table)

    def sigmas(self, blob: Blob, voxel_size: float) -> tuple[float, float]:
        """Give both Gaussians of a diameter, in voxels.

        Raises
        ------
        SettingError
            A diameter of too few voxels.
        """
        voxels = blob.diameter / voxel_size
        if voxels < SMALLEST_DIAMETER:
            message = (
                f"a diameter of {blob.diameter:g} Å is {voxels:.1f} voxels of "
                f"{voxel_size:g} Å; expected {SMALLEST_DIAMETER:g} or more: take a "
                "less binned tomogram"
            )
            raise SettingError(message)
        k = self.ratio
        sigma = voxels / 2 * math.sqrt((1 - 1 / k**2) / (6 * math.log(k)))
        return sigma, k * sigma

    def nearest(self, voxel_size: float) -> float:
        """Give the least distance of two picks, in voxels."""
        if self.t_dist is not None:
            return self.t_dist
        return APART * min(blob.diameter for blob in self.blobs) / voxel_size


def find_blobs(
    source: PlaneSource,
    voxel_size: float,
    normalise: Normaliser,
    settings: DogSettings,
    memory: int,
    advance: Callable[[int, int], None],
) -> Found:
    """Find the local maxima of all diameters.

    Parameters
    ----------
    source : PlaneSource
        The tomogram.
    voxel_size : float
        Ångström.
    normalise : Normaliser
        To zero mean and unit deviation, particles bright.
    settings : DogSettings
        What to find.
    memory : int
        MiB that a block may take.
    advance : callable
        Called with (blocks done, blocks in all).

    Raises
    ------
    SettingError
        Diameters of too few voxels, or too large for the memory.
    """
    sigmas = [settings.sigmas(blob, voxel_size) for blob in settings.blobs]
    halo = _radius(max(coarse for _, coarse in sigmas)) + 1  # a peak has neighbours
    blocks = cut(source.shape, halo, memory, _bytes)
    scales = [_Scale(*pair) for pair in sigmas]
    for done, block in enumerate(blocks, start=1):
        voxels = read_block(source, block, normalise)
        for scale in scales:
            scale.take(voxels, block)
        advance(done, len(blocks))
    threshold = settings.threshold
    if threshold is None:
        threshold = THRESHOLD if settings.number is None else 0.0
    parts = [
        scale.found(settings.names.index(blob.name) + 1, threshold)
        for scale, blob in zip(scales, settings.blobs, strict=True)
    ]
    return Found.join(parts)


def response(
    voxels: NDArray[np.float32], sigma: float, coarse: float
) -> NDArray[np.float32]:
    """Give the difference of two Gaussians of a block, sigma less coarse."""
    difference = gaussian(voxels, sigma, _radius(sigma))
    difference -= gaussian(voxels, coarse, _radius(coarse))
    return difference


class _Scale:
    """One diameter: its peaks so far, and the spread of its responses."""

    def __init__(self, sigma: float, coarse: float) -> None:
        self._sigma, self._coarse = sigma, coarse
        self._peaks: list[Peaks] = []
        self._sums: list[float] = []
        self._squares: list[float] = []
        self._voxels = 0

    def take(self, voxels: NDArray[np.float32], block: Block) -> None:
        values = response(voxels, self._sigma, self._coarse)
        self._peaks.append(local_maxima(values, block.inside, block))
        # Plane by plane: no float64 copy of the block.
        for plane in values[block.inside]:
            exact = plane.astype(np.float64)
            self._sums.append(float(exact.sum()))
            self._squares.append(float((exact * exact).sum()))
            self._voxels += exact.size

    def found(self, class_id: int, threshold: float) -> Found:
        peaks = Peaks.join(self._peaks)
        mean = math.fsum(self._sums) / self._voxels
        variance = math.fsum(self._squares) / self._voxels - mean * mean
        deviation = math.sqrt(max(variance, 0.0))
        # A tomogram that is not constant, yet flat at this scale, has no peaks above 0.
        z = (peaks.value.astype(np.float64) - mean) / (deviation or 1.0)
        z = np.maximum(z, 0.0)
        return Found(
            peaks.xyz,
            np.full(len(z), class_id, np.int32),
            z,
            (z / (1 + z)).astype(np.float32),
            z >= threshold,
        )


def _radius(sigma: float) -> int:
    return math.ceil(CUT_OFF * sigma)


def _bytes(read: Shape) -> int:
    return _ARRAYS * 4 * math.prod(read)
