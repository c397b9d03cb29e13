"""Names the twins of the kernels and fetches the one that a caller asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from types import ModuleType

    from dep.kernels.cuda.device import Device

Backend = Literal["auto", "reference", "c", "cuda"]


class BackendError(RuntimeError):
    """The twin asked for cannot run here; the message says what is missing."""


def resolve(backend: str) -> Literal["reference", "c", "cuda"]:
    """Say which twin serves `backend`.

    Parameters
    ----------
    backend
        "auto" takes the C core; "c", "reference" and "cuda" name a twin. Nothing falls
        back silently to the reference, which is thousands of times slower.

    Raises
    ------
    ValueError
        For any other name.
    """
    if backend in {"auto", "c"}:
        return "c"
    if backend == "reference":
        return "reference"
    if backend == "cuda":
        return "cuda"
    msg = f"backend must be 'auto', 'reference', 'c' or 'cuda', found {backend!r}"
    raise ValueError(msg)


def c_core() -> ModuleType:
    """Import the compiled core, `dep.kernels._c`.

    Raises
    ------
    BackendError
        When it was not built or does not load.
    """
    try:
        return importlib.import_module("dep.kernels._c")
    except ImportError as error:
        msg = (
            f"the compiled core dep.kernels._c does not load ({error}). Install dep "
            "from a wheel, or from source with a C compiler (gcc or clang) at hand; "
            "backend='reference' works without it, very slowly."
        )
        raise BackendError(msg) from error


def cuda_device() -> Device:
    """Give the first CUDA device.

    Raises
    ------
    BackendError
        CuPy or the device is missing; the message says which.
    """
    from dep.kernels.cuda.cupy_device import default_device

    try:
        return default_device()
    except BackendError as error:
        msg = f"backend 'cuda': {error}; or use backend='c'"
        raise BackendError(msg) from error
