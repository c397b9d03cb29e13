"""Compute the network with ONNX Runtime on the processor; only here imported."""

import importlib
import os
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ModelCard
from dep.engine.errors import DeviceError, ModelError
from dep.engine.runtime.contract import INPUT, OUTPUT, check_network

# Distributions that install the module `onnxruntime`; two of them break each other.
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")
SEVERITY_ERROR = 3


class OnnxRuntimeCpu:
    """A network in an ONNX Runtime session; see `Runtime` for what it offers."""

    device = "cpu"
    precision = "f32"

    def __init__(
        self, path: Path, card: ModelCard, *, precision: str, threads: int, batch: int
    ) -> None:
        if precision != "f32":
            message = (
                f"precision {precision}: ONNX Runtime computes float32 on the "
                "processor. Install openvino for bf16, or use --precision f32."
            )
            raise DeviceError(message)
        runtime = _import()
        self.name = f"onnxruntime {runtime.__version__}"
        self.threads = threads
        self.batch = batch
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = SEVERITY_ERROR
        # Idle workers sleep instead of spinning: the cores serve the other stages too.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except _errors(runtime) as error:
            message = f"{path}: ONNX Runtime cannot open this model ({error})"
            raise ModelError(message) from error
        check_network(
            path,
            card,
            {one.name: one.shape for one in self._session.get_inputs()},
            {one.name: one.shape for one in self._session.get_outputs()},
        )
        self._failures = _errors(runtime)

    def infer(self, tiles: NDArray[np.float32]) -> NDArray[Any]:
        """Compute scores; see `Runtime.infer`. Each call returns its own array."""
        if self._session is None:
            message = "the model is closed"
            raise DeviceError(message)
        try:
            (scores,) = self._session.run([OUTPUT], {INPUT: tiles})
        except self._failures as error:
            message = f"ONNX Runtime failed: {error}"
            raise DeviceError(message) from error
        result: NDArray[Any] = scores
        return result

    def close(self) -> None:
        """Release the network."""
        self._session = None


def version() -> str | None:
    """Say which ONNX Runtime is installed, or None.

    Raises
    ------
    DeviceError
        It is installed and does not work, or is installed twice.
    """
    try:
        return str(_import().__version__)
    except ModuleNotFoundError:
        return None


def _import() -> ModuleType:
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


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _errors(runtime: ModuleType) -> tuple[type[Exception], ...]:
    """Name the exceptions of its C API; they have no common base of their own."""
    state = runtime.capi.onnxruntime_pybind11_state
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
