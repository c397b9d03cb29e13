"""The device through CuPy: the only module that imports it."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.kernels.backends import BackendError
from dep.kernels.cuda.device import SOURCES, DeviceArray, kernel_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

# No fused multiply-add, no fast math: floats equal the C core's bit for bit.
_OPTIONS = ("-std=c++17", "--fmad=false", f"-I{SOURCES}")


class CupyDevice:
    """A CUDA device and a stream; sources are compiled when first launched.

    Parameters
    ----------
    device_id
        Number of the device, as CUDA counts them.
    stream
        A CuPy stream; a new non-blocking one by default.

    Attributes
    ----------
    name
        The GPU's.
    capability
        Its compute capability, "9.0".

    Raises
    ------
    BackendError
        CuPy or the device is missing; the message says which.
    """

    def __init__(self, device_id: int = 0, stream: object = None) -> None:
        try:
            self._cupy = importlib.import_module("cupy")
        except ImportError as error:
            msg = (
                f"backend 'cuda' needs CuPy, which does not load ({error}). Install "
                "dep[gpu], or use backend='c'."
            )
            raise BackendError(msg) from error
        runtime = self._cupy.cuda.runtime
        try:
            count = int(runtime.getDeviceCount())
        except runtime.CUDARuntimeError as error:
            msg = f"no CUDA device can be used ({error}). Use backend='c'."
            raise BackendError(msg) from error
        if not 0 <= device_id < count:
            msg = f"CUDA device {device_id} was asked for, found {count} device(s)"
            raise BackendError(msg)
        self._device = self._cupy.cuda.Device(device_id)
        with self._device:
            properties = runtime.getDeviceProperties(device_id)
            self._stream: Any = stream or self._cupy.cuda.Stream(non_blocking=True)
        self.name = str(properties["name"].decode())
        self.capability = f"{properties['major']}.{properties['minor']}"
        self._files = kernel_files()
        self._modules: dict[Path, Any] = {}

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> DeviceArray:
        """Make a device array of unknown content."""
        with self._device, self._stream:
            array: DeviceArray = self._cupy.empty(tuple(shape), dtype)
        return array

    def zeros(self, shape: Sequence[int], dtype: DTypeLike) -> DeviceArray:
        """Make a device array of zeros."""
        with self._device, self._stream:
            array: DeviceArray = self._cupy.zeros(tuple(shape), dtype)
        return array

    def upload(self, host: NDArray[Any]) -> DeviceArray:
        """Copy an array to the device, C-contiguous."""
        with self._device, self._stream:
            array: DeviceArray = self._cupy.asarray(np.ascontiguousarray(host))
        return array

    def download(self, array: DeviceArray) -> NDArray[Any]:
        """Wait for all work given so far and copy an array to the host."""
        with self._device:
            result: NDArray[Any] = self._cupy.asnumpy(array, stream=self._stream)
            self._stream.synchronize()
        return result

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: tuple[DeviceArray | np.generic, ...],
        shared: int = 0,
    ) -> None:
        """Queue a kernel."""
        with self._device, self._stream:
            self._function(kernel)(grid, block, args, shared_mem=shared)

    def synchronize(self) -> None:
        """Wait for all work given so far."""
        self._stream.synchronize()

    def _function(self, kernel: str) -> Callable[..., None]:
        path = self._files[kernel]
        if path not in self._modules:
            code = path.read_text(encoding="utf-8")
            self._modules[path] = self._cupy.RawModule(code=code, options=_OPTIONS)
        function: Callable[..., None] = self._modules[path].get_function(kernel)
        return function


@functools.cache
def default_device() -> CupyDevice:
    """Give the first device, with its kernels compiled once for the whole process.

    Raises
    ------
    BackendError
        CuPy or the device is missing; the message says which.
    """
    return CupyDevice()
