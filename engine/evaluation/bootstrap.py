"""How sure the figures are: percentile bootstrap over what was drawn independently.

Particles of one tomogram share its defocus, thickness and contaminants, so they are no
independent draws; tomograms are, and places far apart in one nearly so. What is drawn
again, with replacement, as often as there is of it:

* whole tomograms, where there are `FEWEST_TOMOGRAMS` or more (a cluster bootstrap:
  Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). The
  interval speaks for tomograms like these;
* with fewer, columns of each tomogram: blocks of its x-y plane through its whole depth
  (a block bootstrap, ibid., section 8.3). The interval speaks for these tomograms only;
* and where a tomogram holds too few hits, misses and false picks for that (fewer than
  `FEWEST_EVENTS`), each of them by itself, as if they were independent.

Picks and particles are matched once: a match lies within one tomogram and, but for
those at its border, within one block, so drawing again does not change it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import SettingError
from dep.engine.evaluation.events import Events

FEWEST_TOMOGRAMS = 5  # of fewer there are too few different draws
FEWEST_EVENTS = 200  # a tomogram with fewer would have near-empty blocks
EVENTS_IN_BLOCK = 8  # about
MOST_BLOCKS = 8  # along an edge
LEVEL = 0.95
MOST_REPLICATES = 1_000_000
_AT_ONCE = 2_000_000  # weights in memory

Totals = NDArray[np.float64]  # (replicates, columns)
Figures = Callable[[Totals], Mapping[str, NDArray[np.float64]]]


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What is drawn again.

    Attributes
    ----------
    kind : {"tomograms", "blocks", "events"}
        See the module.
    of_event : (e,) int64
        The unit that each hit, miss or false pick belongs to.
    sizes : tuple of int
        How many units are drawn together: all tomograms, or the blocks or events of
        each tomogram.
    """

    kind: str
    of_event: NDArray[np.int64]
    sizes: tuple[int, ...]

    @property
    def number(self) -> int:
        """How many units there are in all."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Counts that belong to events: each figure is made of sums of their columns.

    Attributes
    ----------
    event : (p,) int64
        To which event each belongs.
    values : (p, columns) float64
        What each adds.
    figures : callable
        From sums (replicates, columns) to figures by name, (replicates,) each; NaN
        where there is nothing to divide by.
    """

    event: NDArray[np.int64]
    values: NDArray[np.float64]
    figures: Figures


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals of figures, and how they were come by."""

    kind: str
    units: int
    tomograms: int
    replicates: int
    seed: int
    figures: dict[str, tuple[float, float] | None]

    @property
    def words(self) -> str:
        """Say for people what was drawn again, and what that means."""
        drawn = {
            "tomograms": f"{self.units} tomograms",
            "blocks": f"{self.units} blocks of {_tomograms(self.tomograms)}",
            "events": f"{self.units} hits, misses and false picks as if independent",
        }[self.kind]
        whose = (
            "tomograms like these"
            if self.kind == "tomograms"
            else "these tomograms, not others"
            if self.tomograms > 1
            else "this tomogram, not others"
        )
        few = self.kind == "tomograms" and self.units < 20
        return (
            f"95 % intervals: percentiles of {self.replicates} bootstrap draws of "
            f"{drawn} (seed {self.seed}); they speak for {whose}"
            + ("; with so few they come out somewhat narrow" if few else "")
            + (
                "; one without width only says that no draw differed"
                if self._flat
                else ""
            )
        )

    @property
    def _flat(self) -> bool:
        return any(
            ends is not None and ends[0] == ends[1] for ends in self.figures.values()
        )

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {
            "level": LEVEL,
            "method": "percentile bootstrap",
            "drawn": self.kind,
            "units": self.units,
            "replicates": self.replicates,
            "seed": self.seed,
            "figures": {
                name: None if ends is None else list(ends)
                for name, ends in self.figures.items()
            },
        }


def _tomograms(many: int) -> str:
    return "the tomogram" if many == 1 else f"{many} tomograms"


def units_of(events: Events, tomograms: int) -> Units:
    """Choose what is drawn again; see the module."""
    if tomograms >= FEWEST_TOMOGRAMS:
        return Units("tomograms", events.case, (tomograms,))
    many = np.bincount(events.case, minlength=tomograms)
    if many.min(initial=FEWEST_EVENTS) < FEWEST_EVENTS:
        return Units("events", np.arange(len(events.case)), tuple(many.tolist()))
    of_event = np.zeros(len(events.case), np.int64)
    sizes: list[int] = []
    for index in range(tomograms):
        here = events.case == index
        edge = min(int(math.sqrt(many[index] / EVENTS_IN_BLOCK)), MOST_BLOCKS)
        of_event[here] = sum(sizes) + _column(events.xyz[here, :2], edge)
        sizes.append(edge**2)
    return Units("blocks", of_event, tuple(sizes))


def _column(xy: NDArray[np.float64], edge: int) -> NDArray[np.int64]:
    """Give each point its column of a grid of `edge` x `edge` over them."""
    low = xy.min(axis=0)
    wide = np.maximum(xy.max(axis=0) - low, 1e-9)
    at = ((xy - low) / wide * edge).astype(np.int64).clip(0, edge - 1)
    column: NDArray[np.int64] = at[:, 1] * edge + at[:, 0]
    return column


def intervals_of(
    units: Units,
    points: Mapping[str, Points],
    *,
    tomograms: int,
    replicates: int,
    seed: int = 0,
) -> Intervals:
    """Draw again and give the percentiles of every figure.

    Parameters
    ----------
    units : Units
        What is drawn.
    points : mapping of str to Points
        Counts; the key and a dot go before the names of their figures. All are drawn
        together.
    tomograms : int
        How many there are.
    replicates : int
        How many draws.
    seed : int
        The same seed gives the same intervals.

    Returns
    -------
    Intervals
        None where no draw gives the figure a value.

    Raises
    ------
    SettingError
        A number of draws or a seed that makes no sense.
    """
    if not 2 <= replicates <= MOST_REPLICATES:
        message = f"expected 2 to {MOST_REPLICATES} bootstrap draws, found {replicates}"
        raise SettingError(message)
    if seed < 0:
        message = f"expected a seed of 0 or above, found {seed}"
        raise SettingError(message)
    sums = {name: _per_unit(units, one) for name, one in points.items()}
    generator = np.random.default_rng(seed)
    collected: dict[str, list[NDArray[np.float64]]] = {}
    step = max(1, _AT_ONCE // max(units.number, 1))
    for begin in range(0, replicates, step):
        weights = _draw(units, min(step, replicates - begin), generator)
        for prefix, one in points.items():
            for name, values in one.figures(weights @ sums[prefix]).items():
                collected.setdefault(f"{prefix}.{name}", []).append(values)
    return Intervals(
        units.kind,
        units.number,
        tomograms,
        replicates,
        seed,
        {name: _ends(np.concatenate(parts)) for name, parts in collected.items()},
    )


def _per_unit(units: Units, points: Points) -> NDArray[np.float64]:
    sums = np.zeros((units.number, points.values.shape[1]))
    np.add.at(sums, units.of_event[points.event], points.values)
    return sums


def _draw(
    units: Units, replicates: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Say how often each unit was drawn: (replicates, units)."""
    parts = [
        generator.multinomial(size, np.full(size, 1 / size), replicates)
        for size in units.sizes
        if size
    ]
    return np.concatenate([np.zeros((replicates, 0)), *parts], axis=1)


def _ends(values: NDArray[np.float64]) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(known, (tail, 1 - tail))
    return float(low), float(high)
