"""The state of a training: network, its moving average, optimiser, step."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dep import __version__
from dep.engine.errors import DepError
from dep.train.checkpoint import Checkpoint, CheckpointError
from dep.train.config import ConfigError, TrainConfig, config_values, parse_config
from dep.train.network import NetworkConfig, ResUNet3D

# Entries of [training] that change nothing of the steps to come.
FREE = {
    "device",
    "threads",
    "save_every",
    "validate_every",
    "keep_best",
    "patience",
    "loggers",
}


class TrainingError(DepError, RuntimeError):
    """Training that cannot go on; the message says what to change."""


def network_config(config: TrainConfig) -> NetworkConfig:
    """Return the network that a configuration asks for."""
    return NetworkConfig(outputs=config.outputs, **config.network.model_dump())


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate of a step: linear warm-up, then a cosine to zero (one cycle)."""
    t = config.training
    warm = max(1, round(t.warm_up * t.steps))
    if step < warm:
        return t.learning_rate * (step + 1) / warm
    part = (step - warm) / max(1, t.steps - warm)
    return t.learning_rate * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))


class TrainingState:
    """All that changes from step to step and is kept in `last.ckpt`.

    Parameters
    ----------
    config
        What is trained.
    device
        Where its tensors live.

    Attributes
    ----------
    network
        What the optimiser changes.
    average
        Its moving average, which is validated and shipped; in evaluation mode.
    optimizer
        AdamW (Liu et al. 2024).
    step
        Steps made.
    notes
        What a person was told so far, by this process and those before it.
    started_from
        Where the weights came from (`dep.train.init_weights.started_from`); None where
        they were drawn.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        t = config.training
        self.config = config
        self.device = device
        # Made on the CPU, so that a seed gives the same weights on every device.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(t.seed)
            self.network = ResUNet3D(network_config(config))
            self.average = ResUNet3D(self.network.config).to(device)
        self.average.requires_grad_(False)
        self.average.eval()
        self.network.to(device=device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=t.learning_rate,
            betas=t.betas,
            weight_decay=t.weight_decay,
            # One pass over the weights instead of a dozen. With mixed precision
            # gradients are unscaled before they are clipped, which this cannot.
            fused=t.precision == "fp32",
        )
        self._averages = _floats(self.average)
        self._averaged = _floats(self.network)
        self.step = 0
        self.notes: list[str] = []
        self.started_from: dict[str, Any] | None = None
        self.start_from(self.network.state_dict())

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take other weights for the network and its average."""
        self.network.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def prepare(self) -> None:
        """Set the learning rate of the step that comes."""
        rate = learning_rate(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    @torch.no_grad()
    def settle(self) -> None:
        """Count a step made and let the average follow; young averages follow faster.

        Exponential: average += (1 - decay) (weights - average), batch norm's running
        statistics included.
        """
        self.step += 1
        decay = min(self.config.training.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self._averages, self._averaged, 1 - decay)

    def shipped(self) -> dict[str, Any]:
        """Return what `model.ckpt` holds: averaged weights and the configuration."""
        weights = self.average.state_dict()
        for name, value in self.network.state_dict().items():
            if not value.is_floating_point():  # batches that batch norms have seen
                weights[name].copy_(value)
        return {
            "network": self.network.config.to_dict(),
            "state_dict": weights,
            "config": config_values(self.config),
            "step": self.step,
            "software": f"dep {__version__}",
        }

    def resumable(self) -> dict[str, Any]:
        """Return what a resumed run needs besides."""
        return {
            "raw": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "notes": list(self.notes),
            "started_from": self.started_from,
        }

    def restore(self, checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
        """Go on from a `last.ckpt`.

        Returns
        -------
        dict
            The rest of what it holds for resuming.

        Raises
        ------
        CheckpointError
            If it holds no optimiser, or was made by another configuration.
        """
        state = checkpoint.training
        if state is None:
            msg = f"{path}: holds no optimiser to resume from"
            raise CheckpointError(msg)
        changed = _changes(self.config, checkpoint.config, path)
        if changed:
            msg = (
                f"{path}: was made by another configuration; these entries differ: "
                f"{', '.join(changed)}. Start afresh in another folder, or restore the "
                "configuration."
            )
            raise CheckpointError(msg)
        try:
            self.network.load_state_dict(state["raw"])
            self.average.load_state_dict(checkpoint.network.state_dict())
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, ValueError, RuntimeError) as error:
            msg = f"{path}: a damaged checkpoint: {error}"
            raise CheckpointError(msg) from error
        self.step = checkpoint.step
        # Development versions kept neither.
        self.notes = list(state.get("notes", ()))
        self.started_from = state.get("started_from")
        return state


def _floats(network: ResUNet3D) -> list[Tensor]:
    """List the weights and running statistics of a network, not its counters."""
    return [one for one in network.state_dict().values() if one.is_floating_point()]


def _changes(
    config: TrainConfig, stored: dict[str, Any] | None, path: Path
) -> list[str]:
    """Name the entries that decide the steps to come and differ from the stored."""
    if stored is None:
        return []
    try:
        # Parsed, so that entries which an older version did not have are defaults.
        theirs = config_values(parse_config(stored, str(path)))
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    mine = config_values(config)
    changed = []
    for key in mine:
        # Tomograms may have moved; a description describes.
        if key in ("data", "description") or mine[key] == theirs[key]:
            continue
        if not isinstance(mine[key], dict):
            changed.append(key)
            continue
        changed += [
            f"{key}.{name}"
            for name in mine[key]
            if mine[key][name] != theirs[key][name]
            and not (key == "training" and name in FREE)
        ]
    return changed
