"""Compute the network with ONNX Runtime on the processor."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ModelCard
from dep.engine.errors import DeviceError, ModelError, StoppedError
from dep.engine.runtime.contract import (
    INPUT,
    OUTPUT,
    check_network,
    takes_any_tile,
)
from dep.engine.runtime.onnxruntime_api import (
    SEVERITY_ERROR,
    failures,
    load_onnxruntime,
)


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
        runtime = load_onnxruntime()
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
        except failures(runtime) as error:
            message = f"{path}: ONNX Runtime cannot open this model ({error})"
            raise ModelError(message) from error
        inputs = {one.name: one.shape for one in self._session.get_inputs()}
        check_network(
            path,
            card,
            inputs,
            {one.name: one.shape for one in self._session.get_outputs()},
        )
        self.free = takes_any_tile(card, inputs[INPUT])
        self._failures = failures(runtime)
        self._options_of_call = runtime.RunOptions
        self._guard = threading.Lock()  # of the next
        self._running: Any = None  # the options of the call that computes

    def infer(self, tiles: NDArray[np.float32]) -> NDArray[Any]:
        """Compute scores; see `Runtime.infer`. Each call returns its own array."""
        if self._session is None:
            message = "the model is closed"
            raise DeviceError(message)
        options = self._options_of_call()
        with self._guard:
            self._running = options
        try:
            (scores,) = self._session.run([OUTPUT], {INPUT: tiles}, options)
        except self._failures as error:
            if options.terminate:
                message = "the network was interrupted"
                raise StoppedError(message) from error
            message = f"ONNX Runtime failed: {error}"
            raise DeviceError(message) from error
        finally:
            with self._guard:
                self._running = None
        result: NDArray[Any] = scores
        return result

    def interrupt(self) -> None:
        """End the call at hand; see `Runtime.interrupt`."""
        with self._guard:
            if self._running is not None:
                self._running.terminate = True  # read before each layer

    def close(self) -> None:
        """Release the network."""
        self._session = None
