"""MP-NMS on a CUDA device: the launches that make candidates of a label volume.

Kernels and what they are for: `src/nms.cu`. Arguments were checked by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dep.kernels.cuda.device import Device, DeviceArray

CELL, ACROSS, WORDS = 8, 4, 8  # as in nms.cu
BRICK = (8, 6, 30)  # z, y, x
MOST_32, MOST = 6, 13
PEAK_BYTES = 8 + 27 * 8 + 2 * 4
BRICKS, _NEXT_32, _NEXT_64, FOUND, UNLISTED = range(5)
NOTHING_UNLISTED = 256
ROOM = 1 << 14  # candidates; a tomogram has a few thousand
SEARCHERS = 2048  # blocks that take bricks in turn: a few for each multiprocessor


def trinomials() -> NDArray[np.int64]:
    """Weights of n box sums of three by distance from the centre: (n, distance)."""
    table = np.zeros((MOST + 1, MOST + 1), np.int64)
    line = np.ones(1, np.int64)
    for n in range(MOST + 1):
        table[n, : n + 1] = line[n:]
        line = np.convolve(line, np.ones(3, np.int64))
    return table


@dataclass(frozen=True)
class Search:
    """What to look for: see `dep.kernels.mp_nms`.

    Attributes
    ----------
    iterations
        n for each of the 256 labels, 0 where a class has none; all equal when joint.
    thresholds
        For each n the smallest S of a candidate.
    core
        First and one past the last plane to report.
    z_origin
        z of the array's first plane in the tomogram.
    """

    iterations: Sequence[int]
    thresholds: Sequence[int]
    core: tuple[int, int]
    joint: bool
    refine: bool
    z_origin: int = 0


@dataclass(frozen=True)
class Pending:
    """A search that is queued: what it works on, and where its findings will be."""

    labels: DeviceArray
    probability: DeviceArray | None
    core: tuple[int, int]
    z_origin: int
    state: DeviceArray
    found: DeviceArray
    room: int


class CudaNms:
    """MP-NMS on one device; tables are uploaded once, buffers kept from call to call.

    Parameters
    ----------
    device : Device
        Where to work. All calls queue on its stream.
    search : Search
        Iterations, thresholds, joint and refine; `core` and `z_origin` are defaults.
    record : numpy.dtype
        Of a candidate, as `dep.kernels.candidates` reads it.
    """

    def __init__(self, device: Device, search: Search, record: np.dtype[Any]) -> None:
        self._device = device
        self._search = search
        self._record = record
        self._iterations = device.upload(np.array(search.iterations, np.uint8))
        self._thresholds = device.upload(np.array(search.thresholds, np.int64))
        self._trinomial = device.upload(trinomials())
        self._room = ROOM
        self._nothing = device.zeros((1,), np.uint8)  # for a probability that is not

    def __call__(
        self,
        labels: DeviceArray,
        probability: DeviceArray | None,
        core: tuple[int, int] | None = None,
        z_origin: int | None = None,
    ) -> NDArray[Any] | int:
        """Find the candidates of a label volume on the device.

        Parameters
        ----------
        labels, probability : device arrays (z, y, x) uint8
            C-contiguous.
        core, z_origin : optional
            Instead of the search's own.

        Returns
        -------
        (n,) records, or int
            Ordered by linear index, then class; or the smallest class without
            iterations.
        """
        return self.collect(self.begin(labels, probability, core, z_origin))

    def begin(
        self,
        labels: DeviceArray,
        probability: DeviceArray | None,
        core: tuple[int, int] | None = None,
        z_origin: int | None = None,
    ) -> Pending | None:
        """Queue the search of a label volume; `collect` waits for what it finds.

        The arrays must stay as they are until then. None where there are no voxels.
        """
        if 0 in labels.shape:
            return None
        core = self._search.core if core is None else core
        z_origin = self._search.z_origin if z_origin is None else z_origin
        state, found = self._launch(labels, probability, core, z_origin)
        return Pending(labels, probability, core, z_origin, state, found, self._room)

    def collect(self, pending: Pending | None) -> NDArray[Any] | int:
        """Wait for a search; see `__call__` for what it gives."""
        if pending is None:
            return np.empty(0, self._record)
        numbers = self._device.download(pending.state)
        if numbers[UNLISTED] != NOTHING_UNLISTED:
            return int(numbers[UNLISTED])
        count = int(numbers[FOUND])
        if count > pending.room:  # more than anyone expects: once more, with room
            self._room = max(self._room, count)
            return self.collect(
                self.begin(
                    pending.labels, pending.probability, pending.core, pending.z_origin
                )
            )
        if count == 0:
            return np.empty(0, self._record)
        size = count * self._record.itemsize
        candidates = self._device.download(pending.found[:size]).view(self._record)
        order = np.lexsort((candidates["class_id"], candidates["index"]))
        sorted_: NDArray[Any] = candidates[order]
        return sorted_

    def _launch(
        self,
        labels: DeviceArray,
        probability: DeviceArray | None,
        core: tuple[int, int],
        z_origin: int,
    ) -> tuple[DeviceArray, DeviceArray]:
        device, search = self._device, self._search
        shape = labels.shape
        cells = tuple(-(-size // CELL) for size in shape)
        extent = (max(core[1] - core[0], 0), *shape[1:])
        bricks = tuple(
            -(-size // edge) for size, edge in zip(extent, BRICK, strict=True)
        )
        number = int(np.prod(bricks, dtype=np.int64))
        start = np.zeros(5, np.int32)
        start[UNLISTED] = NOTHING_UNLISTED
        state = device.upload(start)
        held = device.empty((*cells, WORDS), np.uint32)
        some = device.empty(cells, np.uint8)
        size = tuple(np.int32(n) for n in shape)
        listed = [n for n in search.iterations if n]
        device.launch(
            "nms_cells",
            (-(-cells[2] // ACROSS), cells[1], cells[0]),
            (ACROSS, CELL, CELL),
            (
                labels,
                *size,
                self._iterations,
                held,
                some,
                np.int32(cells[1]),
                np.int32(cells[2]),
                state,
            ),
        )
        found = device.empty((self._room * self._record.itemsize,), np.uint8)
        if number == 0:
            return state, found
        bricks_list = device.empty((number,), np.uint32)
        device.launch(
            "nms_bricks",
            (-(-number // 256), 1, 1),
            (256, 1, 1),
            (
                some,
                *size,
                np.int32(cells[1]),
                np.int32(cells[2]),
                np.int32(core[0]),
                np.int32(core[1]),
                np.int32(bricks[1]),
                np.int32(bricks[2]),
                np.int64(number),
                np.int32(max(listed)),
                bricks_list,
                state,
            ),
        )
        peaks = device.empty((self._room * PEAK_BYTES,), np.uint8)
        for kernel, served in (
            ("nms_search_32", [n for n in listed if n <= MOST_32]),
            ("nms_search_64", [n for n in listed if n > MOST_32]),
        ):
            if served:
                device.launch(
                    kernel,
                    (min(number, SEARCHERS), 1, 1),
                    (32, 8, 1),
                    (
                        labels,
                        *size,
                        np.int32(core[0]),
                        np.int32(core[1]),
                        held,
                        np.int32(cells[1]),
                        np.int32(cells[2]),
                        np.int32(bricks[1]),
                        np.int32(bricks[2]),
                        bricks_list,
                        np.int32(search.joint),
                        np.int32(max(served)),
                        self._iterations,
                        self._trinomial,
                        self._thresholds,
                        peaks,
                        np.int32(self._room),
                        state,
                    ),
                )
        device.launch(
            "nms_measure",
            (min(self._room, SEARCHERS), 1, 1),
            (128, 1, 1),
            (
                labels,
                self._nothing if probability is None else probability,
                np.int32(probability is not None),
                *size,
                np.int64(z_origin),
                np.int32(search.joint),
                np.int32(search.refine),
                self._trinomial,
                peaks,
                np.int32(self._room),
                found,
                state,
            ),
        )
        return state, found
