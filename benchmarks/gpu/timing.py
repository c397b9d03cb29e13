"""Times work on the device's own clock, and what the card copies at best.

What is queued from an idle device waits for the host between launches. So the device is
kept busy first, while the host queues: then events say what the device takes. What a
caller waits for, host and all, is `call_ms`.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

# Bytes of the copies that keep the device busy: about 5 ms on a card of 3 TB/s, and
# more than any cache, so that what is timed finds its data in memory.
BUSY_BYTES = 1 << 28
BUSY_TIMES = 24
COPY_BYTES = 1 << 30


def rounds_for(first: float, seconds: float, most: int = 30, least: int = 5) -> int:
    """Say how often to repeat what took `first` seconds, in `seconds` or so."""
    if first <= 0:
        return most
    return max(least, min(most, int(seconds / first)))


def median_call(
    work: Callable[[], object], seconds: float = 0.5, most: int = 30
) -> float:
    """Give the median milliseconds of a call that waits for its result."""
    begin = time.perf_counter()
    work()
    first = time.perf_counter() - begin
    took = []
    for _ in range(rounds_for(first, seconds, most)):
        begin = time.perf_counter()
        work()
        took.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(took)


class Clock:
    """The device's clock, on one of CuPy's streams.

    Parameters
    ----------
    cupy
        The module.
    stream
        That the work is queued on.
    busy
        Whether `busy` will be called: it takes memory.
    """

    def __init__(self, cupy: Any, stream: Any, *, busy: bool = True) -> None:  # noqa: ANN401
        self._cupy = cupy
        self._stream = stream
        if busy:
            with stream:
                self._from = cupy.zeros(BUSY_BYTES, "u1")
                self._to = cupy.empty_like(self._from)

    def mark(self) -> Any:  # noqa: ANN401 - an event of CuPy's
        """Mark a moment."""
        event = self._cupy.cuda.Event()
        event.record(self._stream)
        return event

    def between(self, begin: Any, end: Any) -> float:  # noqa: ANN401
        """Give the milliseconds between two moments, once both are past."""
        end.synchronize()
        return float(self._cupy.cuda.get_elapsed_time(begin, end))

    def busy(self) -> None:
        """Give the device something to do while the host queues."""
        for _ in range(BUSY_TIMES):
            self._to.data.copy_from_device_async(
                self._from.data, BUSY_BYTES, self._stream
            )

    def copy_rate(self) -> float:
        """Measure the bytes a second, read and written, of the best of ten copies."""
        cupy, stream = self._cupy, self._stream
        free = cupy.cuda.runtime.memGetInfo()[0]
        size = min(COPY_BYTES, free // 8)
        with stream:
            source, target = cupy.zeros(size, "u1"), cupy.empty(size, "u1")
        best = float("inf")
        for _ in range(11):
            begin = self.mark()
            target.data.copy_from_device_async(source.data, size, stream)
            best = min(best, self.between(begin, self.mark()))
        return 2 * size / best * 1e3


class TimedDevice:
    """A device whose launches are timed, each kernel by its name.

    Parameters
    ----------
    device
        Does the work.
    mark, between
        As `Clock`'s.
    """

    def __init__(
        self,
        device: Any,  # noqa: ANN401 - a dep.kernels.cuda.Device
        mark: Callable[[], Any],
        between: Callable[[Any, Any], float],
    ) -> None:
        self._device = device
        self._mark = mark
        self._between = between
        self._launches: list[tuple[str, Any, Any]] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._device, name)

    def launch(self, kernel: str, *launched: object, **more: object) -> None:
        """Queue a kernel between two marks."""
        begin = self._mark()
        self._device.launch(kernel, *launched, **more)
        self._launches.append((kernel, begin, self._mark()))

    def taken(self) -> dict[str, float]:
        """Give the milliseconds of each kernel since the last time, all launches."""
        total: defaultdict[str, float] = defaultdict(float)
        for kernel, begin, end in self._launches:
            total[kernel] += self._between(begin, end)
        self._launches.clear()
        return dict(total)


def medians(every: list[dict[str, float]]) -> dict[str, float]:
    """Give the median of each name over rounds; one that is missing counts as 0."""
    names = list(dict.fromkeys(name for one in every for name in one))
    return {
        name: statistics.median(one.get(name, 0.0) for one in every) for name in names
    }


def kernel_times(
    clock: Clock, timed: TimedDevice, work: Callable[[], object], rounds: int = 15
) -> dict[str, float]:
    """Give the median milliseconds of each kernel that `work` launches on `timed`."""

    def each() -> Iterator[dict[str, float]]:
        for number in range(rounds + 2):
            clock.busy()
            work()
            taken = timed.taken()
            if number >= 2:  # before that things are compiled and allocated
                yield taken

    return medians(list(each()))
