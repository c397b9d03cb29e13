"""Stream a tomogram through a network: read, compute and assemble at the same time."""

from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.choices import Check, KernelBackend, Progress
from dep.engine.interruption import go_on, interruptible, result_of
from dep.engine.normalise import Normaliser
from dep.engine.runtime.protocol import Runtime
from dep.engine.settings import PickSettings
from dep.engine.slab import Slab
from dep.engine.tiles import Tile, TilePlan
from dep.engine.volume import PlaneSource
from dep.kernels import Candidates


@dataclass(frozen=True, slots=True)
class Streamed:
    """What streaming gives: candidates of all planes, and the seconds it took.

    `warnings` is what the runtime has to say to users.
    """

    candidates: list[Candidates]
    read: float
    network: float
    assemble: float
    mp_nms: float
    warnings: tuple[str, ...] = ()


PLANES = 16  # normalised at once
Voxels = NDArray[Any]


class TileReader:
    """Fills batches with normalised tiles; beyond the tomogram they are 0, its mean.

    Parameters
    ----------
    source, normalise, plan
        As in `stream`.
    helpers : Executor, optional
        Tiles of a batch that lie in the same planes are filled at the same time there.
        One thread fills 3.5 MB of tile in a millisecond or more, as long as a GPU takes
        to compute it.
    """

    def __init__(
        self,
        source: PlaneSource,
        normalise: Normaliser,
        plan: TilePlan,
        helpers: Executor | None = None,
    ) -> None:
        self._source = source
        self._normalise = normalise
        self._plan = plan
        self._map = map if helpers is None else helpers.map
        self.seconds = 0.0

    def fill(self, tiles: Sequence[Tile], batch: NDArray[np.float32]) -> None:
        """Write tiles into `batch` (b, 1, z, y, x)."""
        start = perf_counter()
        numbered = enumerate(tiles)
        for (first, last), run in groupby(numbered, lambda one: self._extent(one[1])):
            planes = self._source.read(first, last)

            def fill_one(one: tuple[int, Tile], planes: Voxels = planes) -> None:
                number, tile = one
                self._fill_one(tile, planes, batch[number, 0])

            for _ in self._map(fill_one, run):
                pass
        self.seconds += perf_counter() - start

    def _extent(self, tile: Tile) -> tuple[int, int]:
        """Give the planes that a tile needs, from the first to before the last."""
        first = tile.origin[0]
        return max(0, first), min(self._plan.shape[0], first + self._plan.tile[0])

    def _fill_one(self, tile: Tile, planes: Voxels, out: NDArray[np.float32]) -> None:
        edges, shape = self._plan.tile, self._plan.shape
        low = [max(0, begin) for begin in tile.origin]
        high = [
            min(length, begin + edge)
            for length, begin, edge in zip(shape, tile.origin, edges, strict=True)
        ]
        z, y, x = (
            slice(first - begin, last - begin)
            for first, last, begin in zip(low, high, tile.origin, strict=True)
        )
        if (z.stop - z.start, y.stop - y.start, x.stop - x.start) != edges:
            out.fill(0)
        for first in range(0, len(planes), PLANES):
            part = planes[first : first + PLANES, low[1] : high[1], low[2] : high[2]]
            begin = z.start + first
            self._normalise(part, out[begin : begin + len(part), y, x])
            # A tile looks at a corner of its planes; the system maps what lies around.
            # Of a large tomogram that would be hundreds of megabytes.
            self._source.rest()


def stream(
    source: PlaneSource,
    normalise: Normaliser,
    plan: TilePlan,
    runtime: Runtime,
    settings: PickSettings,
    *,
    background: bool,
    backend: KernelBackend = "auto",
    progress: Progress | None = None,
    check: Check = go_on,
) -> Streamed:
    """Find the candidates of a tomogram.

    While the runtime computes one batch, a thread reads the next and another assembles
    the one before and searches finished planes. At most two batches of tiles and two of
    scores exist at a time. The first error of any stage ends the run, raised once; so
    do `check` and Ctrl-C, within a layer of the network.

    Parameters
    ----------
    source : PlaneSource
        The tomogram.
    normalise : Normaliser
        From voxels as stored to what the network sees.
    plan : TilePlan
        Its tiles.
    runtime : Runtime
        Nobody else may use it meanwhile.
    settings : PickSettings
        How scores become candidates.
    background : bool
        Channel 0 of the scores is background.
    backend : str
        Of the kernels.
    progress : callable, optional
        Called after each batch.
    check : callable
        See `dep.engine.choices.Check`.
    """
    tiles = list(plan)
    step = runtime.batch
    groups = [tiles[first : first + step] for first in range(0, len(tiles), step)]
    box = (1, *plan.tile)
    inputs = [np.empty((min(step, len(tiles)), *box), np.float32) for _ in range(2)]
    reader = TileReader(source, normalise, plan)
    slab = Slab(
        plan,
        settings,
        background=background,
        threads=runtime.threads,
        backend=backend,
    )
    network = 0.0
    done = 0
    with (
        ThreadPoolExecutor(1, "dep-read") as reading,
        ThreadPoolExecutor(1, "dep-take") as taking,
        interruptible(runtime, check) as infer,
    ):
        first = groups[0] if groups else []
        read: Future[None] = reading.submit(reader.fill, first, inputs[0])
        taken: Future[None] | None = None
        for number, group in enumerate(groups):
            result_of(read, check)
            batch = inputs[number % 2][: len(group)]
            if number + 1 < len(groups):
                read = reading.submit(
                    reader.fill, groups[number + 1], inputs[(number + 1) % 2]
                )
            start = perf_counter()
            scores = infer(batch)
            network += perf_counter() - start
            # The scores before these are free for the runtime once they are taken.
            if taken is not None:
                result_of(taken, check)
            taken = taking.submit(_take, slab, group, scores)
            done += len(group)
            if progress is not None:
                progress(done, len(tiles), "network")
        if taken is not None:
            result_of(taken, check)
    return Streamed(
        slab.candidates,
        reader.seconds,
        network,
        slab.seconds_assemble,
        slab.seconds_mp_nms,
    )


def _take(slab: Slab, tiles: Sequence[Tile], scores: NDArray[np.float32]) -> None:
    for tile, one in zip(tiles, scores, strict=True):
        slab.add(tile, one)
