"""What the machine has: asked for by parts before they begin."""

import ctypes
import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gpu.context import NotRunError

if TYPE_CHECKING:
    from dep.kernels.cuda.cupy_device import CupyDevice


def gpu_missing() -> str:
    """Say why there is no GPU to use; empty where there is one.

    The driver itself is asked: no library of Python's is needed.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return f"no NVIDIA driver: {error}"
    if state := driver.cuInit(0):
        return f"the NVIDIA driver finds no GPU that works (cuInit gave {state})"
    count = ctypes.c_int()
    if state := driver.cuDeviceGetCount(ctypes.byref(count)):
        return f"the NVIDIA driver does not count its GPUs (error {state})"
    return "" if count.value else "the NVIDIA driver finds no GPU"


def need_gpu() -> None:
    """End a part that needs a GPU where there is none."""
    if why := gpu_missing():
        raise NotRunError(why)


def need(name: str) -> ModuleType:
    """Import a module that a part needs, or end the part and say why."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        message = f"{name} does not load: {type(error).__name__}: {error}"
        raise NotRunError(message) from error


def need_torch() -> ModuleType:
    """Import a PyTorch that computes on a GPU."""
    need_gpu()
    torch = need("torch")
    if not torch.cuda.is_available():
        message = f"torch {torch.__version__} finds no GPU: a build for processors?"
        raise NotRunError(message)
    return torch


def need_device() -> "tuple[ModuleType, Any, CupyDevice]":
    """Import CuPy and open the GPU; gives CuPy, a stream of its and the device."""
    need_gpu()
    cupy = need("cupy")
    module = need("dep.kernels.cuda.cupy_device")
    stream = cupy.cuda.Stream(non_blocking=True)
    return cupy, stream, module.CupyDevice(stream=stream)


def has_core() -> bool:
    """Say whether the compiled twins of the kernels load."""
    try:
        importlib.import_module("dep.kernels._c")
    except ImportError:
        return False
    return True
