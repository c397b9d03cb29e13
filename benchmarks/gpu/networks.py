"""The networks that are timed, and what PyTorch needs to compute them on a GPU.

`dep` has no PyTorch in its engine. `TorchNetwork` shows the streaming pipeline one all
the same, so that it runs on machines that have nothing else.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gpu.machine import need

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dep.engine.card import ModelCard

BUNDLED = Path("engine") / "data" / "standard.onnx"
PUBLISHED_TILE, PUBLISHED_OUTPUTS = 72, 13
LEARNT = "of the model file"


@dataclass(frozen=True)
class Network:
    """A network to be timed.

    Attributes
    ----------
    name
        "bundled" or "published".
    module
        As deployed: tiles to scores, activation and all.
    tile
        Edge of its tiles.
    weights
        Where they come from, in words.
    """

    name: str
    module: "nn.Module"
    tile: int
    weights: str


def bundled(root: Path) -> Network:
    """Build the bundled model's network; with random weights where onnx is missing."""
    from dep.engine.model_file import onnx_metadata, read_card

    without_settings()
    path = root / BUNDLED
    card = read_card(path)
    network_module = need("dep.train.network")
    deployed = need("dep.train.deployed").DeployedNetwork
    try:
        weights_module = need("dep.train.model_weights")
        importlib.import_module("onnx")
    except Exception as error:  # noqa: BLE001 - whatever it lacks
        import json

        entry = json.loads(onnx_metadata(path)["dep.network"])
        network = network_module.ResUNet3D(
            network_module.NetworkConfig.from_dict(entry["network"])
        )
        names, words = entry["classes"], f"random, for the file cannot be read: {error}"
    else:
        loaded = weights_module.load_model_weights(path)
        network, names, words = loaded.network, loaded.classes, LEARNT
    report = [name in card.class_names for name in names]
    return Network("bundled", deployed(network, report).eval(), card.tile, words)


def published() -> Network:
    """Build the published architecture, with random weights."""
    module = need("dep.train.network")
    deployed = need("dep.train.deployed").DeployedNetwork
    network = module.ResUNet3D(module.NetworkConfig(outputs=PUBLISHED_OUTPUTS))
    report = [True] * (PUBLISHED_OUTPUTS - 1)
    whole = deployed(network, report).eval()
    return Network("published", whole, PUBLISHED_TILE, "random")


def without_settings() -> None:
    """Let `dep.train.model_weights` load where pydantic is not installed.

    It names the class of a training's settings, which pydantic checks, as a type only.
    """
    try:
        importlib.import_module("pydantic")
    except ImportError:
        module = ModuleType("dep.train.config")
        module.TrainConfig = object  # type: ignore[attr-defined]
        sys.modules.setdefault("dep.train.config", module)


class TorchNetwork:
    """A network of PyTorch's in the streaming pipeline; see `DeviceNetwork` there.

    Parameters
    ----------
    module
        Takes tiles (b, 1, N, N, N) float32 and gives scores (b, C, N, N, N).
    precision : {"f32", "f16", "bf16"}
        "f32" multiplies in TF32 where the GPU has it; the others are AMP.
    most
        Tiles at once.
    place
        PyTorch's name of the device, "cuda"; "cpu" for tests without one.
    tile_bytes
        What PyTorch takes for a tile, if that was measured.
    """

    least = 1

    def __init__(
        self,
        module: "nn.Module",
        precision: str = "f16",
        *,
        most: int = 16,
        place: str = "cuda",
        tile_bytes: int = 0,
    ) -> None:
        import torch

        self._torch = torch
        self.name = f"torch {torch.__version__}"
        self.precision = precision
        self.scores: Any = precision
        self.most = most
        self.outside = 0
        self._tile_bytes = tile_bytes
        self._place = place
        layout: Any = torch.channels_last_3d
        self._module: nn.Module | None = module.to(place).to(memory_format=layout)

    def nbytes(self, batch: int) -> int:
        """Say what it takes: of a pool of its own, but of the same memory."""
        return batch * self._tile_bytes

    def enqueue(self, device: Any, tiles: Any, scores: Any) -> None:  # noqa: ANN401
        """Queue a batch on the device's stream.

        Parameters
        ----------
        device
            Its `stream_handle` is the stream.
        tiles : array (b, 1, N, N, N) float32
            On the device; its memory is shared, as that of `scores`.
        scores : array (b, C, N, N, N)
            Written; bfloat16 as 16-bit integers.
        """
        torch = self._torch
        if self._module is None:
            message = "the network is closed"
            raise RuntimeError(message)
        with self._on(device), torch.inference_mode():
            given = torch.as_tensor(tiles, device=self._place)
            target = torch.as_tensor(scores, device=self._place)
            if self.scores == "bf16":
                target = target.view(torch.bfloat16)
            try:
                target.copy_(self.compute(given))
            except torch.OutOfMemoryError as error:
                raise MemoryError(str(error)) from error

    def compute(self, tiles: "Tensor") -> "Tensor":
        """Give the scores of tiles, in whatever type they come."""
        assert self._module is not None
        with amp(self.precision, self._place):
            scores: Tensor = self._module(tiles)
        return scores

    def _on(self, device: Any) -> AbstractContextManager[Any]:  # noqa: ANN401
        if self._place == "cpu":
            return contextlib.nullcontext()
        cuda = self._torch.cuda
        context: AbstractContextManager[Any] = cuda.stream(
            cuda.ExternalStream(device.stream_handle)
        )
        return context

    def release(self) -> None:
        """Let go of what PyTorch keeps for later."""
        if self._place != "cpu":
            self._torch.cuda.empty_cache()

    def close(self) -> None:
        """Let go of the network."""
        self._module = None
        self.release()


@contextlib.contextmanager
def amp(precision: str, place: str = "cuda") -> Iterator[None]:
    """Compute in mixed precision: "f16" or "bf16"; with others all is float32."""
    import torch

    types = {"f16": torch.float16, "bf16": torch.bfloat16}
    if precision not in types:
        yield
        return
    with torch.autocast(place, types[precision], cache_enabled=True):
        yield


def card_of(root: Path) -> "ModelCard":
    """Read the bundled model's card."""
    from dep.engine.model_file import read_card

    return read_card(root / BUNDLED)
