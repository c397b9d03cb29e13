"""Who is measured: a model, and what it is to be computed with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dep.engine.choices import Device, RuntimeName, RuntimePrecision
from dep.engine.picker import Picker
from dep.engine.tile_planner import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """What `Picker` is opened with; see there."""

    model: Path | None = None
    device: Device = "auto"
    precision: RuntimePrecision = "auto"
    runtime: RuntimeName = "auto"
    threads: int | None = None
    batch: int | None = None
    tile: Box | None = None

    def options(self) -> dict[str, Any]:
        """Give the options of `Picker` as plain values that JSON can hold."""
        return {
            "model": None if self.model is None else str(self.model),
            "device": self.device,
            "precision": self.precision,
            "runtime": self.runtime,
            "threads": self.threads,
            "batch": self.batch,
            "tile": self.tile,
        }

    def open(self) -> Picker:
        """Open the model.

        Raises
        ------
        ModelError, CardError, DeviceError, SettingError
            As `Picker` does.
        """
        tile = self.tile and tuple(self.tile)  # JSON knows lists only
        return Picker(**{**self.options(), "tile": tile})


@dataclass(frozen=True, slots=True)
class Entrant:
    """A contender whose model is open."""

    contender: Contender
    picker: Picker
