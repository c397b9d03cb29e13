"""Labels on a GPU: the slab of `dep.engine.slab`, and its search, without a copy down.

Two slabs take turns. While one is searched, the planes that are still needed are copied
to the other, which the next layer of tiles is written to; so the host never waits for a
search before it has queued the next batch.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.settings import PickSettings
from dep.engine.slab import Finished, Layers
from dep.engine.tiles import Tile, TilePlan
from dep.kernels import Candidates, DeviceSearch
from dep.kernels.cuda.assemble import ScoreType, assemble
from dep.kernels.cuda.device import DeviceArray, StreamDevice

if TYPE_CHECKING:
    from dep.kernels.cuda.nms import Pending


class DeviceSlab:
    """Takes scores of tiles in order, on the device; gives candidates.

    Parameters
    ----------
    device : StreamDevice
        Where the scores are; all work queues on its stream.
    plan : TilePlan
        The tiles, which must be added in the plan's order.
    settings : PickSettings
        Thresholds and assembly.
    background : bool
        Channel 0 of the scores is background.
    kind : {"f32", "f16", "bf16"}
        Type of the scores.

    Attributes
    ----------
    candidates : list of Candidates
        Of all planes whose search was collected.

    Raises
    ------
    MemoryError
        The device has no room for the slabs.
    """

    def __init__(
        self,
        device: StreamDevice,
        plan: TilePlan,
        settings: PickSettings,
        *,
        background: bool,
        kind: ScoreType,
    ) -> None:
        self._device = device
        self._settings = settings
        self._background = background
        self._kind: ScoreType = kind
        self._joint = settings.assembly == "joint"
        self._layers = Layers(plan, settings)
        shape = (self._layers.planes, *plan.shape[1:])
        self._slabs = [
            (device.zeros(shape, np.uint8), device.zeros(shape, np.uint8))
            for _ in range(2)
        ]
        self._search = DeviceSearch(
            device, settings.iterations, settings.t_lm, joint=self._joint
        )
        self._pending: list[Pending | None] = []
        self.candidates: list[Candidates] = []
        # To make labels 0 where tiles are left out: both slabs are used again.
        self._nothing = device.zeros(shape, np.uint8) if self._layers.sparse else None
        self._finish()

    def add(self, tiles: Sequence[Tile], scores: DeviceArray) -> None:
        """Queue the assembly of a batch, and the search of layers that it completes."""
        first = 0
        for _, group in groupby(tiles, key=lambda tile: tile.z):
            same = list(group)
            labels, probability = self._slabs[0]
            assemble(
                self._device,
                scores[first : first + len(same)],
                self._kind,
                labels,
                probability,
                [
                    (
                        tile.core_in_tile,
                        (tile.z.start - self._layers.base, tile.y.start, tile.x.start),
                        tile.size,
                    )
                    for tile in same
                ],
                t_seg=self._settings.t_seg,
                joint=self._joint,
                background=self._background,
            )
            first += len(same)
            self._layers.took(len(same))
            self._finish()

    def _finish(self) -> None:
        """End the layer at hand if it is complete, and those after it without tiles."""
        while self._layers.complete:
            self._turn(self._layers.finish())

    def _turn(self, done: Finished) -> None:
        """Queue the search of a layer, and take the other slab for the next."""
        self.collect()  # before its slab is written again
        labels, probability = self._slabs[0]
        if done.core[1] > done.core[0]:
            self._pending.append(
                self._search.begin(
                    labels[: done.held], probability[: done.held], done.core, done.base
                )
            )
        self._slabs.reverse()
        kept = done.held - done.moved
        if kept:
            for to, came in zip(self._slabs[0], (labels, probability), strict=True):
                self._device.copy(to[:kept], came[done.moved : done.held])
        if self._nothing is not None and kept < self._layers.planes:
            self._device.copy(self._slabs[0][0][kept:], self._nothing[kept:])

    def collect(self) -> None:
        """Wait for the searches that are queued, and take what they found."""
        for pending in self._pending:
            self.candidates.append(self._search.collect(pending))
        self._pending.clear()
