"""Compute the network with ONNX Runtime on a GPU, bound to memory that is ours.

Tiles and scores stay where they are: `IOBinding` takes their addresses, and the session
computes on the stream that the copies and the kernels are queued on, without waiting.
"""

from pathlib import Path
from typing import Any

import numpy as np

from dep.engine.card import ModelCard
from dep.engine.errors import DeviceError, ModelError
from dep.engine.runtime.contract import INPUT, OUTPUT, check_network
from dep.engine.runtime.device_network import computed_in, lacks_memory
from dep.engine.runtime.onnxruntime_api import (
    CUDA_PROVIDER,
    SEVERITY_ERROR,
    failures,
    load_with_cuda,
)
from dep.kernels.cuda.assemble import ScoreType
from dep.kernels.cuda.device import DeviceArray, StreamDevice

MOST = 64  # tiles; more than any GPU's memory holds
# ONNX Runtime's name of a tensor's type -> what the assemble kernel calls it, and
# NumPy's type or ONNX's number of it (onnx.proto, TensorProto.DataType).
_SCORES: dict[str, tuple[ScoreType, Any]] = {
    "tensor(float)": ("f32", np.float32),
    "tensor(float16)": ("f16", np.float16),
    "tensor(bfloat16)": ("bf16", 16),
}


class OnnxRuntimeNetwork:
    """An ONNX file in a session on a GPU; see `DeviceNetwork` for what it offers.

    Parameters
    ----------
    path, card
        The model.
    device : StreamDevice
        Its stream is the session's.
    exact : bool
        Multiply float32 as float32; otherwise as TF32 where the GPU has it, as PyTorch
        and TensorRT do.
    limit : int, optional
        Bytes that the session may take for itself.

    Raises
    ------
    DeviceError
        No ONNX Runtime for GPUs, or it does not take the GPU.
    ModelError
        It refuses the model, or the network is not what its card says.
    """

    def __init__(
        self,
        path: Path,
        card: ModelCard,
        device: StreamDevice,
        *,
        exact: bool,
        limit: int | None = None,
    ) -> None:
        runtime = load_with_cuda()
        self._failures = failures(runtime)
        self.name = f"onnxruntime {runtime.__version__}"
        self.precision = computed_in(card, device, exact=exact)
        self.least, self.most = 1, MOST
        self.outside = limit or 0
        provider = {
            "device_id": str(device.number),
            "user_compute_stream": str(device.stream_handle),
            # Trying out every algorithm would take seconds for each size of batch, and
            # workspace that no limit holds.
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
            "use_tf32": "0" if exact else "1",
        }
        if limit is not None:
            provider["gpu_mem_limit"] = str(limit)
        options = runtime.SessionOptions()
        options.log_severity_level = SEVERITY_ERROR
        try:
            self._session = runtime.InferenceSession(
                str(path), options, providers=[(CUDA_PROVIDER, provider)]
            )
        except self._failures as error:
            if lacks_memory(str(error)):
                message = f"{path}: not enough GPU memory to open the model: {error}"
                raise DeviceError(message) from error
            message = f"{path}: ONNX Runtime cannot open this model ({error})"
            raise ModelError(message) from error
        if CUDA_PROVIDER not in self._session.get_providers():
            # It has logged why and gone on with the processor, which nobody asked for.
            message = (
                f"{self.name} does not take {device.name}: its CUDA or cuDNN libraries "
                "do not load. Install those that it was built for: pip install "
                "'onnxruntime-gpu[cuda,cudnn]'"
            )
            raise DeviceError(message)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        check_network(
            path,
            card,
            {one.name: one.shape for one in inputs},
            {one.name: one.shape for one in outputs},
        )
        self.scores, self._score_type = _score_type(path, outputs[0].type)
        self._run = runtime.RunOptions()
        # What follows is queued on the same stream; the host need not wait.
        self._run.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def nbytes(self, batch: int) -> int:
        """Say 0: all that it takes is its own arena's, which `limit` holds."""
        del batch
        return 0

    def enqueue(
        self, device: StreamDevice, tiles: DeviceArray, scores: DeviceArray
    ) -> None:
        """Queue a batch; see `DeviceNetwork.enqueue`."""
        if self._session is None:
            message = "the model is closed"
            raise DeviceError(message)
        binding = self._session.io_binding()
        for bind, name, kind, array in (
            (binding.bind_input, INPUT, np.float32, tiles),
            (binding.bind_output, OUTPUT, self._score_type, scores),
        ):
            bind(name, "cuda", device.number, kind, array.shape, device.pointer(array))
        try:
            self._session.run_with_iobinding(binding, self._run)
        except self._failures as error:
            if lacks_memory(str(error)):
                raise MemoryError(str(error)) from error
            message = f"ONNX Runtime failed: {error}"
            raise DeviceError(message) from error

    def release(self) -> None:
        """Do nothing: the session's arena is one, and goes with it."""

    def close(self) -> None:
        """Release the network."""
        self._session = None


def _score_type(path: Path, kind: str) -> tuple[ScoreType, Any]:
    if kind not in _SCORES:
        message = f"{path}: scores of type {kind}, expected one of {', '.join(_SCORES)}"
        raise ModelError(message)
    return _SCORES[kind]
