"""Times model files as dep computes them: ONNX Runtime and TensorRT on a GPU.

Batches are queued as the pipeline queues them, through pinned buffers on two streams,
so that copies are hidden behind the network where they can be.
"""

import itertools
import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gpu import models, networks
from gpu.context import Context, NotRunError
from gpu.machine import need, need_device
from gpu.timing import Clock

BATCHES = (4, 1, 8)
SUBMITS, ROUNDS = 6, 5  # batches between two marks; how often
MIB = 1 << 20
NO_GRAPHS = "leave out --cuda-graph"  # in the words of a runtime that has none


def with_onnxruntime(context: Context) -> None:
    """Time the ONNX files."""
    _all(context, ".onnx")


def with_tensorrt(context: Context) -> None:
    """Time the plans, with and without CUDA graphs."""
    _all(context, ".plan")


def _all(context: Context, suffix: str) -> None:
    cupy, _, device = need_device()
    missing_for = need("dep.engine.runtime.gpu_choice").missing_for
    context.value("gpu", device.name)
    files = find(context, suffix)
    lacking = dict.fromkeys(missing_for(path) for path in files)
    if "" not in lacking:
        raise NotRunError("; ".join(lacking))
    rivals = amp_times(context.scratch / "network-torch.jsonl")
    graphs = (False, True) if suffix == ".plan" else (False,)
    for batch, path, graph in itertools.product(BATCHES, files, graphs):
        if context.left() < 3:
            context.value("left out", f"from batch {batch} on: no time was left")
            break
        problem = _one(context, cupy, path, batch, graph, rivals)
        if problem and NO_GRAPHS not in problem:
            context.fault(f"{path.name}, batch {batch}: {problem}")


def find(context: Context, suffix: str) -> list[Path]:
    """List the model files that there are, the bundled network's fp16 first.

    Raises
    ------
    NotRunError
        There are none.
    """
    folder = models.folder_of(context)
    found = []
    if folder.is_dir():  # a file that begins with a dot was not finished
        found = [path for path in folder.glob(f"*{suffix}") if path.name[0] != "."]
    if suffix == ".onnx" and not found:
        found = [context.root / networks.BUNDLED]
    if not found:
        message = "there is no plan: see the part 'models', or bring some (--models)"
        raise NotRunError(message)
    return sorted(found, key=lambda path: ("fp16" not in path.name, path.name))


def _one(
    context: Context,
    cupy: Any,  # noqa: ANN401 - the module
    path: Path,
    batch: int,
    graph: bool,
    rivals: Mapping[tuple[str, int], float],
) -> str:
    """Time one file and batch; a failure is a row, not the end, and is returned."""
    from dep.engine.model_file import read_card
    from dep.engine.runtime import open_runtime

    cells: dict[str, Any] = {"file": path.name, "batch": batch, "cuda_graph": graph}
    before = used(cupy)
    try:
        card = read_card(path)
        runtime: Any = open_runtime(
            path,
            card,
            device="cuda",
            batch=batch,
            gpu_memory=None,
            cuda_graph=graph,
        )
    except Exception as error:  # noqa: BLE001 - a library that is missing, or worse
        note = f"{type(error).__name__}: {error}"[:300]
        context.row("times", **cells, note=note)
        return note
    try:
        milliseconds = per_tile(cupy, runtime)
        network = path.name.partition("-")[0]
        rival = rivals.get((network, batch))
        context.row(
            "times",
            **cells,
            runtime=runtime.name.partition(" on ")[0],
            precision=runtime.precision,
            ms_per_tile=milliseconds,
            memory_mib=(used(cupy) - before) / MIB,
            amp_ms_per_tile=rival,
            times_faster_than_amp=rival / milliseconds if rival else None,
        )
        for remark in runtime.remarks():
            context.row("remarks", file=path.name, remark=remark)
    except Exception as error:  # noqa: BLE001
        note = f"{type(error).__name__}: {error}"[:300]
        context.row("times", **cells, note=note)
        return note
    finally:
        runtime.close()
    return ""


def per_tile(cupy: Any, runtime: Any) -> float:  # noqa: ANN401
    """Give the median milliseconds of a tile, many batches queued at a time."""
    import numpy as np

    external = cupy.cuda.ExternalStream(runtime.gpu.stream_handle)
    clock = Clock(cupy, external, busy=False)
    rng = np.random.default_rng(0)
    for number in range(2):
        runtime.staging(number)[...] = rng.standard_normal(
            runtime.staging(number).shape, np.float32
        )
    took = []
    number = 0
    for turn in range(ROUNDS + 1):
        begin = clock.mark()
        for _ in range(SUBMITS):
            runtime.staging(number)  # as the pipeline: waits for the copy before
            runtime.submit(number, runtime.batch)
            number += 1
        milliseconds = clock.between(begin, clock.mark())
        if turn:  # the first is warming up
            took.append(milliseconds / (SUBMITS * runtime.batch))
    return statistics.median(took)


def used(cupy: Any) -> int:  # noqa: ANN401
    """Give the bytes of the GPU's memory in use, by all."""
    free, whole = cupy.cuda.runtime.memGetInfo()
    return int(whole - free)


def amp_times(lines: Path) -> dict[tuple[str, int], float]:
    """Read what AMP took: the rival that gains are stated against."""
    try:
        text = lines.read_text(encoding="utf-8")
    except OSError:
        return {}
    rows = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("table") == "times":
            rows.append(entry["row"])
    return best_amp(rows)


def best_amp(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], float]:
    """Give the least milliseconds of eager AMP: (network, batch) -> a tile's."""
    best: dict[tuple[str, int], float] = {}
    for row in rows:
        took = row.get("ms_per_tile")
        if took is None or not str(row["precision"]).startswith("AMP"):
            continue
        if row["how"] != "eager":
            continue
        key = (str(row["network"]), int(row["batch"]))
        best[key] = min(took, best.get(key, took))
    return best
