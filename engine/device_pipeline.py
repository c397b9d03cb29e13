"""Stream a tomogram through a network on a GPU: scores never come down to the host."""

import contextlib
import gc
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter

from dep.engine.choices import Check, Progress
from dep.engine.device_slab import DeviceSlab
from dep.engine.errors import DeviceError, TomogramError
from dep.engine.interruption import go_on, result_of
from dep.engine.normalise import Normaliser
from dep.engine.pipeline import Streamed, TileReader
from dep.engine.runtime.gpu import GpuRuntime
from dep.engine.settings import PickSettings
from dep.engine.tiles import Tile, TilePlan
from dep.engine.volume import PlaneSource

FILLERS = 4  # threads that fill a batch's tiles


def stream_on_device(
    source: PlaneSource,
    normalise: Normaliser,
    plan: TilePlan,
    runtime: GpuRuntime,
    settings: PickSettings,
    *,
    background: bool,
    progress: Progress | None = None,
    check: Check = go_on,
) -> Streamed:
    """Find the candidates of a tomogram; the same as `dep.engine.pipeline.stream`.

    While the device computes one batch, threads fill the pinned buffer of the next.
    The first error of any stage ends the run, raised once, when the device has let go
    of all buffers. `network` of the result is the time that the host waited for or
    talked to the device; assembly and search are part of it.

    Parameters
    ----------
    source, normalise, plan, settings, background, progress, check
        As there.
    runtime : GpuRuntime
        Nobody else may use it meanwhile. Where memory runs out its batch is halved and
        the tomogram begun again, once.

    Raises
    ------
    DeviceError
        The device failed, or has not enough memory for the smaller batch either.
    """

    def attempt() -> Streamed:
        return _stream(
            source,
            normalise,
            plan,
            runtime,
            settings,
            background=background,
            progress=progress,
            check=check,
        )

    with runtime.explained():
        with contextlib.suppress(MemoryError):
            return attempt()
        gc.collect()  # the error's traceback holds that attempt's slabs, in a circle
        runtime.halve("this tomogram")
        try:
            return attempt()
        except MemoryError as error:
            message = (
                "the GPU has not enough memory, not even with a batch of "
                f"{runtime.batch} ({str(error) or 'out of memory'}). End other "
                "programs on it"
            )
            raise DeviceError(message) from error


def _stream(
    source: PlaneSource,
    normalise: Normaliser,
    plan: TilePlan,
    runtime: GpuRuntime,
    settings: PickSettings,
    *,
    background: bool,
    progress: Progress | None,
    check: Check,
) -> Streamed:
    groups = _groups(list(plan), runtime.batch)
    done, host = 0, 0.0

    def fill(number: int) -> None:
        if number >= len(groups):
            return  # every tile is skipped
        try:
            reader.fill(groups[number], runtime.staging(number))
        except MemoryError as error:  # the computer's: a smaller batch is no help
            message = f"{source.label}: not enough memory to read it"
            raise TomogramError(message) from error

    with (
        ThreadPoolExecutor(min(FILLERS, runtime.threads), "dep-fill") as filling,
        ThreadPoolExecutor(1, "dep-read") as reading,
        _at_rest(runtime),
    ):
        reader = TileReader(source, normalise, plan, filling)
        slab = DeviceSlab(
            runtime.gpu, plan, settings, background=background, kind=runtime.scores
        )
        read: Future[None] = reading.submit(fill, 0)
        for number, group in enumerate(groups):
            result_of(read, check)
            check()  # a batch takes milliseconds: often enough
            # Before the device is told of this batch, which takes the host's time too:
            # the buffer of the next is free once the batch before this was copied.
            if number + 1 < len(groups):
                read = reading.submit(fill, number + 1)
            start = perf_counter()
            scores = runtime.submit(number, len(group))
            slab.collect()  # of the layer before: the device is busy again
            slab.add(group, scores)
            host += perf_counter() - start
            done += len(group)
            if progress is not None:
                progress(done, len(plan), "network")
        start = perf_counter()
        slab.collect()
        host += perf_counter() - start
    return Streamed(slab.candidates, reader.seconds, host, 0.0, 0.0, runtime.remarks())


def _groups(tiles: Sequence[Tile], size: int) -> list[Sequence[Tile]]:
    return [tiles[first : first + size] for first in range(0, len(tiles), size)]


@contextlib.contextmanager
def _at_rest(runtime: GpuRuntime) -> Iterator[None]:
    """Leave only when the device is done: nothing may be freed that it works on."""
    try:
        yield
    except BaseException:
        # What the device says of it now is only what it said before.
        with contextlib.suppress(*runtime.gpu.failures):
            runtime.gpu.synchronize()
        raise
    runtime.gpu.synchronize()
