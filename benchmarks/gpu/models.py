"""Makes the model files that other runtimes compute, as far as it can be done here.

The bundled model is a file already. Typed ones (fp16, bf16) and the published
architecture come from `dep export`; plans from TensorRT, where that is installed.
"""

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gpu import networks
from gpu.context import Context
from gpu.machine import need, need_gpu

SUFFIXES = (".onnx", ".plan", ".plan.json")
MOST_TILES = 8  # of a plan
# Seconds that must be left to begin an export, or a plan.
EXPORT_SECONDS, PLAN_SECONDS = 10, 5


def run(context: Context) -> None:
    """Make what can be made; each file that is there is noted at once."""
    need_gpu()
    export = need("dep.export")
    folder = folder_of(context)
    folder.mkdir(exist_ok=True)
    bundled = folder / "bundled-fp32.onnx"
    shutil.copyfile(context.root / networks.BUNDLED, bundled)
    context.row("files", file=bundled.name, how="part of dep")
    for path in brought(context.models):
        shutil.copyfile(path, folder / path.name)
        context.row("files", file=path.name, how="brought along")
    builders = installed_builders(context)
    plans(context, export, bundled, builders)
    checkpoint = folder / "published.ckpt"
    for name, kind in (
        ("bundled", "fp16"),
        ("published", "fp16"),
        ("published", "fp32"),
        ("bundled", "bf16"),
        ("published", "bf16"),
    ):
        out = folder / f"{name}-{kind}.onnx"
        if not out.exists():
            make = partial(typed, export, checkpoint, bundled, out, kind)
            if not _made(context, out, make, EXPORT_SECONDS):
                continue
        plans(context, export, out, builders)


def folder_of(context: Context) -> Path:
    """Name the folder of the files that are made."""
    return context.scratch / "models"


def brought(folder: Path | None) -> list[Path]:
    """List the model files of a folder, and the documents beside plans."""
    if folder is None:
        return []
    return sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))


def installed_builders(context: Context) -> list[str]:
    """Name the TensorRTs that load; note why the others do not."""
    from dep.engine.errors import DeviceError
    from dep.engine.runtime.tensorrt_api import load_tensorrt

    found = []
    for name in ("tensorrt", "tensorrt_rtx"):
        try:
            version = load_tensorrt(name).version  # type: ignore[arg-type]
        except DeviceError as error:
            context.value(name, str(error))
        else:
            context.value(name, version)
            found.append(name)
    return found


def plans(
    context: Context,
    export: Any,  # noqa: ANN401 - the module
    model: Path,
    builders: list[str],
) -> None:
    """Build a file's plans."""
    for name in builders:
        out = model.with_name(f"{model.stem}-{name}.plan")
        if not out.exists():
            options = export.PlanOptions(builder=name, batch=(1, 4, MOST_TILES))
            make = partial(export.export_plan, model, out, options)
            _made(context, out, make, PLAN_SECONDS)


def typed(
    export: Any,  # noqa: ANN401 - the module
    checkpoint: Path,
    bundled: Path,
    out: Path,
    kind: str,
) -> None:
    """Export a network in a type: the bundled one, or the published architecture."""
    if out.name.startswith("bundled"):
        export.export_onnx(bundled, out, precision=kind)
        return
    if not checkpoint.exists():
        write_published(checkpoint)
    classes = [f"class{k}:100" for k in range(1, networks.PUBLISHED_OUTPUTS)]
    described = export.Published(
        export.parse_classes(",".join(classes)), voxel_size=10.0
    )
    export.export_onnx(checkpoint, out, precision=kind, published=described)


def write_published(path: Path) -> None:
    """Write the published architecture with random weights, as its own tool does."""
    import torch

    module = need("dep.train.network")
    outputs = networks.PUBLISHED_OUTPUTS
    network = module.ResUNet3D(module.NetworkConfig(outputs=outputs))
    state = {f"model.{name}": one for name, one in network.state_dict().items()}
    torch.save({"state_dict": state}, path)


def _made(
    context: Context, out: Path, make: Callable[[], object], seconds: float
) -> bool:
    """Make a file, if there is time; one that fails is a row, not the end."""
    if context.left() < seconds:
        context.row("files", file=out.name, note="no time was left")
        return False
    began = time.perf_counter()
    try:
        make()
    except Exception as error:  # noqa: BLE001 - whatever a library makes of it
        note = f"{type(error).__name__}: {error}"[:300]
        context.row("files", file=out.name, note=note)
        return False
    context.row(
        "files",
        file=out.name,
        how="made here",
        seconds=time.perf_counter() - began,
        megabytes=out.stat().st_size / 1e6,
    )
    return True
