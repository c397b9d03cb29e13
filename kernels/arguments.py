"""Checks what callers hand to the kernels; every error says what was found."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from dep.kernels.cores import available_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dep.kernels.cuda.device import OnDevice

MAX_ITERATIONS = 13  # 27^13 < 2^62; 27^14 > 2^64
MAX_CLASS = 255  # labels are bytes


def iterations_per_class(iterations: int | Sequence[int], *, joint: bool) -> list[int]:
    """Check `iterations` and spread them: 256 numbers by label, 0 where none is listed.

    Raises
    ------
    TypeError, ValueError
        Not whole numbers from 1 to 13, none at all, or a list where `joint` wants one.
    """
    if isinstance(iterations, Integral) and not isinstance(iterations, bool):
        return [_iteration(int(iterations))] * (MAX_CLASS + 1)
    if isinstance(iterations, str) or not isinstance(iterations, Sequence | np.ndarray):
        msg = (
            f"iterations must be a whole number or one per class, found {iterations!r}"
        )
        raise TypeError(msg)
    if joint:
        msg = f"joint=True pools one mask and takes one number, found {iterations!r}"
        raise ValueError(msg)
    if not 1 <= len(iterations) <= MAX_CLASS:
        msg = f"iterations must list 1 to {MAX_CLASS} classes, found {len(iterations)}"
        raise ValueError(msg)
    for n in iterations:
        if not isinstance(n, Integral) or isinstance(n, bool):
            msg = f"iterations must be whole numbers, found {n!r}"
            raise TypeError(msg)
    listed = [_iteration(int(n)) for n in iterations]
    return [0, *listed] + [0] * (MAX_CLASS - len(listed))


def thread_count(threads: int | None) -> int:
    """Check the number of threads; None is as many as there are cores.

    Raises
    ------
    TypeError, ValueError
        Not a whole number, or less than 1.
    """
    if threads is None:
        return available_threads()
    if not isinstance(threads, Integral) or isinstance(threads, bool):
        msg = f"threads must be None or a whole number, found {threads!r}"
        raise TypeError(msg)
    if threads < 1:
        msg = f"threads must be at least 1, found {threads}"
        raise ValueError(msg)
    return min(int(threads), 256)


def _iteration(n: int) -> int:
    if n > MAX_ITERATIONS:
        msg = (
            f"iterations must be 1 to {MAX_ITERATIONS}, found {n}: the sums are exact "
            "64-bit integers and 27^14 does not fit. A particle this wide needs a "
            "binned tomogram."
        )
        raise ValueError(msg)
    if n < 1:
        msg = f"iterations must be 1 to {MAX_ITERATIONS}, found {n}"
        raise ValueError(msg)
    return n


def label_volume(labels: object) -> NDArray[np.uint8]:
    """Check a label volume (z, y, x) uint8; a copy only where x is not contiguous."""
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8:
        msg = f"labels must be a uint8 array (z, y, x), found {_kind(labels)}"
        raise TypeError(msg)
    if labels.ndim != 3:
        msg = f"labels must have the three axes z, y, x, found shape {labels.shape}"
        raise ValueError(msg)
    return contiguous_rows(labels)


def probability_volume(probability: object, shape: tuple[int, ...]) -> NDArray[Any]:
    """Check probabilities: bytes, or float32 within 0 and 1, shaped as the labels."""
    if not isinstance(probability, np.ndarray) or probability.dtype not in (
        np.uint8,
        np.float32,
    ):
        msg = (
            f"probability must be a uint8 or float32 array, found {_kind(probability)}"
        )
        raise TypeError(msg)
    if probability.shape != shape:
        msg = (
            f"probability must have shape {shape} as labels, found {probability.shape}"
        )
        raise ValueError(msg)
    if probability.dtype == np.float32 and probability.size:
        low, high = float(probability.min()), float(probability.max())
        if not (low >= 0 and high <= 1):  # NaN fails both
            msg = f"probability must be within 0 and 1, found {low} to {high}"
            raise ValueError(msg)
    return contiguous_rows(probability)


def contiguous_rows(array: NDArray[Any]) -> NDArray[Any]:
    """Give back the array if x (the last axis) is contiguous, else a copy."""
    if array.shape[-1] > 1 and array.strides[-1] != array.itemsize:
        return np.ascontiguousarray(array)
    return array


def threshold(t_lm: float) -> float:
    """Check t_lm: above 0, at most 1."""
    t_lm = float(t_lm)
    if not 0 < t_lm <= 1:
        msg = f"t_lm must be above 0 and at most 1, found {t_lm}"
        raise ValueError(msg)
    return t_lm


def core_planes(core: tuple[int, int] | None, depth: int) -> tuple[int, int]:
    """Check (z0, z1), planes of an array of `depth`; None is all of them."""
    if core is None:
        return 0, depth
    z0, z1 = (int(z) for z in core)
    if not 0 <= z0 <= z1 <= depth:
        msg = f"core must be (z0, z1) with 0 <= z0 <= z1 <= {depth}, found {core}"
        raise ValueError(msg)
    return z0, z1


def origin(z_origin: int, depth: int) -> int:
    """Check that all z of an array of `depth` planes from z_origin fit 32 bits."""
    if not -(2**31) <= z_origin <= 2**31 - 1 - depth:
        msg = f"z_origin must keep z within 32 bits, found {z_origin}"
        raise ValueError(msg)
    return int(z_origin)


def device_volume(
    name: str, array: object, shape: tuple[int, ...] | None = None
) -> OnDevice:
    """Check an array on a CUDA device: uint8, three axes, C-contiguous; of `shape`.

    Raises
    ------
    TypeError, ValueError
        It is something else; the message says what.
    """
    if not is_on_device(array):
        msg = (
            f"{name} must be on the device as labels are, found {_kind(array)} in the "
            "computer's memory"
        )
        raise TypeError(msg)
    told = array.__cuda_array_interface__
    found, strides = tuple(told["shape"]), told.get("strides")
    kind = f"{np.dtype(told['typestr'])} of shape {found}"
    if np.dtype(told["typestr"]) != np.uint8:
        msg = f"{name} on a device must be a uint8 array (z, y, x), found {kind}"
        raise TypeError(msg)
    if len(found) != 3:
        msg = f"{name} must have the three axes z, y, x, found {kind}"
        raise ValueError(msg)
    if shape is not None and found != shape:
        msg = f"{name} must have shape {shape} as labels, found {found}"
        raise ValueError(msg)
    whole = (found[1] * found[2], found[2], 1)
    if strides is not None and 0 not in found and tuple(strides) != whole:
        msg = f"{name} must be C-contiguous, found strides {tuple(strides)} and {kind}"
        raise ValueError(msg)
    return array


def is_on_device(thing: object) -> TypeGuard[OnDevice]:
    """Say whether an array is in the memory of a CUDA device."""
    return hasattr(thing, "__cuda_array_interface__")


def _kind(thing: object) -> str:
    if isinstance(thing, np.ndarray):
        return f"{thing.dtype} of shape {thing.shape}"
    return type(thing).__name__
