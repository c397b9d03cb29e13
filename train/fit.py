"""The training loop: steps, moving average of the weights, checkpoints, resume."""

import csv
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dep import __version__
from dep.engine.errors import DepError
from dep.kernels import available_threads
from dep.train.augment import Augmentation, augment, context
from dep.train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from dep.train.config import TrainConfig, config_values
from dep.train.data import PatchSampler, load_tomograms
from dep.train.loss import LossWeights, picking_loss
from dep.train.network import NetworkConfig, ResUNet3D

REPORT_SECONDS = 1.0

Crop = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]


class TrainingError(DepError, RuntimeError):
    """Training that cannot go on; the message says what to change."""


@dataclass(frozen=True)
class Progress:
    """One report of the loop.

    Attributes
    ----------
    step, steps
        Done and in all.
    loss
        Mean since the last report.
    learning_rate
        Of the last step.
    seconds
        Since this run started.
    seconds_per_step
        Mean since the last report.
    validation
        F1 and the like, when a validation has just been made.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    seconds_per_step: float
    validation: dict[str, float] | None = None


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


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    resume: bool = False,
    init: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a network; leave `model.ckpt`, `last.ckpt`, `metrics.csv` in a folder.

    Parameters
    ----------
    config
        What to train, from `load_config`.
    out
        The run's folder.
    resume
        Go on from `last.ckpt` in that folder. Every random draw depends on the seed and
        the step alone, so a resumed run sees the batches that it would have seen.
    init
        A checkpoint whose weights to start from (same network).
    progress
        Called about once a second of work.

    Returns
    -------
    Path
        Of `model.ckpt`: averaged weights and the configuration, for `dep export`.

    Raises
    ------
    ConfigError
        If the data do not fit the configuration.
    CheckpointError
        If there is nothing to resume from or the checkpoint is of another network.
    TrainingError
        If the loss is no longer finite, or memory runs out.
    """
    out = Path(out)
    last = out / "last.ckpt"
    if last.exists() and not resume:
        msg = (
            f"{out}: holds a run already ({last.name}); go on with --resume or choose "
            "another folder with -o"
        )
        raise TrainingError(msg)
    tomograms = load_tomograms(config.data.train, config)
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(config)
    if init is not None and not resume:
        run.start_from(Path(init))
    if resume:
        run.restore(last)
    (out / "config.json").write_text(json.dumps(config_values(config), indent=1) + "\n")

    t = config.training
    spread = Augmentation(**config.augmentation.model_dump(exclude={"random_patches"}))
    sampler = PatchSampler(
        tomograms=tomograms,
        edge=t.patch + 2 * context(t.patch, spread),
        patch=t.patch,
        batch=t.batch,
        random_part=config.augmentation.random_patches,
        seed=t.seed,
    )
    started = reported = time.perf_counter()
    losses: list[float] = []
    with _MetricsFile(out / "metrics.csv", append=resume) as metrics:
        for step, crop in _prefetch(sampler, run.step, t.steps):
            losses.append(run.advance(step, crop, spread))
            now = time.perf_counter()
            finished = step + 1 == t.steps
            validation = None
            if finished or (step + 1) % t.save_every == 0:
                run.save(last, out / "model.ckpt")
            if finished or now - reported >= REPORT_SECONDS or (step + 1) % 50 == 0:
                report = Progress(
                    step=step + 1,
                    steps=t.steps,
                    loss=sum(losses) / len(losses),
                    learning_rate=learning_rate(step, config),
                    seconds=now - started,
                    seconds_per_step=(now - reported) / len(losses),
                    validation=validation,
                )
                reported, losses = now, []
                metrics.write(report)
                if progress is not None:
                    progress(report)
    return out / "model.ckpt"


class _Run:
    """The state of a training: network, its moving average, optimiser, step."""

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
        self.network = ResUNet3D(network_config(config)).to(
            device=self.device, memory_format=torch.channels_last_3d
        )
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
        self.weights = LossWeights(**config.loss.model_dump())
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
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
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


def _prefetch(
    sampler: PatchSampler, first: int, end: int
) -> Iterator[tuple[int, Crop]]:
    """Yield (step, crop), cutting the next crops while the present one is used."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = [
            pool.submit(sampler, step) for step in range(first, min(first + 2, end))
        ]
        for step in range(first, end):
            crop = ahead.pop(0).result()
            if step + 2 < end:
                ahead.append(pool.submit(sampler, step + 2))
            yield step, crop


class _MetricsFile:
    """`metrics.csv`: one line per report."""

    COLUMNS = tuple(
        field.name
        for field in dataclasses.fields(Progress)
        if field.name != "validation"
    )

    def __init__(self, path: Path, *, append: bool) -> None:
        self._file = path.open("a" if append else "w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        if not append or path.stat().st_size == 0:
            self._writer.writerow(self.COLUMNS)

    def __enter__(self) -> "_MetricsFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, report: Progress) -> None:
        self._writer.writerow(
            [
                f"{value:.6g}" if isinstance(value, float) else value
                for value in (getattr(report, name) for name in self.COLUMNS)
            ]
        )
        self._file.flush()
