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
from dep.engine.tiles import Span, Tile, TilePlan
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
        The tiles, layer by layer.
    settings : PickSettings
        Whose iterations say how much context a search needs.

    Attributes
    ----------
    base : int
        Plane of the tomogram that is the slab's first.
    planes : int
        How many the slab holds at most.
    """

    def __init__(self, plan: TilePlan, settings: PickSettings) -> None:
        self._plan = plan
        self._halo = halo(settings.iterations)
        self._tiles = len(plan.y) * len(plan.x)
        self._waiting = self._tiles  # tiles of this layer to come
        self._searched = 0  # planes before this one are finished
        self.base = 0
        self.planes = self._planes_needed()

    def took(self, tiles: int) -> bool:
        """Count tiles of a layer; say whether it is complete."""
        self._waiting -= tiles
        if self._waiting > 0:
            return False
        self._waiting = self._tiles
        return True

    def finish(self, layer: Span) -> Finished:
        """Complete a layer."""
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
        if self._layers.took(1):
            self._finish(tile.z)

    def _finish(self, layer: Span) -> None:
        """Search the planes whose halo is complete and drop what is not needed."""
        start = perf_counter()
        done = self._layers.finish(layer)
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
        self.seconds_mp_nms += perf_counter() - start
