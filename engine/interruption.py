"""Wait for the work of other threads in a way that a stop, or Ctrl-C, ends soon."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dep.engine.choices import Check
from dep.engine.runtime.protocol import Runtime

# Seconds between two looks whether to stop. What is waited for ends a wait at once, so
# that only a stop can be this late.
PATIENCE = 0.05

T = TypeVar("T")


def go_on() -> None:
    """Check nothing: the work is not to be stopped."""


def result_of(work: Future[T], check: Check) -> T:
    """Wait for work of another thread, and give its result or raise its error.

    Parameters
    ----------
    work : Future
        Submitted already.
    check : callable
        Called every few hundredths of a second; what it raises is raised here, and the
        work goes on.
    """
    while not wait([work], PATIENCE).done:
        check()
    return work.result()


@contextlib.contextmanager
def held(lock: threading.Lock, check: Check) -> Iterator[None]:
    """Hold a lock; `check` may give up waiting for it, as in `result_of`."""
    while not lock.acquire(timeout=PATIENCE):
        check()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def interruptible(
    runtime: Runtime, check: Check
) -> Iterator[Callable[[NDArray[np.float32]], NDArray[Any]]]:
    """Give a runtime's `infer` that a stop, or Ctrl-C, ends soon.

    It computes in a thread of its own: Python handles a signal in the main thread only,
    and there not before a call that computes has returned. Handing over takes less
    than a tenth of a millisecond. Whatever ends the block with an exception interrupts
    the network, and the block is left when it has let go of its buffers.

    Parameters
    ----------
    runtime : Runtime
        Nobody else may use it meanwhile.
    check : callable
        As in `result_of`.
    """
    with ThreadPoolExecutor(1, "dep-network") as thread:

        def infer(tiles: NDArray[np.float32]) -> NDArray[Any]:
            return result_of(thread.submit(runtime.infer, tiles), check)

        try:
            yield infer
        except BaseException:
            idle = thread.submit(go_on)  # runs once what is computed now has ended
            while not idle.done():
                # Again and again: it does nothing to a network that has yet to begin.
                runtime.interrupt()
                wait([idle], PATIENCE)
            raise
