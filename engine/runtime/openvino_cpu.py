"""Compute the network with OpenVINO on the processor; the only place to import it."""

import importlib
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ModelCard
from dep.engine.errors import DeviceError, ModelError, StoppedError
from dep.engine.processor import lacks_bf16
from dep.engine.runtime.contract import (
    INPUT,
    OUTPUT,
    Edge,
    check_network,
    takes_any_tile,
)


class OpenVinoCpu:
    """A network compiled by OpenVINO; see `Runtime` for what it offers."""

    device = "cpu"

    def __init__(
        self, path: Path, card: ModelCard, *, precision: str, threads: int, batch: int
    ) -> None:
        openvino = _import()
        self.name = f"openvino {openvino.__version__.split('-')[0]}"
        self.precision = precision
        self.threads = threads
        self.batch = batch
        self._path = path
        core = openvino.Core()
        if precision == "bf16":
            _demand_bf16(core)
        try:
            model = core.read_model(path)
        except RuntimeError as error:
            message = f"{path}: OpenVINO cannot read this model ({_first_line(error)})"
            raise ModelError(message) from error
        inputs = _shapes(model.inputs)
        check_network(path, card, inputs, _shapes(model.outputs))
        self.free = takes_any_tile(card, inputs[INPUT])
        self._core, self._read = core, model
        self._model: Any = None  # compiled
        self._shape: tuple[int, ...] = ()
        self._requests: list[Any] = []
        self._closed = False
        self._turn = 0
        self._guard = threading.Lock()  # of the two below
        self._running: Any = None  # the request that computes
        self._interrupted = False
        if not self.free:
            self._compile((card.tile,) * 3)

    def _compile(self, tile: tuple[int, ...]) -> None:
        """Compile for tiles of one size: a fixed shape lays out its memory once."""
        self._requests, self._model = [], None  # the last size's memory goes first
        try:
            self._read.reshape({INPUT: [self.batch, 1, *tile]})
            self._model = self._core.compile_model(
                self._read,
                "CPU",
                {
                    # Said aloud: the default is bfloat16 where the chip has it.
                    "INFERENCE_PRECISION_HINT": {"f32": "f32", "bf16": "bf16"}[
                        self.precision
                    ],
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": self.threads,
                    "NUM_STREAMS": 1,
                },
            )
        except RuntimeError as error:
            message = (
                f"{self._path}: OpenVINO cannot compile this model "
                f"({_first_line(error)})"
            )
            raise ModelError(message) from error
        # Two requests in turn: one's scores are read while the other computes.
        self._requests = [self._model.create_infer_request() for _ in range(2)]
        self._shape, self._turn = tile, 0

    def infer(self, tiles: NDArray[np.float32]) -> NDArray[Any]:
        """Compute scores; see `Runtime.infer`."""
        if self._closed:
            message = "the model is closed"
            raise DeviceError(message)
        if tiles.shape[2:] != self._shape:
            self._compile(tiles.shape[2:])
        request = self._requests[self._turn]
        self._turn = 1 - self._turn
        many = len(tiles)
        if many < self.batch:
            whole = np.zeros((self.batch, *tiles.shape[1:]), np.float32)
            whole[:many] = tiles
            tiles = whole
        try:
            with self._guard:
                request.start_async({INPUT: tiles}, share_inputs=True)
                self._running, self._interrupted = request, False
            try:
                request.wait()
            finally:
                with self._guard:
                    self._running = None
            scores: NDArray[Any] = request.get_tensor(OUTPUT).data
        except RuntimeError as error:
            if self._interrupted:
                message = "the network was interrupted"
                raise StoppedError(message) from error
            message = f"OpenVINO failed: {_first_line(error)}"
            raise DeviceError(message) from error
        return scores[:many]

    def interrupt(self) -> None:
        """End the call at hand; see `Runtime.interrupt`."""
        with self._guard:
            if self._running is not None:
                self._interrupted = True
                self._running.cancel()

    def close(self) -> None:
        """Release the network."""
        self._closed = True
        self._requests = []
        self._core = self._read = self._model = None


def version() -> str | None:
    """Say which OpenVINO is installed, or None.

    Raises
    ------
    DeviceError
        It is installed and does not work.
    """
    try:
        return str(_import().__version__)
    except ModuleNotFoundError:
        return None


def has_bf16() -> bool:
    """Tell whether OpenVINO computes bfloat16 natively on this processor.

    Raises
    ------
    DeviceError, ModuleNotFoundError
        OpenVINO does not work, or is not installed.
    """
    return _has_bf16(_import().Core())


def _import() -> ModuleType:
    """Import OpenVINO without its telemetry.

    The package reports its import over the network unless its telemetry module is
    missing, so that module is hidden meanwhile. A picker does not phone home.
    """
    hidden = "openvino_telemetry"
    hide = "openvino" not in sys.modules and hidden not in sys.modules
    if hide:
        sys.modules[hidden] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        if error.name == "openvino":
            raise
        message = f"OpenVINO is installed but broken ({error}); install it again"
        raise DeviceError(message) from error
    except ImportError as error:
        message = f"OpenVINO is installed but broken ({error}); install it again"
        raise DeviceError(message) from error
    finally:
        if hide:
            sys.modules.pop(hidden, None)


def _shapes(ports: Any) -> dict[str, list[Edge]]:  # noqa: ANN401 - OpenVINO's ports
    return {
        port.any_name: [
            edge.get_length() if edge.is_static else None for edge in port.partial_shape
        ]
        for port in ports
    }


def _demand_bf16(core: Any) -> None:  # noqa: ANN401 - openvino.Core
    if not _has_bf16(core):
        name = core.get_property("CPU", "FULL_DEVICE_NAME").strip()
        message = (
            f"precision bf16: this processor ({name}) has no bfloat16 instructions "
            "(AVX512-BF16 or AMX). Use --precision f32."
        )
        raise DeviceError(message)


def _has_bf16(core: Any) -> bool:  # noqa: ANN401 - openvino.Core
    # OpenVINO lists it for chips that emulate it, too.
    known = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return known and not lacks_bf16()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
