"""A network on a GPU: copies, computing and what comes after overlap on two streams.

    host      fill 0 | fill 1 | fill 0 | ...            (pinned, two buffers)
    stream A           copy 0 | copy 1 | copy 0 | ...
    stream B                   net 0, assemble | net 1, assemble | ...

The scores of a batch stay on the device, where the assemble kernel takes them on stream
B; nothing comes back to the host but candidates. What computes the network is behind
`DeviceNetwork`: TensorRT, or ONNX Runtime.
"""

import contextlib
import logging
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ModelCard
from dep.engine.errors import DeviceError
from dep.engine.runtime.device_network import SCORE_TYPES, DeviceNetwork
from dep.kernels.cuda.device import DeviceArray, Event, StreamDevice

log = logging.getLogger(__name__)

MIB = 1 << 20
BUFFERS = 2
# Of a memory limit this part is left for label slabs and the search in them, whose size
# depends on the tomogram (100 MB for 512 x 512 voxels in x and y).
SLABS_PART = 1 / 8


class GpuRuntime:
    """A network on a device, with its buffers; see `Runtime` for what it offers.

    Parameters
    ----------
    network : DeviceNetwork
        Closed with the runtime.
    device : StreamDevice
        Its stream computes; a sibling copies.
    card : ModelCard
        Of the network.
    batch : int
        Tiles at once, if memory allows.
    threads : int
        For what remains on the processor.
    memory : int, optional
        MiB that may be taken; the batch is made to fit.

    Raises
    ------
    DeviceError
        Not even the smallest batch fits.
    """

    device = "cuda"
    free = False  # its buffers are made once, for cubes

    def __init__(
        self,
        network: DeviceNetwork,
        device: StreamDevice,
        card: ModelCard,
        *,
        batch: int,
        threads: int,
        memory: int | None = None,
    ) -> None:
        self.name = f"{network.name} on {device.name}"
        self.precision = network.precision
        self.threads = threads
        self.gpu = device
        self.scores = network.scores
        self._network: DeviceNetwork | None = network
        self._copier = device.sibling()
        self._limited = memory is not None
        self._tile = (1, card.tile, card.tile, card.tile)
        self._score = (card.channels, card.tile, card.tile, card.tile)
        self._remarks: list[str] = []
        self._staging: list[NDArray[np.float32]] = []
        self._tiles: list[DeviceArray] = []
        self._given: list[DeviceArray] = []
        self.batch = 0
        try:
            with self.explained():
                self._release()
                self.batch = self._fit(batch, memory)
                if memory is not None:
                    device.limit_memory(memory * MIB - network.outside)
                try:
                    self._allocate()
                    self._try_out()
                except MemoryError:
                    self.halve("its buffers")
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the device or its driver raises into a `DeviceError`."""
        try:
            yield
        except self.gpu.failures as error:
            message = f"{self.name} failed: {error}"
            raise DeviceError(message) from error

    def _fit(self, batch: int, memory: int | None) -> int:
        """Choose the largest batch, at most the one asked for, that fits the memory."""
        network = self._open()
        batch = max(network.least, min(batch, network.most))
        if memory is None:
            return batch
        room = (1 - SLABS_PART) * memory * MIB
        for size in range(batch, network.least - 1, -1):
            if self._needs(size) <= room:
                if size < batch:
                    self._remark(
                        f"a batch of {size} instead of {batch} fits {memory} MiB"
                    )
                return size
        message = (
            f"{memory} MiB of GPU memory were allowed; a batch of {network.least} "
            f"needs {self._wanted(network.least)} MiB. Allow more, or export the model "
            "with a smaller tile."
        )
        raise DeviceError(message)

    def _wanted(self, batch: int) -> int:
        """Say how many MiB would do."""
        return math.ceil(self._needs(batch) / (1 - SLABS_PART) / MIB)

    def _needs(self, batch: int) -> int:
        tile, score = (int(np.prod(shape)) for shape in (self._tile, self._score))
        item = np.dtype(SCORE_TYPES[self.scores]).itemsize
        buffers = BUFFERS * batch * (4 * tile + item * score)
        network = self._open()
        return network.outside + network.nbytes(batch) + buffers

    def _allocate(self) -> None:
        gpu, shape = self.gpu, (self.batch, *self._tile)
        kind = SCORE_TYPES[self.scores]
        self._staging = [gpu.pinned(shape, np.float32) for _ in range(BUFFERS)]
        self._tiles = [gpu.empty(shape, np.float32) for _ in range(BUFFERS)]
        self._given = [
            gpu.empty((self.batch, *self._score), kind) for _ in range(BUFFERS)
        ]

    def _try_out(self) -> None:
        """Compute once: what allocates on first use does it now."""
        self._staging[0][...] = 0
        self.submit(0, self.batch)
        self.gpu.synchronize()

    def halve(self, wanted: str) -> None:
        """Make do with half the batch, once memory has run out.

        Raises
        ------
        DeviceError
            The batch is as small as the network takes, or memory runs out again.
        """
        network = self._open()
        if self.batch // 2 < network.least:
            message = (
                f"the GPU has not enough memory for {wanted}, with a batch of "
                f"{self.batch}. End other programs on it, or export the model with a "
                "smaller tile."
            )
            raise DeviceError(message)
        self._release()
        self.batch //= 2
        self._remark(
            f"not enough GPU memory for {wanted}: going on with a batch of {self.batch}"
        )
        try:
            self._allocate()
            self._try_out()
        except MemoryError as error:
            message = (
                f"the GPU has not enough memory for {wanted}, not even with a batch of "
                f"{self.batch}. End other programs on it, or export the model with a "
                "smaller tile."
            )
            raise DeviceError(message) from error

    def remarks(self) -> tuple[str, ...]:
        """Take what users should know, and was not taken yet."""
        remarks = tuple(self._remarks)
        self._remarks.clear()
        return remarks

    def _remark(self, words: str) -> None:
        log.info("%s: %s", self.name, words)
        self._remarks.append(f"{self.name}: {words}")

    def staging(self, number: int) -> NDArray[np.float32]:
        """Give the host buffer (batch, 1, N, N, N) of a batch, once it may be filled.

        Parameters
        ----------
        number : int
            Of the batch, counted from 0. Waits for the copy of the batch before the
            last one, which lies in the same memory.
        """
        self._open()
        slot = number % BUFFERS
        copied = self._copied[slot]
        if copied is not None:
            self._copier.finish(copied)
        return self._staging[slot]

    def submit(self, number: int, count: int) -> DeviceArray:
        """Queue the network on the first `count` tiles of a batch's staging buffer.

        Returns
        -------
        device array (at least count, C, N, N, N)
            Scores, once the device's stream comes to it. Valid for what is queued on
            that stream before the second next call.
        """
        network, slot = self._open(), number % BUFFERS
        size = max(count, network.least)
        tiles, scores = self._tiles[slot][:size], self._given[slot][:size]
        computed = self._computed[slot]
        if computed is not None:  # the tiles there are still being computed with
            self._copier.wait(computed)
        self._copier.copy_in(tiles, self._staging[slot][:size])
        copied = self._copied[slot] = self._copier.record()
        self.gpu.wait(copied)
        network.enqueue(self.gpu, tiles, scores)
        self._computed[slot] = self.gpu.record()
        return scores

    def infer(self, tiles: NDArray[np.float32]) -> NDArray[Any]:
        """Compute scores and fetch them; see `Runtime.infer`."""
        try:
            with self.explained():
                staging = self.staging(0)
                staging[: len(tiles)] = tiles
                scores = self.gpu.download(self.submit(0, len(tiles)))[: len(tiles)]
        except MemoryError as error:
            message = f"the GPU has not enough memory: {error}"
            raise DeviceError(message) from error
        if self.scores == "bf16":
            wide: NDArray[Any] = (scores.astype(np.uint32) << 16).view(np.float32)
            return wide
        return scores

    def interrupt(self) -> None:
        """Do nothing; see `Runtime.interrupt`.

        A batch is a matter of milliseconds here, and what is queued on a device cannot
        be taken back: whoever stops, stops between two batches.
        """

    def _open(self) -> DeviceNetwork:
        if self._network is None:
            message = "the model is closed"
            raise DeviceError(message)
        return self._network

    def _release(self) -> None:
        """Let go of all buffers, once nothing is queued that uses them."""
        self._copier.synchronize()
        self.gpu.synchronize()
        self._forget()

    def _forget(self) -> None:
        self._staging = []
        self._tiles = []
        self._given = []
        self._copied: list[Event | None] = [None] * BUFFERS
        self._computed: list[Event | None] = [None] * BUFFERS
        if self._network is not None:
            self._network.release()
        self.gpu.release_memory()

    def close(self) -> None:
        """Release network and buffers, once the device is done with them.

        Of a device that has failed nothing more is said: what used it has told.
        """
        if self._network is None:
            return
        failed = contextlib.suppress(*self.gpu.failures)
        with failed:
            self._copier.synchronize()
        with failed:
            self.gpu.synchronize()
        with failed:
            self._forget()
        network, self._network = self._network, None
        with failed:
            network.close()
        with failed:
            if self._limited:
                self.gpu.limit_memory(None)
            self.gpu.release_memory()
