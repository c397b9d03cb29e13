"""ONNX Runtime as it is installed; the only module that imports it, when asked."""

import contextlib
import importlib
import io
import os
from importlib import metadata
from types import ModuleType
from typing import Any

from dep.engine.errors import DeviceError

# Distributions that install the module `onnxruntime`; two of them break each other.
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")
CUDA_PROVIDER = "CUDAExecutionProvider"
SEVERITY_ERROR = 3


def load_onnxruntime() -> ModuleType:
    """Import it.

    Raises
    ------
    ModuleNotFoundError
        It is not installed.
    DeviceError
        It is installed and does not work, or is installed twice.
    """
    both = [name for name in DISTRIBUTIONS if _installed(name)]
    if len(both) > 1:
        message = (
            "onnxruntime and onnxruntime-gpu are both installed. They install the same "
            "module and break each other: uninstall both, then install one of them."
        )
        raise DeviceError(message)
    # ONNX Runtime writes a device id and an event into the home folder while it is
    # being imported; only the environment can keep it from that.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        module = importlib.import_module("onnxruntime")
    except ModuleNotFoundError as error:
        if error.name == "onnxruntime":
            raise
        message = f"ONNX Runtime is installed but broken ({error}); install it again"
        raise DeviceError(message) from error
    except ImportError as error:
        message = f"ONNX Runtime is installed but broken ({error}); install it again"
        raise DeviceError(message) from error
    if not hasattr(module, "InferenceSession"):
        # What uninstalling one of the two leaves behind: an empty folder.
        message = (
            "ONNX Runtime is installed but empty; uninstall it and install it again"
        )
        raise DeviceError(message)
    module.disable_telemetry_events()
    return module


def version() -> str | None:
    """Say which ONNX Runtime is installed, or None.

    Raises
    ------
    DeviceError
        It is installed and does not work, or is installed twice.
    """
    try:
        return str(load_onnxruntime().__version__)
    except ModuleNotFoundError:
        return None


def load_with_cuda() -> ModuleType:
    """Import a build for GPUs, with CUDA's libraries loaded.

    Raises
    ------
    DeviceError
        It is not installed, does not work, or is a build for processors.
    """
    try:
        module = load_onnxruntime()
    except ModuleNotFoundError as error:
        message = (
            "ONNX Runtime is not installed: pip install 'dep[gpu]' brings "
            "onnxruntime-gpu"
        )
        raise DeviceError(message) from error
    if CUDA_PROVIDER not in module.get_available_providers():
        message = (
            f"onnxruntime {module.__version__} is a build for processors: uninstall "
            "onnxruntime and install onnxruntime-gpu"
        )
        raise DeviceError(message)
    preload: Any = getattr(module, "preload_dlls", None)
    if preload is not None:
        # Finds CUDA and cuDNN in NVIDIA's wheels; prints what it misses, which the
        # session says better.
        with contextlib.redirect_stdout(io.StringIO()):
            preload()
    return module


def failures(module: ModuleType) -> tuple[type[Exception], ...]:
    """Name the exceptions of its C API; they have no common base of their own."""
    state = module.capi.onnxruntime_pybind11_state
    named = (
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NoModel",
        "NoSuchFile",
        "NotImplemented",
        "RuntimeException",
        "EPFail",
    )
    return (
        RuntimeError,
        *(getattr(state, name) for name in named if hasattr(state, name)),
    )


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
