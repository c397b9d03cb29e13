"""What a run has measured, and the document that says it."""

from dataclasses import dataclass
from typing import Any

from dep.engine.bench.compare import Comparison
from dep.engine.bench.figures import Figures, Tiling
from dep.engine.bench.fresh import Fresh
from dep.engine.bench.machine import Machine
from dep.engine.bench.measure import Turn
from dep.engine.bench.subject import Subject
from dep.engine.picks import ModelIdentity, Picks

DOCUMENT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """All that was measured of one contender.

    Attributes
    ----------
    name : str
        "A" or "B".
    model : ModelIdentity
        Which model it is.
    picks : Picks
        What it found: the same in every round.
    batch : int
        Tiles that went through the network at once.
    voxel_factor : float
        Edge of a voxel that the network saw by that of the tomogram's.
    tiling, turns, figures, fresh
        See their classes.
    multiply_adds : int or None
        Of the network for one tile; None: not known.
    """

    name: str
    model: ModelIdentity
    picks: Picks
    batch: int
    voxel_factor: float
    tiling: Tiling
    turns: tuple[Turn, ...]
    figures: Figures
    fresh: Fresh
    multiply_adds: int | None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        stats = self.turns[0].stats
        return {
            "name": self.name,
            "model": {
                "name": self.model.name,
                "file": self.model.file,
                "weights_digest": self.model.weights_digest,
                "software": self.model.software,
                "multiply_adds_per_tile": self.multiply_adds,
            },
            "runtime": stats.runtime,
            "device": stats.device,
            "precision": stats.precision,
            "threads": stats.threads,
            "batch": self.batch,
            "tiles": self.tiling.to_dict(),
            "picks": len(self.picks),
            "warnings": list(self.picks.warnings),
            "medians": self.figures.to_dict(),
            "cold_start": self.fresh.cold_start.to_dict(),
            "memory": self.fresh.memory.to_dict(),
            "rounds": [
                {"seconds": turn.stats.seconds(), "network_alone": turn.alone}
                for turn in self.turns
            ],
        }


@dataclass(frozen=True, slots=True)
class Result:
    """What a run has measured.

    Attributes
    ----------
    machine : Machine
        Where.
    subject : Subject
        What was picked.
    measured : tuple of Measured
        One or two.
    comparison : Comparison or None
        Of two.
    """

    machine: Machine
    subject: Subject
    measured: tuple[Measured, ...]
    comparison: Comparison | None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        first = self.measured[0].picks
        return {
            "document": "dep bench",
            "version": DOCUMENT_VERSION,
            "machine": self.machine.to_dict(),
            "tomogram": {
                "name": first.tomogram,
                "made_up": self.subject.made_up,
                "shape_zyx": None if first.shape is None else list(first.shape),
                "voxel_size": first.voxel_size,
                "rescaled": self.subject.rescale,
            },
            "rounds": len(self.measured[0].turns),
            "contenders": [one.to_dict() for one in self.measured],
            "comparison": self.comparison and self.comparison.to_dict(),
        }
