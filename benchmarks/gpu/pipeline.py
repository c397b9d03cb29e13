"""Picks whole tomograms on the GPU: stages, cold and warm, memory, agreement."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu import networks, tomogram
from gpu.context import Context, NotRunError
from gpu.machine import has_core, need, need_device, need_gpu, need_torch
from gpu.memory import MemoryWatch, used_before
from gpu.network_files import find

Open = Callable[..., Any]  # options of a Picker -> a Picker
BATCH = 4  # of PyTorch; other runtimes have one of their own
WARM = 5  # picks that count
CAPS = (4096, 1536)  # MiB
AGREE = 0.99  # F1 of picks on the GPU against those of the processor
VOXEL_SIZE = 10.0
REFERENCE = "cpu-picks.npz"


def with_torch(context: Context) -> None:
    """Stream through PyTorch (AMP fp16): where no other runtime is, this shows it."""
    need_gpu()
    before = used_before()
    torch = need_torch()
    need_device()
    need("dep.engine.picker")
    torch.backends.cudnn.benchmark = True
    network = networks.bundled(context.root)
    context.value("weights", network.weights)
    pick_all(
        context,
        f"torch {torch.__version__}, AMP f16",
        partial(torch_picker, context.root, network),
        before,
        learnt=network.weights == networks.LEARNT,
    )


def with_onnxruntime(context: Context) -> None:
    """Stream through ONNX Runtime: the bundled file, and its fp16 one."""
    _files(context, ".onnx")


def with_tensorrt(context: Context) -> None:
    """Stream through plans of the bundled model."""
    _files(context, ".plan")


def _files(context: Context, suffix: str) -> None:
    need_gpu()
    before = used_before()
    need_device()
    picker = need("dep.engine.picker").Picker
    missing_for = need("dep.engine.runtime.gpu_choice").missing_for
    # The published architecture has random weights, and picks nothing.
    learnt = [
        path for path in find(context, suffix) if not path.name.startswith("published-")
    ]
    if not learnt:
        message = "there is no plan of a trained model: see the part 'models'"
        raise NotRunError(message)
    lacking = dict.fromkeys(missing_for(path) for path in learnt)
    if "" not in lacking:
        raise NotRunError("; ".join(lacking))
    for path in learnt[:3]:
        if context.left() < 8:
            context.value("left out", f"{path.name}: no time was left")
            break
        try:
            opened = partial(picker, path, "cuda")
            pick_all(context, path.name, opened, before, learnt=True)
        except Exception as error:  # noqa: BLE001 - the next file may work
            context.fault(f"{path.name}: {type(error).__name__}: {error}"[:300])


def kernels() -> str:
    """Name the kernels: without the C core, those on the GPU do all."""
    return "auto" if has_core() else "cuda"


def torch_picker(
    root: Path,
    network: networks.Network,
    *,
    gpu_memory: int | None = None,
    kernels: str = "auto",
) -> Any:  # noqa: ANN401 - a Picker
    """Open the bundled model with PyTorch in the place of a runtime."""
    from unittest import mock

    from dep.engine.picker import Picker
    from dep.engine.runtime.gpu import GpuRuntime
    from dep.kernels import available_threads
    from dep.kernels.cuda.cupy_device import CupyDevice

    taken = 0
    if gpu_memory is not None:  # what it took before, with a batch of as many
        torch = need_torch()
        taken = torch.cuda.max_memory_reserved() // BATCH
    runtime = GpuRuntime(
        networks.TorchNetwork(network.module, tile_bytes=taken),
        CupyDevice(),
        networks.card_of(root),
        batch=BATCH,
        threads=available_threads(),
        memory=gpu_memory,
    )
    options: dict[str, Any] = {"kernels": kernels}
    with mock.patch("dep.engine.picker.open_runtime", return_value=runtime):
        return Picker(root / networks.BUNDLED, "cuda", **options)


def pick_all(
    context: Context,
    what: str,
    open_picker: Open,
    before: int | None,
    *,
    learnt: bool,
) -> None:
    """Do all there is to do with one runtime, the most telling first.

    Parameters
    ----------
    context
        Of the part.
    what
        Is picked with, in words.
    open_picker
        Takes options of `Picker`.
    before
        MiB of the GPU's memory that others take.
    learnt
        Whether the network's weights are, so that its picks mean something.
    """
    whole = tomogram.make()
    began = time.perf_counter()
    with open_picker(kernels=kernels()) as picker:
        opening = time.perf_counter() - began
        stages(context, what, picker, whole, opening)
        with MemoryWatch() as watch:
            pick(picker, whole)
        context.row(
            "memory",
            what=what,
            batch=picker.runtime.batch,
            peak_mib=watch.peak_mib(before),
        )
        cut = np.ascontiguousarray(tomogram.make(tomogram.CUT, seed=12))
        there = pick(picker, cut)
        if learnt:
            agreement(context, what, there, cut)
    if context.left() > 5:
        exactness(context, what, open_picker, there, cut)
    caps(context, what, open_picker, cut, there, before)
    if context.left() > 8:
        with open_picker(kernels=kernels()) as picker:
            stages(context, what, picker, tomogram.make(dtype=np.float32), None)


def pick(picker: Any, voxels: NDArray[Any]) -> Any:  # noqa: ANN401
    """Pick an array."""
    return picker.pick(voxels, voxel_size=VOXEL_SIZE)


def stages(
    context: Context,
    what: str,
    picker: Any,  # noqa: ANN401 - a Picker
    voxels: NDArray[Any],
    opening: float | None,
) -> None:
    """Time a whole tomogram, the first time and after."""
    began = time.perf_counter()
    first = pick(picker, voxels)
    cold = time.perf_counter() - began
    runs = [first]
    while len(runs) <= WARM and context.left() > 2 * cold + 2:
        runs.append(pick(picker, voxels))
    warm = [run.stats.seconds() for run in runs[1:]]
    cells: dict[str, Any] = {
        "what": what,
        "voxels": str(voxels.dtype),
        "runtime": first.stats.runtime,
        "precision": first.stats.precision,
        "batch": picker.runtime.batch,
        "tiles": first.stats.tiles,
        "picks": len(first.xyz),
        "open_s": opening,
        "cold_s": cold,
    }
    if warm:
        total = statistics.median(run["total"] for run in warm)
        cells |= {"warm_s": total, "mvoxel_a_s": voxels.size / total / 1e6}
    context.row("whole tomogram", **cells)
    for name, runs_of in (("cold", [first.stats.seconds()]), ("warm", warm)):
        if runs_of:
            medians = {
                f"{stage}_s": statistics.median(run[stage] for run in runs_of)
                for stage in runs_of[0]
            }
            # `network` is what the host spends with the device; the rest is its own.
            beside = medians["total_s"] - medians["network_s"]
            context.row(
                "stages",
                what=what,
                voxels=str(voxels.dtype),
                run=name,
                **medians,
                beside_device_s=beside,
            )
    for warning in first.warnings:
        context.row("warnings", what=what, warning=warning)


def agreement(context: Context, what: str, found: Any, cut: NDArray[Any]) -> None:  # noqa: ANN401
    """Compare picks with those of the bundled model on the processor, in float32."""
    kept = context.scratch / REFERENCE
    if not kept.exists():
        if not has_core():
            context.row("agreement", what=what, note="no C core: no picks to compare")
            return
        from dep.engine import Picker

        began = time.perf_counter()
        try:
            with Picker(context.root / networks.BUNDLED, "cpu") as picker:
                picks = pick(picker, cut)
        except Exception as error:  # noqa: BLE001 - no runtime for the processor
            note = f"no picks to compare: {type(error).__name__}: {error}"
            context.row("agreement", what=what, note=note[:300])
            return
        context.value("picks on the processor, s", time.perf_counter() - began)
        np.savez(kept, xyz=picks.xyz, class_id=picks.class_id)
    with np.load(kept) as expected:
        f1, class_f1 = f1_of(found, expected["xyz"], expected["class_id"])
        context.row(
            "agreement",
            what=what,
            picks=len(found.xyz),
            on_processor=len(expected["xyz"]),
            f1=f1,
            mean_class_f1=class_f1,
        )
    if f1 < AGREE:
        context.fault(f"{what}: picks agree with the processor's by F1 {f1:.3f} only")


def f1_of(
    found: Any,  # noqa: ANN401 - Picks
    xyz: NDArray[np.float32],
    class_id: NDArray[np.int32],
) -> tuple[float, float]:
    """Give F1 whatever the class, and the mean of the classes'."""
    from dep.engine.metrics import evaluate

    diameters = [one.diameter / found.voxel_size for one in found.classes]
    result = evaluate(found.xyz, found.class_id, xyz, class_id, diameters)
    return result.localisation.f1, result.mean_class_f1


def exactness(
    context: Context,
    what: str,
    open_picker: Open,
    there: Any,  # noqa: ANN401 - Picks
    cut: NDArray[Any],
) -> None:
    """Put the same network's scores through the kernels on the processor: equal."""
    if not has_core():
        context.row("kernels: GPU and processor", what=what, note="no C core")
        return
    with open_picker(kernels="c") as picker:
        here = pick(picker, cut)
    equal = all(
        np.array_equal(getattr(there, name), getattr(here, name))
        for name in ("xyz", "class_id", "score")
    )
    f1 = 1.0 if equal else f1_of(there, here.xyz, here.class_id)[0]
    context.row("kernels: GPU and processor", what=what, equal=equal, f1=f1)
    # A network may round its scores otherwise from run to run; picks then still agree.
    if f1 < AGREE:
        words = f"kernels on the GPU and the processor differ: F1 {f1:.3f}"
        context.fault(f"{what}: {words}")


def caps(
    context: Context,
    what: str,
    open_picker: Open,
    cut: NDArray[Any],
    there: Any,  # noqa: ANN401 - Picks
    before: int | None,
) -> None:
    """Pick with less memory allowed: the batch is made to fit, the picks remain."""
    for cap in CAPS:
        if context.left() < 4:
            return
        cells: dict[str, Any] = {"what": what, "allowed_mib": cap}
        try:
            with (
                MemoryWatch() as watch,
                open_picker(gpu_memory=cap, kernels=kernels()) as picker,
            ):
                found = pick(picker, cut)
                batch = picker.runtime.batch
        except Exception as error:  # noqa: BLE001 - too little for any batch, perhaps
            note = f"{type(error).__name__}: {error}"[:300]
            context.row("memory allowed", **cells, note=note)
            continue
        context.row(
            "memory allowed",
            **cells,
            batch=batch,
            # CUDA's own few hundred MiB are in it, and not in what is allowed.
            peak_mib=watch.peak_mib(before),
            f1=f1_of(found, there.xyz, there.class_id)[0],
        )
