"""The network in torch behind the engine's runtime protocol."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dep.train.deployed import DeployedNetwork


class TorchRuntime:
    """What the engine's pipeline runs on while training and when exports are checked.

    Parameters
    ----------
    network
        In evaluation mode.
    device
        Where to compute; the network is moved there.
    threads
        Reported only: torch's threads belong to the process.
    bf16
        Compute the convolutions in bfloat16.
    """

    batch = 1
    free = False  # validation and comparisons take the card's tile

    def __init__(
        self,
        network: DeployedNetwork,
        device: torch.device,
        *,
        threads: int,
        bf16: bool = False,
    ) -> None:
        self.name = f"torch {torch.__version__}"
        self.device = device.type
        self.precision = "bf16" if bf16 else "f32"
        self.threads = threads
        self._device = device
        self._network = network.eval().to(device)

    @torch.inference_mode()
    def infer(self, tiles: NDArray[np.float32]) -> NDArray[Any]:
        """Compute the scores (b, C, N, N, N) of tiles (b, 1, N, N, N)."""
        batch = torch.from_numpy(tiles).to(self._device)
        with torch.autocast(
            self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        ):
            scores = self._network(batch.to(memory_format=torch.channels_last_3d))
        result: NDArray[Any] = scores.float().contiguous().cpu().numpy()
        return result

    def interrupt(self) -> None:
        """Do nothing: torch offers no way to end a network half-way."""

    def close(self) -> None:
        """Nothing to release: the network belongs to the caller."""
