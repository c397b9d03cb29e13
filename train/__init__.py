"""Coordinates and tomograms in, a checkpoint out.

The public names are imported when they are first asked for (PEP 562): the simulator,
`dep.train.simulate`, needs no torch and must not load it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dep.train.checkpoint import Checkpoint, CheckpointError, load_checkpoint
    from dep.train.config import ConfigError, TrainConfig, load_config
    from dep.train.fit import Progress, train
    from dep.train.labels import weak_labels
    from dep.train.network import NetworkConfig, ResUNet3D
    from dep.train.state import TrainingError

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "ConfigError",
    "NetworkConfig",
    "Progress",
    "ResUNet3D",
    "TrainConfig",
    "TrainingError",
    "load_checkpoint",
    "load_config",
    "train",
    "weak_labels",
]

_HOME = {
    "Checkpoint": "checkpoint",
    "CheckpointError": "checkpoint",
    "ConfigError": "config",
    "NetworkConfig": "network",
    "Progress": "fit",
    "ResUNet3D": "network",
    "TrainConfig": "config",
    "TrainingError": "state",
    "load_checkpoint": "checkpoint",
    "load_config": "config",
    "train": "fit",
    "weak_labels": "labels",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOME:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next time it is found without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
