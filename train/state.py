"""The state of a training: network, its moving average, optimiser, step."""

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dep import __version__
from dep.engine.errors import DepError
from dep.kernels import available_threads
from dep.train.augment import Augmentation, augment
from dep.train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from dep.train.config import TrainConfig, config_values
from dep.train.loss import LossWeights, picking_loss
from dep.train.network import NetworkConfig, ResUNet3D

Crop = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]
GRADIENT_NORM = 5.0


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
    """All that changes from step to step, and how one step changes it."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        t = config.training
        name = t.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        elif name == "cuda" and not torch.cuda.is_available():
            msg = (
                "training.device is cuda, and torch finds no CUDA device; install a "
                'driver and a CUDA build of torch, or set device = "cpu"'
            )
            raise TrainingError(msg)
        self.device = torch.device(name)
        if self.device.type == "cpu":
            torch.set_num_threads(t.threads or available_threads())
        torch.manual_seed(t.seed)
        self.network = ResUNet3D(network_config(config))
        self.network.to(device=self.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.average = ResUNet3D(network_config(config)).to(self.device)
        self.average.load_state_dict(self.network.state_dict())
        self.average.requires_grad_(False)
        self.average.eval()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=t.learning_rate,
            betas=t.betas,
            weight_decay=t.weight_decay,
        )
        terms = {field.name for field in fields(LossWeights)}
        self.weights = LossWeights(**config.loss.model_dump(include=terms))
        self.step = 0

    def start_from(self, path: Path) -> None:
        """Take the weights of another checkpoint of the same network."""
        source = load_checkpoint(path).network
        if source.config != self.network.config:
            msg = (
                f"{path}: holds the network {source.config}; the configuration asks "
                f"for {self.network.config}"
            )
            raise CheckpointError(msg)
        self.network.load_state_dict(source.state_dict())
        self.average.load_state_dict(source.state_dict())

    def restore(self, path: Path) -> None:
        """Go on from a `last.ckpt`."""
        checkpoint = load_checkpoint(path)
        state = checkpoint.training
        if state is None:
            msg = f"{path}: holds no optimiser to resume from"
            raise CheckpointError(msg)
        mine = config_values(self.config)
        if checkpoint.config is not None:
            changed = sorted(
                key
                for key in mine
                if key != "data" and mine[key] != checkpoint.config.get(key)
            )
            if changed:
                msg = (
                    f"{path}: was made by another configuration; these sections "
                    f"differ: {', '.join(changed)}. Start afresh in another folder, or "
                    "restore the configuration."
                )
                raise CheckpointError(msg)
        self.network.load_state_dict(state["raw"])
        self.average.load_state_dict(checkpoint.network.state_dict())
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = checkpoint.step

    def advance(self, step: int, crop: Crop, spread: Augmentation) -> float:
        """Make one optimiser step and return its loss."""
        t = self.config.training
        generator = torch.Generator().manual_seed(t.seed * 1_000_003 + step)
        try:
            image, labels = augment(
                torch.from_numpy(crop[0]).to(self.device),
                torch.from_numpy(crop[1]).to(self.device),
                t.patch,
                spread,
                generator,
            )
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(step, self.config)
            with torch.autocast(
                self.device.type,
                dtype=torch.bfloat16,
                enabled=t.precision == "bf16",
            ):
                logits = self.network(image.to(memory_format=torch.channels_last_3d))
            loss = picking_loss(logits, labels, self.weights)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        except torch.OutOfMemoryError as error:
            msg = (
                f"out of memory at batch {t.batch} and patch {t.patch}: lower "
                "training.batch or training.patch"
            )
            raise TrainingError(msg) from error
        value = float(loss.detach())
        if not math.isfinite(value):
            msg = (
                f"the loss is {value} at step {step}: lower training.learning_rate, or "
                "look for broken voxels in the tomograms with `dep info`"
            )
            raise TrainingError(msg)
        self.optimizer.step()
        self.step = step + 1
        self._average()
        return value

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights; young averages follow faster."""
        decay = min(self.config.training.ema_decay, (1 + self.step) / (10 + self.step))
        mine: list[Tensor] = []
        theirs: list[Tensor] = []
        for ours, new in zip(
            self.average.state_dict().values(),
            self.network.state_dict().values(),
            strict=True,
        ):
            if ours.is_floating_point():
                mine.append(ours)
                theirs.append(new)
            else:
                ours.copy_(new)
        torch._foreach_lerp_(mine, theirs, 1 - decay)

    def save(self, last: Path, model: Path) -> None:
        """Write both checkpoints, each whole or not at all."""
        common = {
            "network": self.network.config.to_dict(),
            "state_dict": self.average.state_dict(),
            "config": config_values(self.config),
            "step": self.step,
            "software": f"dep {__version__}",
        }
        save_checkpoint(model, common)
        save_checkpoint(
            last,
            {
                **common,
                "training": {
                    "raw": self.network.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                },
            },
        )
