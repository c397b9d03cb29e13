"""A tomogram and a model in, picks out."""

from dep.engine.card import ClassInfo, ModelCard
from dep.engine.errors import (
    CardError,
    DepError,
    DeviceError,
    ModelError,
    PicksError,
    SettingError,
    StoppedError,
    TomogramError,
    VoxelSizeError,
)
from dep.engine.many import Advance, Outcome
from dep.engine.model_file import read_card
from dep.engine.picker import Picker
from dep.engine.picks import Picks
from dep.engine.volume import Volume, open_volume

__all__ = [
    "Advance",
    "CardError",
    "ClassInfo",
    "DepError",
    "DeviceError",
    "ModelCard",
    "ModelError",
    "Outcome",
    "Picker",
    "Picks",
    "PicksError",
    "SettingError",
    "StoppedError",
    "TomogramError",
    "Volume",
    "VoxelSizeError",
    "open_volume",
    "read_card",
]
