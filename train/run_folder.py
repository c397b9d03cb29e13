"""The folder of a run: what is in it, each file whole or not there at all."""

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dep import __version__
from dep.engine.atomic import atomic_text
from dep.train.card import make_card, weights_digest
from dep.train.checkpoint import save_checkpoint
from dep.train.config import TrainConfig, config_values
from dep.train.history import History
from dep.train.state import TrainingError

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]

LOCK_TRIES = 50  # each a tenth of a second: a run that was stopped may still be ending


class RunFolder:
    """Names and writes the files of a run.

    Parameters
    ----------
    path
        The folder; made when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / "model.ckpt"
        self.last = path / "last.ckpt"
        self.best = path / "best"
        self.metrics = path / "metrics.csv"
        self.curves = path / "curves.png"
        self.summary = path / "summary.json"
        self._started_from: Mapping[str, Any] | None = None

    def overlay(self, tomogram: str) -> Path:
        """Return the picture of a tomogram's picks."""
        return self.path / f"overlay_{tomogram}.png"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other trainings out of the folder, until the block or the process ends.

        Where the file system knows no locks, nobody is kept out.

        Raises
        ------
        TrainingError
            Another process is training into it, and does not end within 5 seconds.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            yield
            return
        folder = os.open(self.path, os.O_RDONLY)
        try:
            for tries_left in reversed(range(LOCK_TRIES)):
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if not tries_left:
                        raise TrainingError(_taken(self.path)) from None
                    time.sleep(0.1)
                except OSError:
                    break
                else:
                    break
            yield
        finally:
            os.close(folder)

    def begin(
        self,
        config: TrainConfig,
        device: torch.device,
        world: int,
        started_from: Mapping[str, Any] | None,
    ) -> None:
        """Write the configuration as used and what it runs with.

        Where the weights came from is kept for the summary.
        """
        self._started_from = started_from
        self.path.mkdir(parents=True, exist_ok=True)
        _write_json(self.path / "config.json", config_values(config))
        _write_json(self.path / "versions.json", versions(device, world))

    def write_model(self, content: Mapping[str, Any], config: TrainConfig) -> None:
        """Write `model.ckpt`, and the card that belongs to its weights."""
        save_checkpoint(self.model, content)
        digest = weights_digest(
            {name: value.cpu().numpy() for name, value in content["state_dict"].items()}
        )
        with atomic_text(self.path / "card.json") as file:
            file.write(make_card(config, digest).to_json() + "\n")

    def write_best(self, content: Mapping[str, Any], history: History) -> None:
        """Keep a validated checkpoint, where it is among the best."""
        for one in history.kept:
            if one.step == history.validated:
                self.best.mkdir(exist_ok=True)
                save_checkpoint(self.best / one.file, content)

    def write_last(self, content: Mapping[str, Any], history: History) -> None:
        """Write `last.ckpt`; then drop what is no longer among the best.

        In this order a killed run never lacks a checkpoint that it counts on.
        """
        save_checkpoint(self.last, content)
        if self.best.is_dir():
            kept = {one.file for one in history.kept}
            for path in self.best.glob("step_*.ckpt"):
                if path.name not in kept:
                    path.unlink()

    def write_summary(self, values: Mapping[str, Any]) -> None:
        """Write `summary.json`: these values and where the weights came from."""
        values = {**values, "started_from": self._started_from}
        _write_json(self.summary, values)


def _taken(path: Path) -> str:
    return (
        f"{path}: another training is writing into this folder. Wait for it or stop "
        "it, or choose another folder with -o; processes that torchrun or srun start "
        "belong together where training.devices says how many there are on a node"
    )


def versions(device: torch.device, world: int) -> dict[str, Any]:
    """Say what a run is made with: software, processor, devices."""
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return {
        "dep": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch_lightning": version("pytorch-lightning"),
        "numpy": np.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "device": f"{device.type} ({name})",
        "processes": world,
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    with atomic_text(path) as file:
        json.dump(values, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")
