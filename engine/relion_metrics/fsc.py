"""Gold-standard FSC of two half maps: masked, corrected for the mask, its resolution.

A mask correlates what it cuts out of two maps, whatever is in them. How much is found
by the mask's effect on maps whose phases are random from some shell on (Chen et al.,
Ultramicroscopy 135:24, 2013): with FSC_t of the masked maps and FSC_n of the masked
maps with random phases,

    FSC_true = (FSC_t - FSC_n) / (1 - FSC_n)

from two shells beyond that one on, and FSC_t before, where phases are the maps' own (a
mask smears a shell over its neighbours, hence two). The half maps must come from
independent halves of the particles, refined apart; nothing here can tell.
"""

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import MetricsError
from dep.engine.relion_metrics.shells import Map, correlation, how_many, randomised
from dep.engine.volume import open_volume

THRESHOLD = 0.143  # Rosenthal and Henderson, J. Mol. Biol. 333:721, 2003
RANDOMISE_BELOW = 0.8  # of the unmasked FSC
SMEARED = 2  # shells
SAME_SIZE = 1e-3  # voxel sizes that differ by less are the same
SOFT_EDGE = 5.0  # voxels, of a ball


@dataclass(frozen=True, slots=True, eq=False)
class FscResult:
    """Curves and what they say.

    Attributes
    ----------
    frequency : (s,) float64
        Of each shell, per ångström.
    unmasked : (s,) float64
        FSC of the maps as they are.
    masked, random, corrected : (s,) float64 or None
        With a mask: FSC_t, FSC_n and FSC_true.
    randomised_from : int or None
        The first shell with random phases.
    voxel_size : float
        Ångström.
    warnings : tuple of str
        What to know.
    """

    frequency: NDArray[np.float64]
    unmasked: NDArray[np.float64]
    masked: NDArray[np.float64] | None
    random: NDArray[np.float64] | None
    corrected: NDArray[np.float64] | None
    randomised_from: int | None
    voxel_size: float
    warnings: tuple[str, ...] = ()

    @property
    def curves(self) -> dict[str, NDArray[np.float64]]:
        """Those that there are, by name."""
        every = {
            "unmasked": self.unmasked,
            "masked": self.masked,
            "random": self.random,
            "corrected": self.corrected,
        }
        return {name: one for name, one in every.items() if one is not None}

    @property
    def best(self) -> NDArray[np.float64]:
        """The curve that counts: corrected where there is a mask."""
        return self.unmasked if self.corrected is None else self.corrected

    def resolution(self, threshold: float = THRESHOLD) -> "Resolution":
        """Give the resolution of the curve that counts."""
        return resolution_of(self.frequency, self.best, threshold)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {
            "voxel_size": self.voxel_size,
            "frequency": self.frequency.tolist(),
            "fsc": {name: one.tolist() for name, one in self.curves.items()},
            "randomised_from": self.randomised_from,
            "resolution": {
                name: {
                    f"{threshold:g}": resolution_of(
                        self.frequency, one, threshold
                    ).to_dict()
                    for threshold in (THRESHOLD, 0.5)
                }
                for name, one in self.curves.items()
                if name != "random"
            },
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where a curve first falls below a threshold.

    Attributes
    ----------
    angstrom : float or None
        None where it is below from the first shell on.
    at_nyquist : bool
        It never falls below: the value is Nyquist's, and the truth may be better.
    """

    angstrom: float | None
    at_nyquist: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {"angstrom": self.angstrom, "at_nyquist": self.at_nyquist}

    def __str__(self) -> str:
        if self.angstrom is None:
            return "none"
        return f"{self.angstrom:.2f} Å" + (" (Nyquist)" if self.at_nyquist else "")


def resolution_of(
    frequency: NDArray[np.float64], fsc: NDArray[np.float64], threshold: float
) -> Resolution:
    """Find where a curve first falls below a threshold.

    Between shells it is taken to be straight over frequency. Shell 0, the mean of the
    maps, does not count.
    """
    below = np.flatnonzero(fsc[1:] < threshold) + 1
    if not len(below):
        return Resolution(float(1 / frequency[-1]), at_nyquist=True)
    shell = int(below[0])
    if shell == 1:
        return Resolution(None)
    high, low = fsc[shell - 1], fsc[shell]
    share = (high - threshold) / (high - low)
    step = frequency[shell] - frequency[shell - 1]
    return Resolution(float(1 / (frequency[shell - 1] + share * step)))


def open_halves(
    first: str | PathLike[str],
    second: str | PathLike[str],
    mask: str | PathLike[str] | None = None,
    voxel_size: float | None = None,
) -> tuple[Map, Map, Map | None, float]:
    """Read half maps, and a mask if there is one; give them and the voxel size (Å).

    Raises
    ------
    TomogramError, VoxelSizeError
        A file that is no map, or has no voxel size.
    MetricsError
        Maps that do not fit each other, or voxels that are not finite.
    """
    paths = [first, second] if mask is None else [first, second, mask]
    maps: list[Map] = []
    sizes: list[float] = []
    for path in paths:
        # A mask's own voxel size does not matter.
        size = voxel_size if len(maps) < 2 else sizes[0]
        with open_volume(path, size) as volume:
            maps.append(np.array(volume.read(0, volume.shape[0]), np.float32))
            sizes.append(volume.voxel_size)
        if not np.isfinite(maps[-1]).all():
            message = f"{path}: voxels that are NaN or infinite; expected finite ones"
            raise MetricsError(message)
        if maps[-1].shape != maps[0].shape:
            message = (
                f"{path}: {_words(maps[-1])} voxels, but {first} has "
                f"{_words(maps[0])}; expected maps of one shape"
            )
            raise MetricsError(message)
    if abs(sizes[1] / sizes[0] - 1) > SAME_SIZE:
        message = (
            f"{second}: voxels of {sizes[1]:g} Å, but {first} has {sizes[0]:g} Å; give "
            "the right one with --voxel-size"
        )
        raise MetricsError(message)
    return maps[0], maps[1], (maps[2] if mask is not None else None), sizes[0]


def ball_mask(shape: tuple[int, int, int], radius: float) -> Map:
    """Give a ball about the middle voxel with a raised-cosine edge, radius in voxels.

    Raises
    ------
    MetricsError
        Its soft edge does not fit the box.
    """
    if not 0 < radius + SOFT_EDGE <= min(shape) / 2:
        message = (
            f"a mask of {radius:.1f} voxels' radius and a soft edge of {SOFT_EDGE:g} "
            f"does not fit a box of {min(shape)} voxels"
        )
        raise MetricsError(message)
    z, y, x = (
        (np.arange(n, dtype=np.float32) - n // 2).reshape(
            [-1 if axis == own else 1 for axis in range(3)]
        )
        for own, n in enumerate(shape)
    )
    beyond = np.clip((np.sqrt(z * z + y * y + x * x) - radius) / SOFT_EDGE, 0, 1)
    mask: Map = (0.5 + 0.5 * np.cos(np.pi * beyond)).astype(np.float32)
    return mask


def gold_standard(
    first: Map,
    second: Map,
    voxel_size: float,
    mask: Map | None = None,
    *,
    randomise_from: float | None = None,
    seed: int = 0,
) -> FscResult:
    """Compute the FSC of two half maps.

    Parameters
    ----------
    first, second : (z, y, x) float32
        Half maps of one shape.
    voxel_size : float
        Ångström.
    mask : (z, y, x) float32, optional
        Weights from 0 to 1, soft at its edge.
    randomise_from : float, optional
        Å: phases are random there and beyond. Default: where the unmasked FSC first
        falls below 0.8.
    seed : int
        Of the random phases.

    Raises
    ------
    MetricsError
        A map without contrast, a mask outside of [0, 1] or empty, or no shell to
        randomise from.
    """
    z, y, x = first.shape
    shape = (z, y, x)
    for number, half in enumerate((first, second), start=1):
        if half.min() == half.max():
            message = f"half map {number}: all voxels are alike; expected a density"
            raise MetricsError(message)
    spectra = np.fft.rfftn(first), np.fft.rfftn(second)
    frequency = np.arange(how_many(shape)) / (max(shape) * voxel_size)
    unmasked = correlation(*spectra, shape)
    if mask is None:
        return FscResult(frequency, unmasked, None, None, None, None, voxel_size)
    check_mask(mask)
    masked = _masked(first, second, mask)
    start = _start(frequency, unmasked, randomise_from)
    if start is None:
        warning = (
            f"the unmasked FSC never falls below {RANDOMISE_BELOW:g}: no phases were "
            "randomised, and the corrected curve is the masked one"
        )
        return FscResult(
            frequency, unmasked, masked, None, masked, None, voxel_size, (warning,)
        )
    rng = np.random.default_rng(seed)
    one, other = (randomised(each, shape, start, rng) for each in spectra)
    del spectra
    random = _masked(one, other, mask)
    corrected = masked.copy()
    beyond = slice(start + SMEARED, None)
    # Masks that leave nothing to tell apart have FSC_n = 1.
    rest = np.maximum(1 - random[beyond], 1e-6)
    corrected[beyond] = (masked[beyond] - random[beyond]) / rest
    return FscResult(frequency, unmasked, masked, random, corrected, start, voxel_size)


def check_mask(mask: Map) -> None:
    """Refuse a mask outside of [0, 1], or without anything in it.

    Raises
    ------
    MetricsError
        Says what was found.
    """
    low, high = float(mask.min()), float(mask.max())
    if low < -1e-3 or high > 1 + 1e-3 or not high > 0:
        message = (
            f"the mask goes from {low:g} to {high:g}; expected weights from 0 to 1 "
            "that are not all 0"
        )
        raise MetricsError(message)


def _masked(first: Map, second: Map, mask: Map) -> NDArray[np.float64]:
    z, y, x = first.shape
    return correlation(
        np.fft.rfftn(first * mask), np.fft.rfftn(second * mask), (z, y, x)
    )


def _start(
    frequency: NDArray[np.float64], unmasked: NDArray[np.float64], wanted: float | None
) -> int | None:
    if wanted is None:
        below = np.flatnonzero(unmasked[1:] < RANDOMISE_BELOW) + 1
        return int(below[0]) if len(below) else None
    shell = int(np.searchsorted(frequency, (1 - 1e-9) / wanted))
    if 1 / wanted < (1 - 1e-9) * frequency[1] or shell >= len(frequency):
        message = (
            f"phases cannot be random from {wanted:g} Å on; expected something between "
            f"{1 / frequency[1]:.4g} Å and Nyquist, {1 / frequency[-1]:.4g} Å"
        )
        raise MetricsError(message)
    return shell


def _words(one: Map) -> str:
    return " x ".join(str(n) for n in one.shape[::-1])
