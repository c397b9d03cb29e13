"""Labels of the planes that are not finished yet, and candidates of those that are.

MP-NMS at a plane needs the labels of `halo` planes on either side. So labels live in a
slab: the layer of tiles being assembled and the halo before it, two bytes for each
voxel. When a layer is complete, all planes whose halo is there are searched, and what
no later plane needs is dropped. The result is bit for bit that of the whole volume.
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.choices import KernelBackend
from dep.engine.settings import PickSettings
from dep.engine.tiles import Tile, TilePlan
from dep.kernels import Candidates, assemble, halo, mp_nms


@dataclass(frozen=True, slots=True)
class Finished:
    """What completing a layer of tiles allows; planes counted from the slab's first.

    Attributes
    ----------
    base : int
        Plane of the tomogram that was the slab's first.
    held : int
        Planes that the slab holds.
    core : (int, int)
        Those that can be searched.
    moved : int
        That no later plane needs.
    """

    base: int
    held: int
    core: tuple[int, int]
    moved: int


class Layers:
    """Which planes of a slab are complete, searched and still needed.

    Parameters
    ----------
    plan : TilePlan
        The tiles, layer by layer. Layers may have none left.
    settings : PickSettings
        Whose iterations say how much context a search needs.

    Attributes
    ----------
    sparse : bool
        Tiles are left out of the plan, so that labels of theirs must be made 0.
    base : int
        Plane of the tomogram that is the slab's first.
    planes : int
        How many the slab holds at most.
    """

    def __init__(self, plan: TilePlan, settings: PickSettings) -> None:
        self._plan = plan
        self._halo = halo(settings.iterations)
        self._layer = 0  # the one that is assembled
        self._waiting = [len(plan.layer(z)) for z in plan.z]  # tiles to come
        self.sparse = bool(plan.skipped)
        self._searched = 0  # planes before this one are finished
        self.base = 0
        self.planes = self._planes_needed()

    def took(self, tiles: int) -> None:
        """Count tiles of the layer at hand."""
        self._waiting[self._layer] -= tiles

    @property
    def complete(self) -> bool:
        """The layer at hand waits for no tile; False after the last."""
        return self._layer < len(self._waiting) and self._waiting[self._layer] <= 0

    def finish(self) -> Finished:
        """End the layer at hand and go on to the next."""
        layer = self._plan.z[self._layer]
        self._layer += 1
        base, searched = self.base, self._searched
        self._searched, self.base = self._advance(searched, layer.stop)
        return Finished(
            base=base,
            held=layer.stop - base,
            core=(searched - base, self._searched - base),
            moved=self.base - base,
        )

    def _advance(self, searched: int, stop: int) -> tuple[int, int]:
        """Give (planes finished, first plane still needed) when `stop` are labelled."""
        last = stop == self._plan.shape[0]
        upto = max(searched, stop if last else stop - self._halo)
        return upto, max(0, upto - self._halo)

    def _planes_needed(self) -> int:
        """How many planes the slab holds at most."""
        most = base = searched = 0
        for layer in self._plan.z:
            most = max(most, layer.stop - base)
            searched, base = self._advance(searched, layer.stop)
        return most


class Slab:
    """Takes scores of tiles in order, gives candidates.

    Parameters
    ----------
    plan : TilePlan
        The tiles, which must be added in the plan's order.
    settings : PickSettings
        Thresholds and assembly.
    background : bool
        Channel 0 of the scores is background.
    threads : int
        For the kernels.
    backend : str
        Of the kernels.

    Attributes
    ----------
    candidates : list of Candidates
        Of all finished planes.
    seconds_assemble, seconds_mp_nms : float
        Spent so far.
    """

    def __init__(
        self,
        plan: TilePlan,
        settings: PickSettings,
        *,
        background: bool,
        threads: int,
        backend: KernelBackend = "auto",
    ) -> None:
        self._settings = settings
        self._background = background
        self._threads = threads
        self._backend: KernelBackend = backend
        self._layers = Layers(plan, settings)
        shape = (self._layers.planes, *plan.shape[1:])
        self._labels: NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self._probability: NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self.candidates: list[Candidates] = []
        self.seconds_assemble = 0.0
        self.seconds_mp_nms = 0.0
        self._finish()

    @property
    def nbytes(self) -> int:
        """How much memory labels and probabilities take."""
        return self._labels.nbytes + self._probability.nbytes

    def add(self, tile: Tile, scores: NDArray[Any]) -> None:
        """Turn the core of one tile's scores (C, N, N, N) into labels."""
        start = perf_counter()
        z, y, x = tile.core
        assemble(
            scores,
            self._labels,
            self._probability,
            tile.core_in_tile,
            (z - self._layers.base, y, x),
            tile.size,
            t_seg=self._settings.t_seg,
            joint=self._settings.assembly == "joint",
            background=self._background,
            backend=self._backend,
            threads=self._threads,
        )
        self.seconds_assemble += perf_counter() - start
        self._layers.took(1)
        self._finish()

    def _finish(self) -> None:
        """End the layer at hand if it is complete, and those after it without tiles."""
        start = perf_counter()
        while self._layers.complete:
            self._search(self._layers.finish())
        self.seconds_mp_nms += perf_counter() - start

    def _search(self, done: Finished) -> None:
        """Search the planes whose halo is complete and drop what is not needed."""
        if done.core[1] > done.core[0]:
            self.candidates.append(
                mp_nms(
                    self._labels[: done.held],
                    self._settings.iterations,
                    self._settings.t_lm,
                    self._probability[: done.held],
                    joint=self._settings.assembly == "joint",
                    backend=self._backend,
                    threads=self._threads,
                    core=done.core,
                    z_origin=done.base,
                )
            )
        if done.moved:
            for array in (self._labels, self._probability):
                array[: done.held - done.moved] = array[done.moved : done.held].copy()
        if self._layers.sparse:
            self._labels[done.held - done.moved :] = 0
