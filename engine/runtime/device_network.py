"""What computes a network on a GPU must offer: TensorRT and ONNX Runtime do."""

from typing import Protocol

from dep.engine.card import ModelCard
from dep.kernels.cuda.assemble import ScoreType
from dep.kernels.cuda.device import DeviceArray, StreamDevice

SCORE_TYPES: dict[ScoreType, str] = {"f32": "f4", "f16": "f2", "bf16": "u2"}
OUT_OF_MEMORY = (
    "out of memory",
    "outofmemory",
    "failed to allocate memory",
    "cudaerrormemoryallocation",
    "cudnn_status_alloc_failed",
)
# From Ampere on, convolutions of float32 may round what they multiply to TF32.
TF32_FROM = (8, 0)


def computed_in(card: ModelCard, device: StreamDevice, *, exact: bool) -> str:
    """Say what a network's arithmetic is on a device: f32, tf32, f16, bf16 or int8."""
    asked = {"fp32": "f32", "fp16": "f16"}.get(card.precision, card.precision)
    new = tuple(int(part) for part in device.capability.split(".")) >= TF32_FROM
    return "tf32" if asked == "f32" and new and not exact else asked


def lacks_memory(words: str) -> bool:
    """Tell a lack of memory from what a library says of other failures.

    An illegal memory access is another.
    """
    said = words.lower()
    return any(one in said for one in OUT_OF_MEMORY)


class DeviceNetwork(Protocol):
    """A network that computes on a device's stream.

    Attributes
    ----------
    name : str
        Such as ``tensorrt 10.13.3``.
    precision : str
        Of its arithmetic: f32, tf32, f16, bf16 or int8.
    scores : {"f32", "f16", "bf16"}
        Type of what it gives.
    least, most : int
        Tiles at once.
    outside : int
        Bytes that it holds, or may take, beside the device's pool; 0 if not known.
    """

    name: str
    precision: str
    scores: ScoreType
    least: int
    most: int
    outside: int

    def nbytes(self, batch: int) -> int:
        """Say how much of the device's pool it takes, beside tiles and scores."""
        ...

    def enqueue(
        self, device: StreamDevice, tiles: DeviceArray, scores: DeviceArray
    ) -> None:
        """Queue a batch on the device's stream.

        Parameters
        ----------
        device : StreamDevice
            Whose stream to use.
        tiles : (b, 1, N, N, N) float32
        scores : (b, C, N, N, N)
            Of the network's type, to be written.

        Raises
        ------
        DeviceError
            It cannot be queued.
        MemoryError
            The device has not enough memory.
        """
        ...

    def release(self) -> None:
        """Let go of what it holds for the batches so far: others will come."""
        ...

    def close(self) -> None:
        """Release it."""
        ...
