"""Times the CUDA kernels against their floors; their results must be the C core's."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu import floors
from gpu.context import Context
from gpu.machine import has_core, need_device
from gpu.timing import Clock, TimedDevice, kernel_times, median_call

TILE, MARGIN, CHANNELS, BATCH = 96, 12, 13, 8
CORE = TILE - 2 * MARGIN
VOLUME, PARTICLES = (200, 512, 512), 1500
COUNTS = (10_000, 100_000, 1_000_000)
T_SEG, T_LM, T_DIST = 0.6, 0.1, 4.0
# What the reference, which is slow, does where there is no C core.
SLOW_PART, SLOW_COUNT = (24, 64, 64), 10_000
UNLIKE = "not equal to the twin on the processor"


@dataclass(frozen=True)
class Bench:
    """What all measurements share: `rate` is bytes a second of a copy."""

    context: Context
    device: Any
    timed: TimedDevice
    clock: Clock
    rate: float

    def row(self, what: str, taken: dict[str, float], nbytes: int, **more: Any) -> None:  # noqa: ANN401
        """Note kernels' times beside the floor of what they do together."""
        device_ms = sum(taken.values())
        floor = floors.milliseconds(nbytes, self.rate)
        self.context.row(
            "kernels",
            what=what,
            device_ms=device_ms,
            floor_ms=floor,
            times_floor=device_ms / floor,
            megabytes=nbytes / 1e6,
            **more,
        )
        for name, each in taken.items():
            self.context.row("each kernel", what=what, kernel=name, device_ms=each)
        if more.get("equal") is False:
            self.context.fault(f"{what}: {UNLIKE}")

    def too_late(self, what: str, seconds: float) -> bool:
        """Say whether there is no time for another measurement, and note it."""
        if self.context.left() >= seconds:
            return False
        self.context.row("kernels", what=what, note="no time was left")
        return True


def run(context: Context) -> None:
    """Time all three, the simplest first."""
    cupy, stream, device = need_device()
    clock = Clock(cupy, stream)
    rate = clock.copy_rate()
    context.value("gpu", device.name)
    context.value("copy, GB a second (read + written)", rate / 1e9)
    context.value("compared with", twin())
    timed = TimedDevice(device, clock.mark, clock.between)
    bench = Bench(context, device, timed, clock, rate)
    assembly(bench)
    search(bench)
    deduplication(bench)


def twin() -> Any:  # noqa: ANN401 - a Backend
    """Name the twin on the processor that results are compared with."""
    return "c" if has_core() else "reference"


def scores_for(kind: str) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Make a batch's scores as a network of that type gives them, and in float32."""
    rng = np.random.default_rng(5)
    shape = (BATCH, CHANNELS, TILE, TILE, TILE)
    scores = rng.random(shape, dtype=np.float32)
    scores[:, 0] *= 0.8  # some voxels are background enough, some are not
    if kind == "f16":
        there = scores.astype(np.float16)
        return there, there.astype(np.float32)
    if kind == "bf16":
        bits = (scores.view(np.uint32) >> 16).astype(np.uint16)
        return bits, (bits.astype(np.uint32) << 16).view(np.float32)
    return scores, scores


def assembly(bench: Bench) -> None:
    """Assemble a batch of eight tiles; the last of it is compared."""
    from dep.kernels import assemble
    from dep.kernels.cuda.assemble import assemble as assemble_there

    device, row = bench.device, BATCH // 2
    core, source = (CORE,) * 3, (MARGIN,) * 3
    targets = [(0, CORE * (k // row), CORE * (k % row)) for k in range(BATCH)]
    places = [(source, target, core) for target in targets]
    last = tuple(slice(first, first + CORE) for first in targets[-1])
    for kind in ("f16", "bf16", "f32"):
        if bench.too_late(f"assemble {kind}", 3):
            continue
        host, wide = scores_for(kind)
        there = device.upload(host)
        slabs = [device.zeros((CORE, 2 * CORE, row * CORE), np.uint8) for _ in "lp"]
        for joint in (True, False):
            options = {"t_seg": T_SEG, "joint": joint, "background": True}
            on = partial(
                assemble_there, scores=there, kind=kind, places=places, **options
            )
            work = partial(on, bench.timed, labels=slabs[0], probability=slabs[1])
            first = seconds(lambda work=work: (work(), device.synchronize()))
            bench.timed.taken()
            taken = kernel_times(bench.clock, bench.timed, work)
            expected = [np.zeros(core, np.uint8) for _ in "lp"]
            assemble(
                wide[-1], *expected, source, (0, 0, 0), core, backend=twin(), **options
            )
            bench.row(
                f"assemble {kind}, {_way(joint)}",
                taken,
                floors.assemble_bytes(CORE, BATCH, CHANNELS, kind),
                first_call_s=first,
                equal=all(
                    np.array_equal(device.download(found)[last], want)
                    for found, want in zip(slabs, expected, strict=True)
                ),
            )


def search(bench: Bench) -> None:
    """MP-NMS of a whole tomogram's labels, which are on the device."""
    from postprocess import synthetic

    from dep.kernels import DeviceSearch, mp_nms

    device = bench.device
    labels, probability = synthetic(VOLUME, PARTICLES)
    there = device.upload(labels), device.upload(probability)
    seen = (labels, probability)
    if not has_core():
        box = tuple(slice(0, size) for size in SLOW_PART)
        seen = (
            np.ascontiguousarray(labels[box]),
            np.ascontiguousarray(probability[box]),
        )
    for n, joint in ((3, True), (6, True), (3, False), (6, False)):
        what = f"MP-NMS {_way(joint)}, n = {n}"
        if bench.too_late(what, 3):
            continue
        plain = DeviceSearch(device, n, T_LM, joint=joint)
        timed: Any = bench.timed
        marked = DeviceSearch(timed, n, T_LM, joint=joint)

        def call(plain: DeviceSearch = plain) -> Any:  # noqa: ANN401
            return plain.collect(plain.begin(*there, (0, VOLUME[0]), 0))

        first = seconds(call)
        taken = kernel_times(
            bench.clock,
            bench.timed,
            partial(marked.begin, *there, (0, VOLUME[0]), 0),
        )
        compared = call()
        found = len(compared)
        if not has_core():
            part = device.upload(seen[0]), device.upload(seen[1])
            compared = plain.collect(plain.begin(*part, (0, SLOW_PART[0]), 0))
        expected = mp_nms(seen[0], n, T_LM, seen[1], joint=joint, backend=twin())
        bench.row(
            what,
            taken,
            floors.cells_bytes(VOLUME),
            call_ms=median_call(call),
            first_call_s=first,
            found=found,
            equal=same(compared, expected),
        )


def same(found: Any, expected: Any) -> bool:  # noqa: ANN401 - Candidates
    """Say whether candidates agree to the last bit in every field."""
    return all(
        np.array_equal(getattr(found, name), getattr(expected, name))
        for name in ("xyz", "voxel", "class_id", "value", "score")
    )


def deduplication(bench: Bench) -> None:
    """Deduplication of candidates that the host holds; order and copies are in it."""
    from dep.kernels import deduplicate
    from dep.kernels.cuda.deduplicate import deduplicate as deduplicate_there

    rng = np.random.default_rng(1)
    for count in COUNTS:
        what = f"deduplicate {count:,}"
        if bench.too_late(what, 4):
            continue
        edge = (count / 0.02) ** (1 / 3)  # as in benchmarks/postprocess.py
        xyz = (rng.random((count, 3)) * edge).astype(np.float32)
        score = rng.random(count)
        given = (xyz, score, None, T_DIST)
        kept = deduplicate_there(bench.device, *given)
        timed: Any = bench.timed
        taken = kernel_times(
            bench.clock,
            bench.timed,
            partial(deduplicate_there, timed, *given),
            rounds=5,
        )
        equal: bool | None = None
        if has_core() or count <= SLOW_COUNT:
            expected = deduplicate(xyz, score, T_DIST, backend=twin())
            equal = np.array_equal(kept, expected)
        bench.row(
            what,
            taken,
            floors.dedup_bytes(count),
            call_ms=median_call(partial(deduplicate_there, bench.device, *given)),
            found=len(kept),
            equal=equal,
        )


def seconds(work: Callable[[], object]) -> float:
    """Say how long a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _way(joint: bool) -> str:
    return "joint" if joint else "per class"
