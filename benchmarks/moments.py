"""Times the statistics of a tomogram: `dep.kernels.moments` beside NumPy's own passes.

Both give extremes, sums and sums of squares in float64 of every plane. In turns (C,
NumPy, C, ...), so that what disturbs the machine disturbs both alike; factors are
medians over rounds of the ratio within a round.

    python benchmarks/moments.py --rounds 9
    python benchmarks/moments.py --shape 32,128,128 --rounds 1   # in seconds, for CI
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.kernels import moments
from dep.kernels.moments import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Planes = NDArray[Any]

TYPES = ("int8", "int16", "float32")


def by_core(volume: Planes) -> list[float]:
    """Sum the squares of a volume (z, y, x), plane by plane, by the C core."""
    return [float(moments(plane, backend="c").squares.sum()) for plane in volume]


def by_numpy(volume: Planes) -> list[float]:
    """Do the same by NumPy, in blocks that stay in the cache."""
    found = []
    for plane in volume:
        stored = plane.reshape(-1)
        stored.min(), stored.max()
        total = 0.0
        for start in range(0, stored.size, BLOCK):
            block = stored[start : start + BLOCK].astype(np.float64)
            block.sum()
            total += float(np.square(block, out=block).sum())
        found.append(total)
    return found


def seconds(work: Callable[[Planes], list[float]], volume: Planes) -> float:
    """Time one pass over a volume."""
    start = time.perf_counter()
    work(volume)
    return time.perf_counter() - start


def main() -> None:
    """Time every type and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--shape", default="200,512,512", help="z,y,x")
    words = parser.parse_args()
    shape = tuple(int(length) for length in words.shape.split(","))
    values = np.random.default_rng(0).normal(0, 20, shape).clip(-120, 120)
    for kind in TYPES:
        volume = values.astype(kind)
        np.testing.assert_allclose(by_core(volume), by_numpy(volume), rtol=1e-13)
        turns = [
            (seconds(by_core, volume), seconds(by_numpy, volume))
            for _ in range(words.rounds)
        ]
        core, numpy = (median(side) for side in zip(*turns, strict=True))
        factor = median(theirs / ours for ours, theirs in turns)
        sys.stdout.write(
            f"{kind:8} C {core:.4f} s  NumPy {numpy:.4f} s  {factor:.1f} times\n"
        )


if __name__ == "__main__":
    main()
