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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import MetricsError
from dep.engine.relion_metrics.maps import check_contrast, check_mask
from dep.engine.relion_metrics.shells import (
    Map,
    Shape,
    correlation,
    how_many,
    noise_scatter,
    randomised,
)

THRESHOLD = 0.143  # Rosenthal and Henderson, J. Mol. Biol. 333:721, 2003
RANDOMISE_BELOW = 0.8  # of the unmasked FSC
SMEARED = 2  # shells
TIGHT = 0.1  # of the FSC that a mask makes up: RELION warns above it too


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
    shape: Shape = (z, y, x)
    for number, half in enumerate((first, second), start=1):
        check_contrast(half, f"half map {number}")
    warnings: tuple[str, ...] = ()
    if np.array_equal(first, second):
        warnings += ("both half maps are the same, voxel by voxel",)
    spectra = np.fft.rfftn(first), np.fft.rfftn(second)
    frequency = np.arange(how_many(shape)) / (max(shape) * voxel_size)
    unmasked = correlation(*spectra, shape)
    if mask is None:
        return FscResult(
            frequency, unmasked, None, None, None, None, voxel_size, warnings
        )
    check_mask(mask, "the mask")
    masked = _masked(first, second, mask)
    start = _start(frequency, unmasked, randomise_from)
    if start is None:
        warnings += (
            f"the unmasked FSC never falls below {RANDOMISE_BELOW:g}: no phases were "
            "randomised, and the corrected curve is the masked one",
        )
        return FscResult(
            frequency, unmasked, masked, None, masked, None, voxel_size, warnings
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
    warnings += _doubts(frequency, random, corrected, start, mask)
    return FscResult(
        frequency, unmasked, masked, random, corrected, start, voxel_size, warnings
    )


def _doubts(
    frequency: NDArray[np.float64],
    random: NDArray[np.float64],
    corrected: NDArray[np.float64],
    start: int,
    mask: Map,
) -> tuple[str, ...]:
    """Say what makes the resolution of the corrected curve doubtful."""
    found = resolution_of(frequency, corrected, THRESHOLD)
    if found.angstrom is None:
        return ()
    shell = round(1 / found.angstrom / float(frequency[1]))
    words = []
    if start == 1:
        words.append(
            "the half maps agree in no shell (the unmasked FSC is below "
            f"{RANDOMISE_BELOW:g} from the first one on)"
        )
    scatter = noise_scatter(mask, shell)
    if scatter > THRESHOLD:
        words.append(
            f"the mask holds so little that the FSC of mere noise scatters by "
            f"{scatter:.2f} in the shell of this resolution; take a larger mask"
        )
    if shell >= start + SMEARED and random[shell] > TIGHT:
        words.append(
            f"at this resolution the mask alone makes an FSC of {random[shell]:.2f} "
            f"(above {TIGHT:g}): take a mask with a softer edge and fewer features"
        )
    return tuple(words)


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
