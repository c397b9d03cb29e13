"""Open a model on a GPU: a plan with TensorRT, an ONNX file with ONNX Runtime."""

import ctypes
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dep.engine.card import ModelCard
from dep.engine.choices import RuntimePrecision
from dep.engine.errors import DeviceError, SettingError
from dep.engine.model_file import PLAN_SUFFIX
from dep.engine.plan_file import PlanOrigin, read_plan
from dep.engine.runtime import onnxruntime_api, tensorrt_api
from dep.engine.runtime.device_network import DeviceNetwork
from dep.engine.runtime.gpu import GpuRuntime
from dep.engine.runtime.onnxruntime_gpu import OnnxRuntimeNetwork
from dep.engine.runtime.tensorrt_gpu import TensorRtNetwork
from dep.kernels import BackendError
from dep.kernels.cuda.cupy_device import CupyDevice
from dep.kernels.cuda.device import StreamDevice

BATCH = 4  # tiles at once of an ONNX file; a plan says its own
MIB = 1 << 20
# What ONNX Runtime may take of a memory limit: activations are most of what is needed.
SESSION_PART = 0.75


@dataclass(frozen=True, slots=True)
class GpuOptions:
    """What may be asked of a GPU.

    Attributes
    ----------
    precision : {"auto", "f32", "bf16"}
        A plan has its own. Of an ONNX file in float32: "f32" multiplies in float32,
        "auto" in TF32 where the GPU has it.
    threads : int
        For what remains on the processor.
    batch : int, optional
        Tiles at once.
    memory : int, optional
        MiB of the GPU's that may be taken, beside CUDA's own few hundred.
    cuda_graph : bool
        Record launches and replay them; plans only.
    """

    precision: RuntimePrecision
    threads: int
    batch: int | None = None
    memory: int | None = None
    cuda_graph: bool = False


def find_gpu(extra: str = "gpu") -> StreamDevice:
    """Open the first GPU.

    Parameters
    ----------
    extra
        Which of dep's extras to advise where packages are missing.

    Raises
    ------
    DeviceError
        There is none, or CuPy does not find it; says what to install.
    """
    if not has_driver():
        message = "there is no NVIDIA driver on this machine"
        raise DeviceError(message)
    if find_spec("cupy") is None:
        message = f"CuPy is not installed: {install(extra)}"
        raise DeviceError(message)
    try:
        return CupyDevice()
    except BackendError as error:
        raise DeviceError(str(error)) from error


def has_driver() -> bool:
    """Say whether NVIDIA's driver is installed; no package need be."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def install(extra: str) -> str:
    """Say how to install one of the extras for GPUs."""
    command = f"pip install 'dep[{extra}]'"
    if find_spec("onnxruntime") is None:
        return command
    return f"pip uninstall onnxruntime, then {command}"


def missing_for(path: Path) -> str:
    """Say what a GPU lacks here to run a model file; empty where nothing does.

    Libraries are looked at, the model is not opened.
    """
    try:
        origin = _origin(path)
        find_gpu(_extra(origin))
        if origin is None:
            onnxruntime_api.load_with_cuda()
        else:
            tensorrt_api.load_tensorrt(origin.builder)  # type: ignore[arg-type]
    except DeviceError as error:
        return str(error)
    return ""


def open_on_gpu(path: Path, card: ModelCard, options: GpuOptions) -> GpuRuntime:
    """Open a model on the first GPU.

    Raises
    ------
    DeviceError
        No GPU, a library is missing, the plan is for another GPU or TensorRT, or the
        memory does not suffice; says what to do.
    ModelError
        The network is not what its card says.
    SettingError
        An option that the model or runtime does not have.
    """
    origin = _origin(path)
    try:
        gpu = find_gpu(_extra(origin))
    except DeviceError as error:
        message = f"{path}: needs an NVIDIA GPU that works: {error}"
        raise DeviceError(message) from error
    network, batch = (
        _onnx(path, card, gpu, options)
        if origin is None
        else _plan(path, card, origin, gpu, options)
    )
    try:
        _check_batch(path, network, options.batch)
    except BaseException:
        network.close()
        raise
    return GpuRuntime(
        network,
        gpu,
        card,
        batch=options.batch or batch,
        threads=options.threads,
        memory=options.memory,
    )


def _origin(path: Path) -> PlanOrigin | None:
    """Read what a plan needs; None of an ONNX file."""
    return read_plan(path)[1] if path.suffix == PLAN_SUFFIX else None


def _extra(origin: PlanOrigin | None) -> str:
    """Name the extra that runs a plan, or an ONNX file."""
    rtx = origin is not None and origin.builder == "tensorrt_rtx"
    return "gpu-rtx" if rtx else "gpu"


def _plan(
    path: Path,
    card: ModelCard,
    origin: PlanOrigin,
    gpu: StreamDevice,
    options: GpuOptions,
) -> tuple[DeviceNetwork, int]:
    if options.precision != "auto":
        message = (
            f"{path}: a plan has the precision it was built with ({card.precision}): "
            "leave out --precision, or export another plan"
        )
        raise SettingError(message)
    network = TensorRtNetwork(path, card, origin, gpu, cuda_graph=options.cuda_graph)
    return network, origin.batch[1]


def _onnx(
    path: Path, card: ModelCard, gpu: StreamDevice, options: GpuOptions
) -> tuple[DeviceNetwork, int]:
    if options.precision == "bf16" and card.precision != "bf16":
        message = (
            f"{path}: a GPU computes what the file says ({card.precision}); for bf16 "
            "export the model with --precision bf16, or compute on the processor "
            "(--device cpu)"
        )
        raise SettingError(message)
    limit = options.memory and int(SESSION_PART * options.memory * MIB)
    network = OnnxRuntimeNetwork(
        path, card, gpu, exact=options.precision == "f32", limit=limit
    )
    return network, BATCH


def _check_batch(path: Path, network: DeviceNetwork, batch: int | None) -> None:
    if batch is not None and not network.least <= batch <= network.most:
        message = (
            f"{path}: batch: expected {network.least} to {network.most} tiles, found "
            f"{batch}"
        )
        raise SettingError(message)
