"""Measure one contender once: a whole pick, and its network calls alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from dep.engine.bench.subject import Subject
from dep.engine.errors import DepError
from dep.engine.picker import Picker
from dep.engine.picks import Picks
from dep.engine.pipeline import TileReader
from dep.engine.runtime import Runtime
from dep.engine.runtime.gpu import GpuRuntime
from dep.engine.stats import PickStats
from dep.engine.tiles import Tile, TilePlan


@dataclass(frozen=True, slots=True)
class Turn:
    """One round of one contender.

    Attributes
    ----------
    stats : PickStats
        Of the whole pick.
    alone : float
        Seconds of the network calls for the same tiles, with nothing beside them.
    """

    stats: PickStats
    alone: float


def stats_of(picks: Picks) -> PickStats:
    """Give what picking took.

    Raises
    ------
    DepError
        The picks do not say: they were not made here.
    """
    if picks.stats is None:
        message = f"{picks.tomogram}: nothing is known of what picking took"
        raise DepError(message)
    return picks.stats


def network_alone(picker: Picker, subject: Subject) -> float:
    """Add up the seconds of the network calls for all tiles of a tomogram.

    The calls are those of a pick, with the same tiles in the same batches. Between two
    of them the next tiles are read, which does not count; nothing runs beside them. On
    a GPU a call is copying tiles there and computing their scores, which stay there.
    """
    with subject.prepare(picker) as prepared:
        reader = TileReader(prepared.source, prepared.normalise, prepared.plan)
        return sum(_calls(picker.runtime, reader, prepared.plan))


def tile_calls(picker: Picker, subject: Subject, many: int) -> list[float]:
    """Give the seconds of the first `many` network calls, or of all there are."""
    with subject.prepare(picker) as prepared:
        reader = TileReader(prepared.source, prepared.normalise, prepared.plan)
        calls = _calls(picker.runtime, reader, prepared.plan)
        return [seconds for seconds, _ in zip(calls, range(many), strict=False)]


def _calls(runtime: Runtime, reader: TileReader, plan: TilePlan) -> Iterator[float]:
    """Read and compute batch after batch; give each computation's seconds."""
    tiles = list(plan)
    step = runtime.batch
    groups = [tiles[first : first + step] for first in range(0, len(tiles), step)]
    if isinstance(runtime, GpuRuntime):
        yield from _calls_on_device(runtime, reader, groups)
        return
    batch = np.empty((len(groups[0]), 1, *plan.tile), np.float32)
    for group in groups:
        reader.fill(group, batch)
        start = perf_counter()
        runtime.infer(batch[: len(group)])
        yield perf_counter() - start


def _calls_on_device(
    runtime: GpuRuntime, reader: TileReader, groups: list[list[Tile]]
) -> Iterator[float]:
    with runtime.explained():
        for number, group in enumerate(groups):
            reader.fill(group, runtime.staging(number))
            start = perf_counter()
            runtime.submit(number, len(group))
            runtime.gpu.synchronize()
            yield perf_counter() - start
