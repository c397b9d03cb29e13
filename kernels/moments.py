"""Moments of voxels: their extremes, sums and sums of squares, read once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.kernels import backends, reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dep.kernels.backends import Backend

# Voxels summed up into one number. Squares of 16-bit integers times this stay below
# 2^53, so that their sums are exact in float64. DEP_BLOCK in c/core.h.
BLOCK = 1 << 17
STORED = ("i1", "u1", "i2", "u2", "f4", "f8")  # types that are read as they are


@dataclass(frozen=True, slots=True)
class Moments:
    """Of some voxels.

    Attributes
    ----------
    low, high : float
        The least and the largest voxel; NaN, both, where any is NaN or infinite.
    sums, squares : (blocks,) float64
        Of each 131,072 voxels in turn, their differences from the pivot and the squares
        of those, summed up.
    """

    low: float
    high: float
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]


def moments(
    voxels: NDArray[Any], pivot: float = 0.0, *, backend: Backend = "auto"
) -> Moments:
    """Measure voxels, reading them once.

    8- and 16-bit integers are summed exactly. Others are summed in float64, in an order
    that neither processor nor backend changes: within a run of 1,024 voxels of a block
    those with the same index modulo 8 one after the other, then these eight sums in
    pairs, then runs one after the other.

    Parameters
    ----------
    voxels : array of real numbers
        Of any shape, at least one; float16 and integers of 32 bits and more are widened
        first, other byte orders turned.
    pivot : float
        What sums are of differences from, so that no digits are lost to a large mean; 0
        where sums are exact.
    backend : {"auto", "c", "reference"}
        "auto" is the C core.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    BackendError
        The backend is not available.
    """
    twin = backends.resolve(backend)
    if twin == "cuda":
        msg = "backend must be 'auto', 'reference' or 'c', found 'cuda'"
        raise ValueError(msg)
    flat = _as_stored(voxels)
    pivot = float(pivot)
    if not math.isfinite(pivot) or (pivot and flat.dtype.kind in "iu"):
        msg = (
            "pivot must be finite, and 0 for integers of 8 and 16 bits, found "
            f"{pivot} for {voxels.dtype}"
        )
        raise ValueError(msg)
    if twin == "reference":
        return Moments(*reference.moments(flat, pivot, BLOCK))
    sums = np.empty((2, -(-flat.size // BLOCK)))
    low, high = backends.c_core().moments(flat, pivot, sums)
    return Moments(low, high, sums[0], sums[1])


def _as_stored(voxels: NDArray[Any]) -> NDArray[Any]:
    """Give the voxels in a row, in the type that they are read in."""
    if not isinstance(voxels, np.ndarray) or voxels.dtype.kind not in "biuf":
        kind = getattr(voxels, "dtype", type(voxels).__name__)
        msg = f"voxels must be an array of whole or real numbers, found {kind}"
        raise TypeError(msg)
    if not voxels.size:
        msg = f"voxels must be at least one, found shape {voxels.shape}"
        raise ValueError(msg)
    flat = np.ascontiguousarray(voxels).reshape(-1)
    if flat.dtype == np.bool_:
        return flat.view(np.uint8)
    native = flat.dtype.newbyteorder("=")
    if native.str[1:] not in STORED:
        native = np.dtype(np.float32 if native == np.float16 else np.float64)
    # A type that names its byte order is another to who reads buffers, be it native.
    return flat.astype(native, copy=False).view(native)
