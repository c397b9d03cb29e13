"""Template matching: the locally normalised cross-correlation, over orientations.

For a template t turned by R, a mask m (its weights) and normalised voxels f, the score
of a voxel is the correlation coefficient of template and voxels, weighted by the mask
(Roseman, Ultramicroscopy 94:225, 2003):

    c(x) = sum_y m (t - <t>) f(x + y) / (M s_t s_f(x)),   M = sum m
    s_f(x)^2 = (1 / M) sum_y m f(x + y)^2 - ((1 / M) sum_y m f(x + y))^2

It is in [-1, 1] and does not depend on local brightness or contrast. All sums are
correlations, computed by FFT in blocks (overlap-save); the best orientation counts.

Which c is no accident: with noise alone, c of one orientation is normal with some
deviation s, measured over all voxels and orientations. Of so many voxels times
orientations a given number exceeds the threshold by accident (Rickgauer, Grigorieff and
Denk, eLife 6:e25648, 2017, eq. 1). Templates of different sizes have different s; they
are compared by c / s.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dep.engine.baseline.blocks import Block, Shape, cut, read_block
from dep.engine.baseline.found import Found
from dep.engine.baseline.peaks import Peaks, local_maxima
from dep.engine.baseline.rotations import rotations
from dep.engine.baseline.scipy_api import backward, fast_length, forward
from dep.engine.baseline.template import Prepared, prepare
from dep.engine.baseline.template_settings import TemplateSettings
from dep.engine.normalise import Normaliser
from dep.engine.volume import PlaneSource

# A voxel's neighbourhood whose deviation is below this share of the tomogram's has no
# structure to compare with, only rounding.
FLAT = 1e-3
# Of a transformed block, per voxel: its spectrum, the template's, two partial
# transforms and the real result (float32), deviations and best score, the block itself;
# and for a moment, before that, the same of squares in double precision.
_BYTES = 48


def match_templates(
    source: PlaneSource,
    voxel_size: float,
    normalise: Normaliser,
    settings: TemplateSettings,
    memory: int,
    advance: Callable[[int, int], None],
    threads: int,
) -> Found:
    """Find the local maxima of every template's correlation.

    Parameters
    ----------
    source : PlaneSource
        The tomogram.
    voxel_size : float
        Ångström.
    normalise : Normaliser
        To zero mean and unit deviation, particles bright.
    settings : TemplateSettings
        What to find.
    memory : int
        MiB that a block may take.
    advance : callable
        Called with (orientations done, orientations in all), over blocks and templates.
    threads : int
        Of each transform.

    Raises
    ------
    SettingError
        A mask that has too few voxels, or is too large for the memory.
    """
    turns = rotations(settings.angles)
    ready = [
        prepare(one, voxel_size, settings.tilt, settings.low_pass, settings.mask_radius)
        for one in settings.templates
    ]
    plans = [_plan(source.shape, one.mask.shape[0] // 2, memory) for one in ready]
    total = sum(len(blocks) for blocks in plans) * len(turns)
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        advance(done, total)

    parts = []
    for number, (one, blocks) in enumerate(zip(ready, plans, strict=True), start=1):
        squares, peaks = 0.0, []
        for block in blocks:
            voxels = read_block(source, block, normalise)
            best, square = correlate(
                voxels, block, source.shape, one, turns, tick, threads
            )
            squares += square
            peaks.append(_peaks(best, block, source.shape))
        tried = math.prod(source.shape) * len(turns)
        spread = math.sqrt(squares / tried)
        joined = Peaks.join(peaks)
        parts.append(_found(joined, number, spread, tried, settings))
    return Found.join(parts)


def threshold_of(spread: float, tried: int, false_positives: float) -> float:
    """Give the correlation that noise exceeds so many times in so many tries."""
    share = min(false_positives / tried, 0.5)
    return -NormalDist().inv_cdf(share) * spread


def correlate(
    voxels: NDArray[np.float32],
    block: Block,
    shape: Shape,
    template: Prepared,
    turns: Sequence[NDArray[np.float64]] | NDArray[np.float64],
    tick: Callable[[], None],
    threads: int = 1,
) -> tuple[NDArray[np.float32], float]:
    """Correlate a block with a template in all orientations.

    Parameters
    ----------
    voxels : (z, y, x) float32
        What the block reads.
    block : Block
        Its halo is half of the template's box and one voxel more.
    shape : (int, int, int)
        Of the tomogram.
    template : Prepared
        In voxels of the tomogram.
    turns : (n, 3, 3)
        Orientations.
    tick : callable
        Called after each of them.
    threads : int
        Of each transform.

    Returns
    -------
    (best, squares)
        The best correlation of each voxel of the core and one voxel around it, as far
        as the tomogram goes; the sum of the squares of all correlations in the core.
    """
    half = template.mask.shape[0] // 2
    rim = _rim(block, shape)
    # Around the tomogram there is the mean, 0: a whole box around every voxel.
    missing = [
        (half - (own.start - read.start), half - (read.stop - own.stop))
        for own, read in zip(rim, block.read, strict=True)
    ]
    padded = np.pad(
        voxels[
            tuple(
                slice(max(-before, 0), n - max(-after, 0))
                for (before, after), n in zip(missing, voxels.shape, strict=True)
            )
        ],
        [(max(before, 0), max(after, 0)) for before, after in missing],
    )
    kept = _lengths(rim)
    length = _fast(padded.shape)
    scale = _scale(padded, template.mask, length, kept, threads)
    spectrum = forward(padded, length, threads)
    del padded
    best = np.full(kept, -np.inf, np.float32)
    inner = tuple(
        slice(core.start - own.start, core.stop - own.start)
        for core, own in zip(block.core, rim, strict=True)
    )
    squares = 0.0
    for turn in turns:
        product = np.conj(forward(template.turned(turn), length, threads))
        product *= spectrum
        values = backward(product, length, kept, threads)
        values = values * scale
        np.maximum(best, values, out=best)
        own = values[inner]
        squares += sum(float(np.vdot(plane, plane)) for plane in own)
        tick()
    return best, squares


def _scale(
    padded: NDArray[np.float32],
    mask: NDArray[np.float32],
    length: Shape,
    kept: Shape,
    threads: int,
) -> NDArray[np.float32]:
    """Give 1 / (M s_f) of every voxel, 0 where it is flat; in double precision."""
    total = float(mask.sum(dtype=np.float64))
    weights = np.conj(forward(mask.astype(np.float64), length, threads))
    f = padded.astype(np.float64)
    spectrum = forward(f, length, threads)
    spectrum *= weights
    mean = backward(spectrum, length, kept, threads) / total
    np.square(f, out=f)
    spectrum = forward(f, length, threads)
    del f
    spectrum *= weights
    variance = backward(spectrum, length, kept, threads) / total - mean**2
    flat = variance < FLAT**2
    deviation = np.sqrt(np.where(flat, 1.0, variance))
    return np.where(flat, 0.0, 1 / (total * deviation)).astype(np.float32)


def _peaks(best: NDArray[np.float32], block: Block, shape: Shape) -> Peaks:
    rim = _rim(block, shape)
    z, y, x = (
        slice(core.start - own.start, core.stop - own.start)
        for core, own in zip(block.core, rim, strict=True)
    )
    return local_maxima(best, (z, y, x), block)


def _found(
    peaks: Peaks, class_id: int, spread: float, tried: int, settings: TemplateSettings
) -> Found:
    value = peaks.value.astype(np.float64)
    threshold = settings.threshold
    if threshold is None and settings.number is None:
        threshold = threshold_of(spread, tried, settings.false_positives)
    return Found(
        peaks.xyz,
        np.full(len(value), class_id, np.int32),
        value / (spread or 1.0),
        np.clip(value, 0, 1).astype(np.float32),  # rounding may pass 1
        value >= (threshold or 0.0),
    )


def _plan(shape: Shape, half: int, memory: int) -> list[Block]:
    def bytes_of(read: Shape) -> int:
        # At the tomogram's faces the block is filled up with its mean.
        return _BYTES * math.prod(_fast([n + 2 * half for n in read]))

    return cut(shape, half + 1, memory, bytes_of)


def _rim(block: Block, shape: Shape) -> tuple[slice, slice, slice]:
    """Give the core and one voxel around it, as far as the tomogram goes."""
    z, y, x = (
        slice(max(core.start - 1, 0), min(core.stop + 1, n))
        for core, n in zip(block.core, shape, strict=True)
    )
    return z, y, x


def _lengths(box: tuple[slice, slice, slice]) -> Shape:
    z, y, x = (part.stop - part.start for part in box)
    return z, y, x


def _fast(shape: Sequence[int]) -> Shape:
    z, y, x = (fast_length(n) for n in shape)
    return z, y, x
