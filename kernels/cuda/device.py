"""What the CUDA twins need of a device: memory, copies and launches in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import DTypeLike, NDArray

SOURCES = Path(__file__).parent / "src"
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([\d, ]+\)\s+)?(\w+)\('
)


class DeviceArray(Protocol):
    """An array on a device; C-contiguous."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the items."""

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""

    def __getitem__(self, key: slice) -> DeviceArray:
        """Give a part along the first axis, of the same memory."""


class OnDevice(Protocol):
    """An array of any library that shares its memory: CuPy, PyTorch, Numba, JAX."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Address, shape and type of the items."""


class Device(Protocol):
    """One CUDA device and one stream on it; all work runs in the order given.

    Attributes
    ----------
    name
        The device, in words.
    """

    name: str

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> DeviceArray:
        """Make a device array of unknown content."""

    def zeros(self, shape: Sequence[int], dtype: DTypeLike) -> DeviceArray:
        """Make a device array of zeros."""

    def upload(self, host: NDArray[Any]) -> DeviceArray:
        """Copy an array to the device, C-contiguous."""

    def adopt(self, array: OnDevice) -> DeviceArray:
        """Share the memory of another library's array, once it is written."""

    def download(self, array: DeviceArray) -> NDArray[Any]:
        """Wait for all work given so far and copy an array to the host."""

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: tuple[DeviceArray | np.generic, ...],
        shared: int = 0,
    ) -> None:
        """Queue a kernel: device arrays, and NumPy scalars of the exact type.

        `shared` is the number of bytes of dynamic shared memory of a block.
        """

    def synchronize(self) -> None:
        """Wait for all work given so far."""


class Event(Protocol):
    """A point in the work of a stream."""


class Graph(Protocol):
    """Work that was recorded instead of queued."""


class StreamDevice(Device, Protocol):
    """A device with what a network needs beside kernels: streams that overlap.

    Attributes
    ----------
    capability
        Compute capability, "9.0".
    number
        As CUDA counts devices.
    failures
        Exceptions of the device and its driver: what it does is lost.
    """

    capability: str
    number: int
    failures: tuple[type[Exception], ...]

    def activate(self) -> AbstractContextManager[object]:
        """Make it the device that other libraries use in this thread, for a while."""

    @property
    def stream_handle(self) -> int:
        """The stream, as CUDA's own number."""

    def sibling(self) -> StreamDevice:
        """Make another stream on the same device."""

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Make a host array that copies can read while the host goes on."""

    def pointer(self, array: DeviceArray) -> int:
        """Give an array's address."""

    def copy_in(self, array: DeviceArray, host: NDArray[Any]) -> None:
        """Queue a copy from a pinned array, which must not change until it is done."""

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """Queue a copy between two device arrays that do not overlap."""

    def record(self) -> Event:
        """Mark the end of all work given so far."""

    def wait(self, event: Event) -> None:
        """Let what comes next on this stream wait for an event; the host goes on."""

    def finish(self, event: Event) -> None:
        """Let the host wait for an event."""

    def capture(self, work: Callable[[], None]) -> Graph:
        """Record what `work` queues on this stream, to be queued again at no cost."""

    def replay(self, graph: Graph) -> None:
        """Queue what was recorded; its arrays must still be there."""

    def limit_memory(self, size: int | None) -> None:
        """Never take more than `size` bytes for arrays; None: all there is."""

    def release_memory(self) -> None:
        """Give what no array uses any more back to the other programs on the device."""


def kernel_files(folder: Path = SOURCES) -> dict[str, Path]:
    """Name every kernel of `folder` with the source file that holds it.

    Raises
    ------
    ValueError
        When two files define a kernel of one name: a launch could not say which.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.cu")):
        for name in _KERNEL.findall(path.read_text(encoding="utf-8")):
            if name in found:
                msg = f"kernel {name} is in both {found[name]} and {path}: rename one"
                raise ValueError(msg)
            found[name] = path
    return found
