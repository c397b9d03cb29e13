"""Labels of the planes that are not finished yet, and candidates of those that are.

MP-NMS at a plane needs the labels of `halo` planes on either side. So labels live in a
slab: the layer of tiles being assembled and the halo before it, two bytes for each
voxel. When a layer is complete, all planes whose halo is there are searched, and what
no later plane needs is dropped. The result is bit for bit that of the whole volume.
"""

from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.choices import KernelBackend
from dep.engine.settings import PickSettings
from dep.engine.tiles import Span, Tile, TilePlan
from dep.kernels import Candidates, assemble, halo, mp_nms


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
        self._plan = plan
        self._settings = settings
        self._background = background
        self._threads = threads
        self._backend: KernelBackend = backend
        self._halo = halo(settings.iterations)
        shape = (self._planes_needed(), *plan.shape[1:])
        self._labels: NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self._probability: NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self._base = 0  # plane of the tomogram that is the slab's first
        self._searched = 0  # planes before this one are finished
        self._waiting = len(plan.y) * len(plan.x)  # tiles of this layer to come
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
            (z - self._base, y, x),
            tile.size,
            t_seg=self._settings.t_seg,
            joint=self._settings.assembly == "joint",
            background=self._background,
            backend=self._backend,
            threads=self._threads,
        )
        self.seconds_assemble += perf_counter() - start
        self._waiting -= 1
        if self._waiting == 0:
            self._waiting = len(self._plan.y) * len(self._plan.x)
            self._finish(tile.z)

    def _finish(self, layer: Span) -> None:
        """Search the planes whose halo is complete and drop what is not needed."""
        start = perf_counter()
        base, searched = self._base, self._searched
        upto, self._base = self._advance(searched, layer.stop)
        self._searched = upto
        held = layer.stop - base
        if upto > searched:
            self.candidates.append(
                mp_nms(
                    self._labels[:held],
                    self._settings.iterations,
                    self._settings.t_lm,
                    self._probability[:held],
                    joint=self._settings.assembly == "joint",
                    backend=self._backend,
                    threads=self._threads,
                    core=(searched - base, upto - base),
                    z_origin=base,
                )
            )
        moved = self._base - base
        if moved:
            for array in (self._labels, self._probability):
                array[: held - moved] = array[moved:held].copy()
        self.seconds_mp_nms += perf_counter() - start

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
