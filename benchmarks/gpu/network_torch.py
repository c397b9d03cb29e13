"""Times PyTorch's ways of computing the networks: the rivals of the other runtimes."""

import itertools
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpu import floors, networks
from gpu.context import Context
from gpu.machine import need, need_torch
from gpu.timing import rounds_for

BATCHES = (1, 4, 8)
# What is measured, most telling first: should time run out, the least telling is left.
WAYS = ("AMP f16", "AMP bf16", "TF32", "fp32")
SECONDS = 0.4  # for one measurement, once it is warm
CALLS = 6  # queued together, as the other runtimes' batches are (network_files.py)
COMPILE_SECONDS = 15  # that must be left to begin compiling
MIB = 1 << 20


def run(context: Context) -> None:
    """Time eager networks, in float32 and by AMP, batch by batch."""
    torch = need_torch()
    context.value("torch", torch.__version__)
    context.value("cuDNN", torch.backends.cudnn.version())
    every = on_gpu(context)
    for way, (network, count), channels_last, batch in itertools.product(
        WAYS, every, (True, False), BATCHES
    ):
        if context.left() < 3:
            context.value("left out", f"from {way} on: no time was left")
            break
        measure(context, network, network.module, count, way, batch, channels_last)


def compiled(context: Context) -> None:
    """Time what torch.compile makes of them, by AMP."""
    torch = need_torch()
    for way, (network, count) in itertools.product(WAYS[:2], on_gpu(context)):
        if context.left() < COMPILE_SECONDS:
            context.value("left out", f"from {way} on: no time was left")
            break
        module = torch.compile(network.module)
        with within(context.left() - 2):
            measure(context, network, module, count, way, 4, True, how="compiled")


def on_gpu(context: Context) -> list[tuple[networks.Network, int]]:
    """Put the networks on the GPU; gives each with its multiplications a tile."""
    import torch

    need("dep.train.network")
    torch.backends.cudnn.benchmark = True  # the best that PyTorch offers
    every = []
    for network in (networks.bundled(context.root), networks.published()):
        count = floors.macs(network.module, network.tile)
        context.row(
            "networks",
            network=network.name,
            tile=network.tile,
            weights=network.weights,
            parameters=sum(one.numel() for one in network.module.parameters()),
            gmac_a_tile=count / 1e9,
        )
        network.module.to("cuda")
        every.append((network, count))
    return every


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what takes longer; the worker's own alarm is kept."""

    def late(number: int, frame: object) -> None:
        del number, frame
        message = f"not done within {seconds:.0f} s"
        raise TimeoutError(message)

    handler = signal.signal(signal.SIGALRM, late)
    began = time.monotonic()
    before, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        left = max(before - (time.monotonic() - began), 0.01) if before else 0
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, handler)


def measure(
    context: Context,
    network: networks.Network,
    module: Any,  # noqa: ANN401 - a module, or a compiled one
    count: int,
    way: str,
    batch: int,
    channels_last: bool,
    how: str = "eager",
    place: str = "cuda",
) -> None:
    """Time one way and batch; a failure is a row, not the end.

    Parameters
    ----------
    context
        Gets the row.
    network, module, count
        What is timed: the network, on the device, and its multiplications a tile.
    way, batch, channels_last, how
        As the row says.
    place
        PyTorch's name of the device.
    """
    import torch

    cells: dict[str, Any] = {
        "network": network.name,
        "how": how,
        "precision": way,
        "channels_last": channels_last,
        "batch": batch,
    }
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    try:
        module.to(memory_format=layout)
        edge = (network.tile,) * 3
        tiles = torch.randn(batch, 1, *edge, device=place)
        tiles = tiles.to(memory_format=layout)
        cuda = torch.cuda if place == "cuda" else None
        if cuda is not None:
            cuda.reset_peak_memory_stats()
        with torch.inference_mode(), _way(way, place):
            first, milliseconds = _time(lambda: module(tiles), cuda)
    except Exception as error:  # noqa: BLE001 - out of memory, or what torch cannot do
        context.row("times", **cells, note=f"{type(error).__name__}: {error}"[:200])
        torch.cuda.empty_cache()
        return
    context.row(
        "times",
        **cells,
        ms_per_tile=milliseconds / batch,
        tflops=tflops(count, milliseconds / batch),
        peak_mib=cuda.max_memory_allocated() / MIB if cuda is not None else None,
        first_s=first,
    )


def tflops(count: int, ms_per_tile: float) -> float:
    """Give floating-point operations: two for each multiplication that is needed."""
    return 2 * count / ms_per_tile / 1e9


def _time(work: Callable[[], Any], cuda: Any) -> tuple[float, float]:  # noqa: ANN401
    """Give the first call's seconds, and the median milliseconds of those after."""
    first = _each(work, cuda, 1) / 1e3
    once = _each(work, cuda, 1)
    rounds = rounds_for(CALLS * once / 1e3, SECONDS, most=10, least=3)
    took = [_each(work, cuda, CALLS) for _ in range(rounds)]
    return first, statistics.median(took)


def _each(work: Callable[[], Any], cuda: Any, calls: int) -> float:  # noqa: ANN401
    """Give the milliseconds of a call among several that are queued together.

    On the GPU's clock; without one, on the host's.
    """
    if cuda is None:
        began = time.perf_counter()
        for _ in range(calls):
            work()
        return 1e3 * (time.perf_counter() - began) / calls
    begin, end = (cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(calls):
        work()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / calls


@contextmanager
def _way(way: str, place: str) -> Iterator[None]:
    """Compute as a way says."""
    import torch

    torch.backends.cudnn.allow_tf32 = way != "fp32"
    kind = {"AMP f16": "f16", "AMP bf16": "bf16"}.get(way, "f32")
    with networks.amp(kind, place):
        yield
