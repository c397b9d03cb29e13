"""Times what ONNX Runtime could do otherwise: options that dep does not set.

dep lets cuDNN guess an algorithm (see dep/engine/runtime/onnxruntime_gpu.py). On the
first card that was tried, float16 was slower than PyTorch's AMP: these say whether
another choice would pay, what it costs at first, and how far scores then differ from
those of what dep sets.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu import tomogram
from gpu.context import Context, NotRunError
from gpu.machine import need_gpu
from gpu.network_files import find
from gpu.timing import rounds_for

CUDA = "CUDAExecutionProvider"
SEARCH, LAYOUT = "cudnn_conv_algo_search", "prefer_nhwc"
OPTIONS = tuple(
    {SEARCH: search, LAYOUT: layout}
    for layout in ("0", "1")
    for search in ("HEURISTIC", "EXHAUSTIVE", "DEFAULT")
)
BATCH = 4
SECONDS = 0.4
SESSION_SECONDS = 4  # that must be left to try one


def run(context: Context) -> None:
    """Time the bundled model's files with each choice of options."""
    need_gpu()
    from dep.engine.errors import DeviceError
    from dep.engine.runtime.onnxruntime_api import load_with_cuda

    try:
        runtime = load_with_cuda()
    except DeviceError as error:
        raise NotRunError(str(error)) from error
    for path in find(context, ".onnx"):
        if path.name.startswith("published-"):
            continue
        scores = None
        for options in OPTIONS:
            if context.left() < SESSION_SECONDS:
                context.value("left out", f"from {path.name} on: no time was left")
                return
            found = measure(context, runtime, path, options, scores=scores)
            scores = found if scores is None else scores


def measure(
    context: Context,
    runtime: Any,  # noqa: ANN401 - the module
    path: Path,
    options: dict[str, str],
    provider: str = CUDA,
    batch: int = BATCH,
    scores: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32] | None:
    """Time a batch with some options; a failure is a row, not the end.

    Parameters
    ----------
    context
        Gets the row.
    runtime, path, options
        ONNX Runtime, the model file, options of the provider.
    provider
        "CPUExecutionProvider" for tests without a GPU.
    batch
        Tiles at once.
    scores
        With other options, to compare with.

    Returns
    -------
    ndarray or None
        The scores; None after a failure.
    """
    from dep.engine.model_file import read_card

    cells: dict[str, Any] = {"file": path.name, "batch": batch, **options}
    place = "cuda" if provider == CUDA else "cpu"
    try:
        session = runtime.InferenceSession(str(path), providers=[(provider, options)])
        if session.get_providers()[0] != provider:
            context.row("options", **cells, note=f"{provider} was not taken")
            return None
        edge = (read_card(path).tile,) * 3
        tiles = np.stack(
            [tomogram.make(edge, np.float32, seed) for seed in range(batch)]
        )
        binding = session.io_binding()
        held = runtime.OrtValue.ortvalue_from_numpy(tiles[:, None], place, 0)
        binding.bind_ortvalue_input(session.get_inputs()[0].name, held)
        binding.bind_output(session.get_outputs()[0].name, place)
        first = _seconds(session, binding)
        once = _seconds(session, binding)
        took = [_seconds(session, binding) for _ in range(rounds_for(once, SECONDS))]
        found = np.asarray(binding.copy_outputs_to_cpu()[0], dtype=np.float32)
    except Exception as error:  # noqa: BLE001 - an option it does not know, or memory
        note = f"{type(error).__name__}: {error}"[:300]
        context.row("options", **cells, note=note)
        return None
    cells["ms_per_tile"] = 1e3 * statistics.median(took) / batch
    cells["first_s"] = first
    if scores is not None:
        cells["scores_differ"] = float(np.abs(found - scores).max())
    context.row("options", **cells)
    return found


def _seconds(session: Any, binding: Any) -> float:  # noqa: ANN401
    """Compute once; it returns when the device is done."""
    began = time.perf_counter()
    session.run_with_iobinding(binding)
    return time.perf_counter() - began
