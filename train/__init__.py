"""Coordinates and tomograms in, a checkpoint out."""

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
