"""A GPU that does what is queued late, early or in between, as a real one may.

Nothing that is queued runs at once. Streams are queues; whenever the host calls, a few
operations run, drawn at random from the heads of all streams, and the rest runs when
the host waits. A missing event, a buffer that is filled again too soon and memory that
is let go too soon therefore change results. Kernels are those of the shim: the .cu
files, compiled for the processor.
"""

import itertools
import random
import threading
import weakref
from collections import deque
from contextlib import nullcontext

import numpy as np


class DriverError(RuntimeError):
    """What the driver raises when the device fails."""


class SimulatedEvent:
    def __init__(self):
        self.done = False


class SimulatedGpu:
    """What all streams of one device share.

    Parameters
    ----------
    shim
        Module `shim_device`.
    libraries
        Compiled kernels.
    seed
        Of the order in which things happen.
    eager
        How many operations run at most whenever the host calls; 0: none before it
        waits.
    memory
        Bytes that arrays may take.
    """

    def __init__(self, shim, libraries, seed=0, eager=3, memory=None):
        self.kernels = shim.ShimDevice(libraries)
        self.order = random.Random(seed)
        self.eager = eager
        self.memory = memory
        self.pool_limit = None
        self.used = self.most_used = 0
        self.streams = []
        self.released = 0
        self.dead = None  # a message: the device has failed
        self.lock = threading.RLock()  # the host has a thread that reads

    def stream(self):
        made = SimulatedStream(self)
        self.streams.append(made)
        return made

    def account(self, array):
        """Count an array's memory until nobody holds it."""
        limits = [one for one in (self.memory, self.pool_limit) if one is not None]
        if limits and self.used + array.nbytes > min(limits):
            # The shim keeps what it made; this one is not wanted.
            self.kernels.forget()
            message = f"out of memory allocating {array.nbytes} bytes"
            raise MemoryError(message)
        self.used += array.nbytes
        self.most_used = max(self.most_used, self.used)
        weakref.finalize(array, self._free, array.nbytes)
        return array

    def _free(self, size):
        self.used -= size

    def ready(self):
        """Streams whose next operation can run."""
        return [one for one in self.streams if one.queue and one.can_run()]

    def some(self):
        """Run a few operations, as time passes while the host works."""
        with self.lock:
            for _ in range(self.order.randint(0, self.eager)):
                ready = self.ready()
                if not ready:
                    break
                self.order.choice(ready).run_one()

    def until(self, done):
        """Run what is queued, in some order, until something is done."""
        with self.lock:
            while not done():
                ready = self.ready()
                assert ready, "the host waits for what never happens"
                self.order.choice(ready).run_one()
        if self.dead:
            raise DriverError(self.dead)


class SimulatedStream:
    """One stream; a `StreamDevice`."""

    name = "a simulated GPU"
    capability = "9.0"
    number = 0
    failures = (DriverError,)
    handles = itertools.count(1)

    def __init__(self, gpu):
        self.gpu = gpu
        self.queue = deque()
        self.stream_handle = next(self.handles)
        self.recording = None

    # What runs when.

    def can_run(self):
        event = self.queue[0][1]
        return event is None or event.done

    def run_one(self):
        work, _ = self.queue.popleft()
        if (work is not None and not self.gpu.dead) or (
            work is not None and getattr(work, "marks", False)
        ):
            work()

    def put(self, work):
        if self.recording is not None:
            self.recording.append(work)
            return
        with self.gpu.lock:
            self.queue.append((work, None))
        self.gpu.some()

    def synchronize(self):
        self.gpu.until(lambda: not self.queue)

    def record(self):
        event = SimulatedEvent()

        def mark():
            event.done = True

        mark.marks = True
        self.put(mark)
        return event

    def wait(self, event):
        with self.gpu.lock:
            self.queue.append((None, event))

    def finish(self, event):
        self.gpu.until(lambda: event.done)

    def capture(self, work):
        self.recording = []
        try:
            work()
            return self.recording
        finally:
            self.recording = None

    def replay(self, graph):
        for work in graph:
            self.put(work)

    # Memory.

    def empty(self, shape, dtype):
        return self.gpu.account(self.gpu.kernels.empty(shape, dtype))

    def zeros(self, shape, dtype):
        array = self.empty(shape, dtype)
        self.put(lambda: array.fill(0))
        return array

    def upload(self, host):
        array = self.empty(host.shape, host.dtype)
        copied = np.array(host)  # staged, as CUDA does with pageable memory
        self.put(lambda: np.copyto(array, copied))
        return array

    def download(self, array):
        self.synchronize()
        return np.array(array, subok=False)

    def pinned(self, shape, dtype):
        return np.full(shape, np.nan, dtype)

    def copy_in(self, array, host):
        assert array.shape == host.shape
        self.put(lambda: np.copyto(array, host))  # what is there when its turn comes

    def copy(self, target, source):
        assert target.shape == source.shape
        assert not np.shares_memory(target, source)
        self.put(lambda: np.copyto(target, source))

    def pointer(self, array):
        return array.ctypes.data

    def limit_memory(self, size):
        self.gpu.pool_limit = size

    def release_memory(self):
        self.gpu.released += 1

    def launch(self, kernel, grid, block, args, shared=0):
        self.put(lambda: self.gpu.kernels.launch(kernel, grid, block, args, shared))

    def activate(self):
        return nullcontext()

    def sibling(self):
        return self.gpu.stream()


class SimulatedNetwork:
    """A `DeviceNetwork` that computes a NumPy function when its turn comes.

    Parameters
    ----------
    function
        Tiles (b, 1, N, N, N) -> scores (b, C, N, N, N).
    kind
        Type of the scores.
    least, most
        Tiles at once.
    workspace
        Bytes of the pool that a tile takes; allocated when a batch grows.
    fails
        Number of a call -> exception that it raises; or a message that the device dies
        with when the call's turn comes.
    """

    name = "simulated 1"
    precision = "f32"

    def __init__(
        self, function, kind="f32", least=1, most=64, workspace=0, outside=0, fails=None
    ):
        self.function = function
        self.scores = kind
        self.least, self.most = least, most
        self.workspace, self.outside = workspace, outside
        self.fails = fails or {}
        self.calls = self.closed = 0
        self.batches = []
        self.held = None

    def nbytes(self, batch):
        return self.workspace * batch

    def enqueue(self, device, tiles, scores):
        assert not self.closed
        assert self.least <= tiles.shape[0] <= self.most
        assert tiles.shape[0] == scores.shape[0]
        self.calls += 1
        self.batches.append(tiles.shape[0])
        failure = self.fails.get(self.calls)
        if isinstance(failure, BaseException):
            raise failure
        wanted = self.nbytes(tiles.shape[0])
        if wanted and (self.held is None or self.held.nbytes < wanted):
            self.held = None
            self.held = device.empty((wanted,), np.uint8)

        def compute():
            assert not self.closed, "the network was closed while it was computing"
            if failure is not None:
                device.gpu.dead = failure
                return
            given = self.function(np.array(tiles, subok=False))
            if self.scores == "bf16":
                bits = given.astype(np.float32).view(np.uint32)
                given = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
            np.copyto(scores, given.astype(scores.dtype))

        device.put(compute)

    def release(self):
        self.held = None

    def close(self):
        assert not self.closed, "closed twice"
        self.closed = 1
