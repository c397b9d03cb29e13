"""What a GPU can do here, and what `dep pick` would choose, for `dep doctor`."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import get_args


@dataclass(frozen=True)
class Check:
    """One thing that was tried: whether it works, and what was seen."""

    name: str
    works: bool
    detail: str


def try_gpu() -> tuple[Check, ...]:
    """Try the kernels, ONNX Runtime and TensorRT on the first GPU."""
    kernels = _try_kernels()
    return (kernels, _try_onnxruntime(kernels), *_try_tensorrt(kernels))


def _try_kernels() -> Check:
    """Find the middle of a block of labels on the GPU."""
    import numpy as np

    from dep.engine.errors import DeviceError
    from dep.engine.runtime.gpu_choice import find_gpu
    from dep.kernels import BackendError, mp_nms

    name = "GPU kernels"
    try:
        gpu = find_gpu()
    except DeviceError as error:
        return Check(name, False, str(error))
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    faults: tuple[type[Exception], ...] = (BackendError, *gpu.failures)
    try:
        found = mp_nms(labels, 1, 0.5, backend="cuda")
    except faults as error:
        return Check(name, False, f"{gpu.name}: {error}")
    right = found.voxel.tolist() == [[4, 4, 4]]
    seen = "found the test particle" if right else "wrong result"
    return Check(name, right, f"{gpu.name}, compute {gpu.capability}: {seen}")


def _try_onnxruntime(kernels: Check) -> Check:
    """Have ONNX Runtime compute a tiny network on the GPU."""
    from dep.cli.probe import compute
    from dep.engine.errors import DepError
    from dep.engine.runtime.onnxruntime_api import load_with_cuda

    name = "onnxruntime on the GPU"
    if not kernels.works:
        return Check(name, False, kernels.detail)
    try:
        version = load_with_cuda().__version__
        seconds = compute("onnxruntime", "cuda")
    except DepError as error:
        return Check(name, False, str(error))
    return Check(name, True, f"{version}; computed a test tile in {seconds:.2f} s")


def _try_tensorrt(kernels: Check) -> list[Check]:
    """Look at the TensorRTs that are installed; a test plan would take too long."""
    from dep.engine.errors import DeviceError
    from dep.engine.runtime.tensorrt_api import TensorRtName, load_tensorrt

    names: tuple[TensorRtName, ...] = get_args(TensorRtName)
    there = [name for name in names if find_spec(name) is not None]
    if not there:
        return [Check("tensorrt", False, "not installed: pip install 'dep[gpu]'")]
    checks = []
    for name in there:
        try:
            version = load_tensorrt(name).version
        except DeviceError as error:
            checks.append(Check(name, False, str(error)))
            continue
        does = "builds and runs plans"
        if not kernels.works:
            does = "runs no plans here"
            if name == "tensorrt_rtx":
                does = "builds plans, and runs none here"
        checks.append(Check(name, kernels.works, f"{version}; {does}"))
    return checks


def choices(gpu: tuple[Check, ...], fastest: str | None) -> tuple[str, ...]:
    """Say what `dep pick` takes on this machine, and why not a GPU.

    Parameters
    ----------
    gpu
        From `try_gpu`.
    fastest
        The runtime that it takes on the processor, if any.
    """
    kernels, onnxruntime, *plans = gpu
    on_processor = f"{fastest} on the processor" if fastest else "nothing"
    chosen = onnxruntime.name if onnxruntime.works else on_processor
    lines = [f".onnx files: {chosen}"]
    if not onnxruntime.works:
        why = kernels if not kernels.works else onnxruntime
        lines[0] += f" (not the GPU: {why.detail})"
    able = [one.name for one in plans if one.works]
    if able:
        lines.append(f".plan files: {' or '.join(able)}, whichever built them")
    else:
        why = kernels if not kernels.works else plans[0]
        lines.append(f".plan files: nothing ({why.detail})")
    return tuple(lines)
