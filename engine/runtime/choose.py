"""Choose what computes a network, and say clearly what is missing."""

import ctypes.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict, get_args

from dep.engine.card import ModelCard
from dep.engine.choices import Device, RuntimeName, RuntimePrecision
from dep.engine.errors import DeviceError, SettingError
from dep.engine.model_file import PLAN_SUFFIX
from dep.engine.runtime import onnxruntime_cpu, openvino_cpu
from dep.engine.runtime.protocol import Runtime
from dep.kernels import available_threads

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
        _try("onnxruntime", onnxruntime_cpu.version, lambda: False),
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
) -> Runtime:
    """Open a model with the fastest runtime that works.

    Parameters
    ----------
    path : Path
        The model file.
    card : ModelCard
        Its card.
    device : {"auto", "cpu", "cuda"}
        Where to compute. What is asked for by name is never replaced by another.
    precision : {"auto", "f32", "bf16"}
        Of the arithmetic; `auto` is float32.
    runtime : {"auto", "openvino", "onnxruntime"}
        `auto` takes OpenVINO where it works, else ONNX Runtime.
    threads : int, optional
        Default: the cores that this process may use.
    batch : int, optional
        Tiles computed at once. Default: 1, since one tile occupies all cores.

    Raises
    ------
    DeviceError
        The device, runtime or precision is not to be had; says what to install.
    ModelError
        The runtime refuses the model, or the network is not what its card says.
    SettingError
        An unknown device, precision or runtime, or fewer than one thread or tile.
    """
    _check("device", device, get_args(Device))
    _check("precision", precision, get_args(RuntimePrecision))
    _check("runtime", runtime, get_args(RuntimeName))
    for name, value in (("threads", threads), ("batch", batch)):
        if value is not None and value < 1:
            message = f"{name}: expected a whole number, 1 or more, found {value}"
            raise SettingError(message)
    if device == "cuda":
        raise DeviceError(_no_cuda())
    if path.suffix == PLAN_SUFFIX:
        message = (
            f"{path}: a TensorRT plan needs an NVIDIA GPU and the TensorRT runtime, "
            "which this version of dep does not drive. Use the .onnx file of the same "
            "model."
        )
        raise DeviceError(message)
    options: _Options = {
        "precision": "f32" if precision == "auto" else precision,
        "threads": threads or available_threads(),
        "batch": batch or 1,
    }
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
        ("onnxruntime", onnxruntime_cpu.version),
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


def _no_cuda() -> str:
    """Say why there is no CUDA here."""
    missing = [
        f"{what} ({hint})"
        for there, what, hint in (
            (ctypes.util.find_library("cuda"), "NVIDIA driver", "libcuda not found"),
            (find_spec("cupy"), "CuPy", "pip install cupy-cuda13x"),
            (
                find_spec("tensorrt") or find_spec("tensorrt_rtx"),
                "TensorRT",
                "pip install tensorrt",
            ),
        )
        if not there
    ]
    lacks = f" This machine also lacks: {'; '.join(missing)}." if missing else ""
    return (
        "device cuda: this version of dep computes on the processor only."
        f"{lacks} Use --device cpu."
    )
