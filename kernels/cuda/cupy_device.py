"""The device through CuPy: the only module that imports it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.kernels.backends import BackendError
from dep.kernels.cuda.device import SOURCES, DeviceArray, OnDevice, kernel_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
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
    pool
        A CuPy memory pool; a new one by default.

    Attributes
    ----------
    name
        The GPU's.
    capability
        Its compute capability, "9.0".
    number
        As CUDA counts devices.
    failures
        What CuPy raises when the device or its driver fails.

    Raises
    ------
    BackendError
        CuPy or the device is missing; the message says which.
    """

    def __init__(
        self, device_id: int = 0, stream: object = None, pool: object = None
    ) -> None:
        try:
            self._cupy = importlib.import_module("cupy")
        except ImportError as error:
            msg = (
                f"CUDA kernels need CuPy, which does not load ({error}): pip install "
                "'dep[gpu]'"
            )
            raise BackendError(msg) from error
        runtime = self._cupy.cuda.runtime
        try:
            count = int(runtime.getDeviceCount())
        except runtime.CUDARuntimeError as error:
            msg = f"no CUDA device can be used: is there an NVIDIA driver? ({error})"
            raise BackendError(msg) from error
        if not 0 <= device_id < count:
            msg = f"CUDA device {device_id} was asked for, found {count} device(s)"
            raise BackendError(msg)
        try:
            self._device = self._cupy.cuda.Device(device_id)
            with self._device:  # the first use makes a context, which takes memory
                properties = runtime.getDeviceProperties(device_id)
                self._stream: Any = stream or self._cupy.cuda.Stream(non_blocking=True)
        except runtime.CUDARuntimeError as error:
            msg = (
                f"CUDA device {device_id} cannot be opened ({error}): is it full, or "
                "kept by another program?"
            )
            raise BackendError(msg) from error
        # Its own, so that a limit is no other user's of CuPy in this process.
        self._pool: Any = pool or self._cupy.cuda.MemoryPool()
        self.number = device_id
        driver = getattr(self._cupy.cuda, "driver", None)
        self.failures: tuple[type[Exception], ...] = (
            BackendError,
            runtime.CUDARuntimeError,
            *([driver.CUDADriverError] if driver is not None else []),
        )
        self.name = str(properties["name"].decode())
        self.capability = f"{properties['major']}.{properties['minor']}"
        self._files = kernel_files()
        self._modules: dict[Path, Any] = {}

    @contextlib.contextmanager
    def _here(self) -> Iterator[None]:
        """Let CuPy work on this device and stream, with memory of this pool."""
        allocating = self._cupy.cuda.using_allocator(self._pool.malloc)
        with self._device, self._stream, allocating:
            yield

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> DeviceArray:
        """Make a device array of unknown content."""
        with self._here():
            array: DeviceArray = self._cupy.empty(tuple(shape), dtype)
        return array

    def zeros(self, shape: Sequence[int], dtype: DTypeLike) -> DeviceArray:
        """Make a device array of zeros."""
        with self._here():
            array: DeviceArray = self._cupy.zeros(tuple(shape), dtype)
        return array

    def upload(self, host: NDArray[Any]) -> DeviceArray:
        """Copy an array to the device, C-contiguous."""
        with self._here():
            array: DeviceArray = self._cupy.asarray(np.ascontiguousarray(host))
        return array

    def adopt(self, array: OnDevice) -> DeviceArray:
        """Share the memory of another library's array, once it is written.

        Raises
        ------
        ValueError
            It is on another device.
        """
        with self._device, self._stream:
            shared: Any = self._cupy.asarray(array)
            if shared.device.id != self._device.id:
                msg = (
                    f"the array is on CUDA device {shared.device.id}, expected it on "
                    f"device {self._device.id}, where the kernels run"
                )
                raise ValueError(msg)
            # Not every library says which of its streams still writes there.
            self._device.synchronize()
        result: DeviceArray = shared
        return result

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

    def activate(self) -> AbstractContextManager[object]:
        """Make it the device that other libraries use in this thread, for a while."""
        here: AbstractContextManager[object] = self._device
        return here

    @property
    def stream_handle(self) -> int:
        """The stream, as CUDA's own number."""
        return int(self._stream.ptr)

    def sibling(self) -> CupyDevice:
        """Make another stream on the same device."""
        return CupyDevice(self.number, pool=self._pool)

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Make a host array that copies can read while the host goes on."""
        count = int(np.prod(shape, dtype=np.int64))
        size = count * np.dtype(dtype).itemsize
        try:
            with self._device:
                memory = self._cupy.cuda.alloc_pinned_memory(size)
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            msg = f"{size} bytes of pinned memory: {error}"
            raise MemoryError(msg) from error
        return np.frombuffer(memory, dtype, count).reshape(tuple(shape))

    def pointer(self, array: DeviceArray) -> int:
        """Give an array's address."""
        there: Any = array
        return int(there.data.ptr)

    def copy_in(self, array: DeviceArray, host: NDArray[Any]) -> None:
        """Queue a copy from a pinned array, which must not change until it is done."""
        there: Any = array
        with self._device:
            there.data.copy_from_host_async(host.ctypes.data, host.nbytes, self._stream)

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """Queue a copy between two device arrays that do not overlap."""
        to: Any = target
        came: Any = source
        with self._device:
            to.data.copy_from_device_async(came.data, source.nbytes, self._stream)

    def record(self) -> Any:  # noqa: ANN401 - CuPy has no types
        """Mark the end of all work given so far."""
        with self._device:
            event = self._cupy.cuda.Event(disable_timing=True)
            event.record(self._stream)
        return event

    def wait(self, event: Any) -> None:  # noqa: ANN401
        """Let what comes next on this stream wait for an event; the host goes on."""
        self._stream.wait_event(event)

    def finish(self, event: Any) -> None:  # noqa: ANN401
        """Let the host wait for an event."""
        with self._device:
            event.synchronize()

    def capture(self, work: Callable[[], None]) -> Any:  # noqa: ANN401
        """Record what `work` queues on this stream, to be queued again at no cost."""
        with self._device, self._stream:
            self._stream.begin_capture()
            try:
                work()
            except BaseException:
                # The stream must not be left recording; what it says then is no news.
                with contextlib.suppress(*self.failures):
                    self._stream.end_capture()
                raise
            return self._stream.end_capture()

    def replay(self, graph: Any) -> None:  # noqa: ANN401
        """Queue what was recorded; its arrays must still be there."""
        with self._device:
            graph.launch(self._stream)

    def limit_memory(self, size: int | None) -> None:
        """Never take more than `size` bytes for arrays; None: all there is."""
        with self._device:
            # CuPy takes 0 for "no limit".
            self._pool.set_limit(size=size or 0)

    def release_memory(self) -> None:
        """Give what no array uses any more back to the other programs on the device."""
        with self._device:
            self._pool.free_all_blocks()
            self._cupy.get_default_pinned_memory_pool().free_all_blocks()

    def _function(self, kernel: str) -> Callable[..., None]:
        path = self._files[kernel]
        function: Callable[..., None]
        try:
            if path not in self._modules:
                self._modules[path] = self._cupy.RawModule(
                    code=_source(path), options=_OPTIONS
                )
            function = self._modules[path].get_function(kernel)
        except (
            ImportError,
            RuntimeError,  # NVRTC or CUDA's headers missing
            self._cupy.cuda.compiler.CompileException,
        ) as error:
            msg = (
                f"CuPy cannot compile {path.name} for {self.name} ({error}). It needs "
                "NVRTC and the headers of its CUDA version: install the CUDA toolkit, "
                "or pip install 'cupy-cuda13x[ctk]'"
            )
            raise BackendError(msg) from error
        return function


def _source(path: Path) -> str:
    """Read a source; what it includes goes into CuPy's cache key by a comment.

    CuPy keeps what it compiled on disk under a digest of the source and its own
    headers. After an update that changed one of ours only, it would run the old one.
    """
    digest = hashlib.sha256()
    for header in sorted(path.parent.glob("*.cuh")):
        digest.update(header.read_bytes())
    return f"{path.read_text(encoding='utf-8')}// headers: {digest.hexdigest()}\n"


@functools.cache
def default_device() -> CupyDevice:
    """Give the first device, with its kernels compiled once for the whole process.

    Raises
    ------
    BackendError
        CuPy or the device is missing; the message says which.
    """
    return CupyDevice()
