"""Draws when each stage of picking is at work: what overlaps, and what waits.

    python benchmarks/timeline.py TOMOGRAM [TOMOGRAM ...] -o timeline.png
        [--engine standard] [--tile 96]

Picks the tomograms with `pick_many`, after one that warms up, and notes when opening
and measuring, reading, the network, assembling, searching and deduplicating begin and
end. A row for each stage, a bar for each piece of work, a colour for each tomogram. The
network's row should have no gaps.
"""

import argparse
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest import mock

from dep.engine import Picker, job, pipeline, slab

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito
STAGES = ("open and measure", "read", "network", "assemble", "search", "deduplicate")


class Notes:
    """When which stage was at work, for which tomogram (as it was begun)."""

    def __init__(self) -> None:
        self.bars: list[tuple[str, float, float, int]] = []
        self._guard = threading.Lock()
        self._turn = dict.fromkeys(STAGES, 0)

    def timed(
        self, stage: str, work: Callable[..., Any], *, ends_tomogram: bool = False
    ) -> Callable[..., Any]:
        """Wrap what a stage does."""

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the work's own
            began = perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                with self._guard:
                    self.bars.append((stage, began, perf_counter(), self._turn[stage]))
                    if stage == STAGES[0]:
                        self._turn[stage] += 1
                    elif ends_tomogram:
                        for one in STAGES[1:]:
                            self._turn[one] += 1

        return call


def main() -> None:
    """Pick and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tomograms", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("timeline.png"))
    parser.add_argument("--engine", default="standard")
    parser.add_argument("--tile", type=int)
    words = parser.parse_args()
    notes = Notes()
    with Picker(words.engine, "cpu", tile=words.tile) as picker, ExitStack() as stack:
        picker.pick(words.tomograms[0])
        for owner, name, stage in (
            (picker, "_prepare", "open and measure"),
            (pipeline.TileReader, "fill", "read"),
            (picker.runtime, "infer", "network"),
            (slab, "assemble", "assemble"),
            (slab.Slab, "_search", "search"),
        ):
            wrapped = notes.timed(stage, getattr(owner, name))
            if isinstance(owner, type):  # called with the object first
                wrapped = method(wrapped)
            stack.enter_context(mock.patch.object(owner, name, wrapped))
        ending = notes.timed("deduplicate", job.deduplicate, ends_tomogram=True)
        stack.enter_context(mock.patch.object(job, "deduplicate", ending))
        for one in picker.pick_many(words.tomograms):
            if one.error is not None:
                raise one.error
    draw(notes, words.out)


def method(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that a class binds to its objects."""

    def bound(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return wrapped(self, *args, **kwargs)

    return bound


def draw(notes: Notes, out: Path) -> None:
    """Draw a row of bars for each stage."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    zero = min(bar[1] for bar in notes.bars)
    end = max(bar[2] for bar in notes.bars)
    figure, axes = plt.subplots(figsize=(11, 3.2), layout="constrained")
    for stage, began, ended, turn in notes.bars:
        axes.barh(
            STAGES.index(stage),
            max(ended - began, (end - zero) / 1000),  # a line at least
            left=began - zero,
            height=0.7,
            color=COLOURS[turn % len(COLOURS)],
            edgecolor="white",
            linewidth=0.3,
        )
    axes.set_yticks(range(len(STAGES)), STAGES)
    axes.invert_yaxis()
    axes.set_xlim(0, end - zero)
    axes.set_xlabel("seconds")
    axes.spines[["top", "right"]].set_visible(False)
    busy = sum(
        ended - began for stage, began, ended, _ in notes.bars if stage == "network"
    )
    axes.set_title(
        f"the network is at work for {busy / (end - zero):.1%} of {end - zero:.1f} s",
        loc="left",
        fontsize=10,
    )
    figure.savefig(out, dpi=130)


if __name__ == "__main__":
    main()
