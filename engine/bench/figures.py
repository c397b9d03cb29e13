"""What the rounds of one contender come to: medians, and figures made of them."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dep.engine.bench.compare import Ratio
from dep.engine.bench.measure import Turn
from dep.engine.tiles import TilePlan


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a tomogram was cut into tiles.

    Attributes
    ----------
    tiles : int
        How many.
    tile : (int, int, int)
        Edges, z, y, x, in voxels.
    margin : int
        Of each tile, at every face; what lies there is computed and not used.
    computed_voxels, owned_voxels : int
        Through the network; of the tomogram as the network saw it.
    """

    tiles: int
    tile: tuple[int, int, int]
    margin: int
    computed_voxels: int
    owned_voxels: int

    @classmethod
    def of(cls, plan: TilePlan) -> "Tiling":
        """Take the figures of a plan."""
        return cls(
            len(plan), plan.tile, plan.margin, plan.computed_voxels, plan.owned_voxels
        )

    @property
    def overhead(self) -> float:
        """How many voxels are computed for each of the tomogram's."""
        return self.computed_voxels / self.owned_voxels

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {
            "count": self.tiles,
            "shape_zyx": list(self.tile),
            "margin": self.margin,
            "computed_voxels": self.computed_voxels,
            "owned_voxels": self.owned_voxels,
            "overhead": self.overhead,
        }


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds of one contender.

    Attributes
    ----------
    seconds : dict of str to float
        Of each stage, and `total`. Stages overlap: their sum may exceed the total.
    alone : float
        Seconds of the network calls alone.
    whole_by_alone : Ratio
        The whole pick by the network calls alone, round by round.
    outside : float
        Share of the whole in which no network call was under way.
    voxels_per_second : float
        Of the tomogram, as the network saw it, in the whole.
    operations : int or None
        Of the network for all tiles: two for each multiply-add. None: not known.
    operations_per_second : float or None
        Of the network calls alone.
    matmul : float or None
        Operations a second of float32 matrix products on as many threads. None: not
        measured.
    """

    seconds: dict[str, float]
    alone: float
    whole_by_alone: Ratio
    outside: float
    voxels_per_second: float
    operations: int | None
    operations_per_second: float | None
    matmul: float | None

    @property
    def share_of_matmul(self) -> float | None:
        """The network's operations a second by those of matrix products."""
        if self.operations_per_second is None or not self.matmul:
            return None
        return self.operations_per_second / self.matmul

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        whole = self.whole_by_alone.to_dict()
        return {
            **asdict(self),
            "whole_by_alone": whole,
            "share_of_matmul": self.share_of_matmul,
        }


def figures(
    turns: Sequence[Turn],
    tiling: Tiling,
    multiply_adds: int | None,
    matmul: float | None,
) -> Figures:
    """Make figures of rounds.

    Parameters
    ----------
    turns : sequence of Turn
        One or more.
    tiling : Tiling
        Of each of them.
    multiply_adds : int or None
        Of the network for one tile.
    matmul : float or None
        See `Figures`.
    """
    stages = [turn.stats.seconds() for turn in turns]
    seconds = {
        name: statistics.median(one[name] for one in stages) for name in stages[0]
    }
    totals, alones = [t.stats.total for t in turns], [t.alone for t in turns]
    alone = statistics.median(alones)
    operations = None if multiply_adds is None else 2 * multiply_adds * tiling.tiles
    return Figures(
        seconds=seconds,
        alone=alone,
        whole_by_alone=Ratio.of(totals, alones),
        outside=statistics.median(1 - t.stats.network / t.stats.total for t in turns),
        voxels_per_second=tiling.owned_voxels / seconds["total"],
        operations=operations,
        operations_per_second=None if operations is None else operations / alone,
        matmul=matmul,
    )
