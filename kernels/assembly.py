"""Label assembly: writes the core of a tile of scores into label slabs."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.kernels import backends, reference
from dep.kernels.arguments import MAX_CLASS, contiguous_rows, thread_count
from dep.kernels.cuda.assemble import assemble as assemble_there

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dep.kernels.backends import Backend

SMALL = 1_000_000  # scores that one thread reads in a fraction of a millisecond


def assemble(
    scores: NDArray[np.float32] | NDArray[np.float16],
    labels: NDArray[np.uint8],
    probability: NDArray[np.uint8],
    source: Sequence[int],
    target: Sequence[int],
    size: Sequence[int],
    *,
    t_seg: float,
    joint: bool,
    background: bool = True,
    backend: Backend = "auto",
    threads: int | None = None,
) -> None:
    """Write labels and probabilities of one tile's core into the slabs, in place.

    Per class, a voxel's label is the class c of the largest p_c among those with
    p_c > t_seg, the smaller class on a tie. Joint, it is the class of the largest p_c
    where 1 - p_background > t_seg. Else 0. The probability byte is floor(p * 255 + 0.5)
    of the label's class, p held within 0 and 1 first, and 0 where the label is 0.

    Parameters
    ----------
    scores : (C, z, y, x) float32 or float16
        One tile with the activation applied. float16 is widened exactly, t_seg is
        rounded to float32, and all arithmetic is float32, each step rounded.
    labels, probability : (z, y, x) uint8
        Slabs that are written; any planes and rows of a larger array, x contiguous.
    source, target, size : (z, y, x)
        Origin of the core in the tile, its origin in the slabs, and its extent, in
        voxels.
    t_seg
        Threshold, 0 <= t_seg < 1.
    joint
        See above. Without a background channel the foreground's probability is the
        largest p_c, so that joint and per class say the same.
    background
        Channel 0 is background (softmax) and channel c is class c; otherwise channel c
        is class c + 1 (sigmoid).
    backend
        "auto" (the C core), "c", "reference" or "cuda".
    threads
        Of the C core; all cores the process may use by default.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described, or the core lies outside the tile or the slabs.
    BackendError
        The backend is not available.

    Notes
    -----
    A score that is NaN (or minus infinity) never becomes a label, nor does a voxel with
    a background score of NaN in joint mode.
    """
    twin = backends.resolve(backend)
    _check_scores(scores, background=background)
    _check_slab("labels", labels)
    _check_slab("probability", probability)
    if labels.shape != probability.shape:
        msg = (
            f"labels and probability must have one shape, found {labels.shape} and "
            f"{probability.shape}"
        )
        raise ValueError(msg)
    t_seg = float(t_seg)
    if not 0 <= t_seg < 1:
        msg = f"t_seg must be at least 0 and below 1, found {t_seg}"
        raise ValueError(msg)
    extent = _triple("size", size)
    inner = _within("source", source, extent, scores.shape[1:], "tile")
    outer = _within("target", target, extent, labels.shape, "slabs")

    if twin == "c":
        backends.c_core().assemble(
            contiguous_rows(scores),
            labels,
            probability,
            inner,
            outer,
            extent,
            t_seg,
            joint,
            background,
            _threads(threads, values=len(scores) * math.prod(extent)),
        )
        return
    if twin == "cuda":
        _on_device(
            scores,
            labels,
            probability,
            (inner, outer, extent),
            t_seg,
            joint,
            background,
        )
        return
    core = tuple(slice(o, o + d) for o, d in zip(inner, extent, strict=True))
    place = tuple(slice(o, o + d) for o, d in zip(outer, extent, strict=True))
    labels[place], probability[place] = reference.assemble(
        scores[(slice(None), *core)],
        np.float32(t_seg),
        joint=joint,
        background=background,
    )


def _on_device(
    scores: NDArray[np.float32] | NDArray[np.float16],
    labels: NDArray[np.uint8],
    probability: NDArray[np.uint8],
    place: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]],
    t_seg: float,
    joint: bool,
    background: bool,
) -> None:
    """Assemble one core on the CUDA device and copy it into the slabs."""
    inner, outer, extent = place
    if 0 in extent:
        return
    device = backends.cuda_device()
    core = tuple(slice(o, o + d) for o, d in zip(inner, extent, strict=True))
    # Only the core goes there; the kernel takes cubes, so that it is put into one.
    edge = max(extent)
    cube = np.zeros((1, len(scores), edge, edge, edge), scores.dtype)
    cube[0, :, : extent[0], : extent[1], : extent[2]] = scores[(slice(None), *core)]
    there = device.empty(extent, np.uint8), device.empty(extent, np.uint8)
    assemble_there(
        device,
        device.upload(cube),
        "f16" if scores.dtype == np.float16 else "f32",
        *there,
        [((0, 0, 0), (0, 0, 0), extent)],
        t_seg=t_seg,
        joint=joint,
        background=background,
    )
    target = tuple(slice(o, o + d) for o, d in zip(outer, extent, strict=True))
    labels[target], probability[target] = (device.download(one) for one in there)


def _threads(threads: int | None, values: int) -> int:
    """Take all cores, but one for a small tile: it is done before two start."""
    if threads is None and values < SMALL:
        return 1
    return thread_count(threads)


def _check_scores(scores: NDArray[Any], *, background: bool) -> None:
    if not isinstance(scores, np.ndarray) or scores.dtype not in (
        np.float32,
        np.float16,
    ):
        kind = getattr(scores, "dtype", type(scores).__name__)
        msg = f"scores must be a float32 or float16 array (C, z, y, x), found {kind}"
        raise TypeError(msg)
    if scores.ndim != 4:
        msg = f"scores must have the four axes C, z, y, x, found shape {scores.shape}"
        raise ValueError(msg)
    classes = scores.shape[0] - background
    if not 1 <= classes <= MAX_CLASS:
        msg = (
            f"scores must hold 1 to {MAX_CLASS} classes"
            f"{' beside the background' if background else ''}, found {classes}"
        )
        raise ValueError(msg)


def _check_slab(name: str, slab: NDArray[Any]) -> None:
    if not isinstance(slab, np.ndarray) or slab.dtype != np.uint8:
        kind = getattr(slab, "dtype", type(slab).__name__)
        msg = f"{name} must be a uint8 array (z, y, x), found {kind}"
        raise TypeError(msg)
    if slab.ndim != 3:
        msg = f"{name} must have the three axes z, y, x, found shape {slab.shape}"
        raise ValueError(msg)
    if not slab.flags.writeable:
        msg = f"{name} is written in place but is read-only"
        raise ValueError(msg)
    if contiguous_rows(slab) is not slab:
        msg = f"{name} is written in place: its x axis must be contiguous"
        raise ValueError(msg)


def _triple(name: str, values: Sequence[int]) -> tuple[int, int, int]:
    try:
        z, y, x = (operator.index(v) for v in values)
    except (TypeError, ValueError) as error:
        msg = f"{name} must be three whole numbers (z, y, x), found {values!r}"
        raise type(error)(msg) from error
    if min(z, y, x) < 0:
        msg = f"{name} must not be negative, found {(z, y, x)}"
        raise ValueError(msg)
    return z, y, x


def _within(
    name: str,
    origin: Sequence[int],
    extent: tuple[int, int, int],
    shape: Sequence[int],
    whole: str,
) -> tuple[int, int, int]:
    start = _triple(name, origin)
    if any(o + d > s for o, d, s in zip(start, extent, shape, strict=True)):
        msg = (
            f"a core of size {extent} at {name} {start} leaves the {whole} of shape "
            f"{tuple(shape)}"
        )
        raise ValueError(msg)
    return start
