"""Choose what computes a network, and say clearly what is missing."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, get_args

from dep.engine.card import ModelCard
from dep.engine.choices import Device, RuntimeName, RuntimePrecision
from dep.engine.errors import DeviceError, SettingError
from dep.engine.model_file import PLAN_SUFFIX
from dep.engine.runtime import onnxruntime_api, onnxruntime_cpu, openvino_cpu
from dep.engine.runtime.gpu_choice import GpuOptions, missing_for, open_on_gpu
from dep.engine.runtime.protocol import Runtime
from dep.kernels import available_threads

log = logging.getLogger(__name__)

INSTALL_CPU = "pip install 'dep[cpu]'"


class _Options(TypedDict):
    precision: str
    threads: int
    batch: int


@dataclass(frozen=True, slots=True)
class Installed:
    """Whether a runtime works here.

    Attributes
    ----------
    name : str
        ``openvino`` or ``onnxruntime``.
    version : str or None
        None where it is not installed or broken.
    precisions : tuple of str
        That it computes on this machine.
    problem : str
        Why it does not work; empty where it does.
    """

    name: str
    version: str | None
    precisions: tuple[str, ...]
    problem: str


def installed() -> list[Installed]:
    """Try every runtime, fastest first, as `auto` does."""
    return [
        _try("openvino", openvino_cpu.version, openvino_cpu.has_bf16),
        _try("onnxruntime", onnxruntime_api.version, lambda: False),
    ]


def _try(
    name: str, version: Callable[[], str | None], bf16: Callable[[], bool]
) -> Installed:
    try:
        found = version()
        if found is None:
            return Installed(name, None, (), "not installed")
        return Installed(name, found, ("f32", "bf16") if bf16() else ("f32",), "")
    except DeviceError as error:
        return Installed(name, None, (), str(error))


def open_runtime(
    path: Path,
    card: ModelCard,
    *,
    device: Device = "auto",
    precision: RuntimePrecision = "auto",
    runtime: RuntimeName = "auto",
    threads: int | None = None,
    batch: int | None = None,
    gpu_memory: int | None = None,
    cuda_graph: bool = False,
) -> Runtime:
    """Open a model with the fastest runtime that works.

    Parameters
    ----------
    path : Path
        The model file.
    card : ModelCard
        Its card.
    device : {"auto", "cpu", "cuda"}
        Where to compute. What is asked for by name is never replaced by another; `auto`
        takes a GPU where all is there that the model needs on it. A plan has no other.
    precision : {"auto", "f32", "bf16"}
        Of the arithmetic; `auto` is float32 on a processor. On a GPU it is what the
        file asks for, with float32 multiplied as TF32 where the GPU has it.
    runtime : {"auto", "openvino", "onnxruntime", "tensorrt"}
        `auto` takes TensorRT for plans and ONNX Runtime for ONNX files on a GPU, on a
        processor OpenVINO where it works, else ONNX Runtime.
    threads : int, optional
        Default: the cores that this process may use.
    batch : int, optional
        Tiles computed at once. Default: on a processor 1, since one tile occupies all
        cores; on a GPU what the plan was built for best, or 4.
    gpu_memory : int, optional
        MiB of a GPU's memory that may be taken; the batch is made to fit.
    cuda_graph : bool
        Record a plan's launches once and replay them.

    Raises
    ------
    DeviceError
        The device, runtime or precision is not to be had; says what to install.
    ModelError
        The runtime refuses the model, or the network is not what its card says.
    SettingError
        An unknown device, precision or runtime, fewer than one thread or tile, or an
        option that the model or the runtime does not have.
    """
    _check("device", device, get_args(Device))
    _check("precision", precision, get_args(RuntimePrecision))
    _check("runtime", runtime, get_args(RuntimeName))
    for name, value in (
        ("threads", threads),
        ("batch", batch),
        ("gpu_memory", gpu_memory),
    ):
        if value is not None and value < 1:
            message = f"{name}: expected a whole number, 1 or more, found {value}"
            raise SettingError(message)
    threads = threads or available_threads()
    on_gpu = GpuOptions(precision, threads, batch, gpu_memory, cuda_graph)
    wants_gpu = _wants_gpu(path, device, runtime)
    if cuda_graph and path.suffix != PLAN_SUFFIX:
        message = f"{path}: CUDA graphs are for plans; leave out --cuda-graph"
        raise SettingError(message)
    if wants_gpu:
        return open_on_gpu(path, card, on_gpu)
    if gpu_memory is not None and (device == "cpu" or runtime == "openvino"):
        message = "a limit of GPU memory says nothing of the processor: leave one out"
        raise SettingError(message)
    if device == "auto" and runtime != "openvino":
        why_not = missing_for(path)
        if not why_not:
            try:
                return open_on_gpu(path, card, on_gpu)
            except DeviceError as error:
                log.warning("going on with the processor: %s", error)
        else:
            # Who limits a GPU's memory means to use one.
            level = logging.INFO if gpu_memory is None else logging.WARNING
            log.log(level, "going on with the processor: %s", why_not)
    return _on_processor(
        path,
        card,
        runtime,
        {
            "precision": "f32" if precision == "auto" else precision,
            "threads": threads,
            "batch": batch or 1,
        },
    )


def _wants_gpu(path: Path, device: Device, runtime: RuntimeName) -> bool:
    """Say whether nothing but a GPU will do; refuse what contradicts itself."""
    plan = path.suffix == PLAN_SUFFIX
    if plan and device == "cpu":
        message = (
            f"{path}: a TensorRT plan runs on an NVIDIA GPU only. Leave out --device "
            "cpu, or use the .onnx file of the same model."
        )
        raise DeviceError(message)
    if plan and runtime in ("openvino", "onnxruntime"):
        message = f"{path}: a plan is TensorRT's, and {runtime} does not read it"
        raise SettingError(message)
    if not plan and runtime == "tensorrt":
        message = (
            f"{path}: TensorRT computes plans. Build one: dep export {path} -o "
            f"{path.with_suffix(PLAN_SUFFIX).name}"
        )
        raise SettingError(message)
    if device == "cuda" and runtime == "openvino":
        message = "runtime openvino computes on the processor: leave out --device cuda"
        raise SettingError(message)
    return plan or device == "cuda"


def _on_processor(
    path: Path, card: ModelCard, runtime: RuntimeName, options: _Options
) -> Runtime:
    if runtime == "auto":
        runtime = _fastest()
    try:
        if runtime == "openvino":
            return openvino_cpu.OpenVinoCpu(path, card, **options)
        return onnxruntime_cpu.OnnxRuntimeCpu(path, card, **options)
    except ModuleNotFoundError as error:
        message = f"{runtime} is not installed: {INSTALL_CPU}"
        raise DeviceError(message) from error


def _fastest() -> RuntimeName:
    """Name the fastest runtime that works here.

    Raises
    ------
    DeviceError
        None does; says why for each.
    """
    problems = []
    probes: tuple[tuple[RuntimeName, Callable[[], str | None]], ...] = (
        ("openvino", openvino_cpu.version),
        ("onnxruntime", onnxruntime_api.version),
    )
    for name, version in probes:
        try:
            if version() is not None:
                return name
            problems.append(f"{name} is not installed")
        except DeviceError as error:
            problems.append(f"{name}: {error}")
    message = (
        f"nothing here can compute the network ({'; '.join(problems)}): {INSTALL_CPU}"
    )
    raise DeviceError(message)


def _check(name: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        message = f"{name}: expected one of {', '.join(options)}, found {value!r}"
        raise SettingError(message)
