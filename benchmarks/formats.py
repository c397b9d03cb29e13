"""How long writing and reading a million picks takes, format by format.

    python benchmarks/formats.py [--picks N] [FORMAT ...]

Times are of this process's clock and of its own CPU time, in seconds, each the least of
three; on a machine that has other work the latter says more.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dep.engine import ClassInfo, Picks
from dep.engine.formats import FORMATS, Conventions, read_picks, write_picks
from dep.engine.formats.frame import Frame

SHAPE = (512, 1024, 1024)


def picks_of(many: int) -> Picks:
    """Spread picks of twelve classes over a tomogram."""
    rng = np.random.default_rng(0)
    return Picks(
        xyz=rng.uniform(0, 1, (many, 3)) * SHAPE[::-1],
        class_id=rng.integers(1, 13, many),
        score=np.sort(rng.uniform(0, 1, many))[::-1],
        classes=tuple(ClassInfo(f"class {k}", 100.0 + k) for k in range(12)),
        tomogram="TS_01",
        shape=SHAPE,
        voxel_size=10.0,
    )


def least(work: Callable[[], object], times: int = 3) -> tuple[float, float]:
    """Give the least time by the clock and of the CPU."""
    clock, cpu = [], []
    for _ in range(times):
        start, busy = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    return min(clock), min(cpu)


def main() -> None:
    """Write a line for each format."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("formats", nargs="*", default=["relion5", "star", "csv"])
    parser.add_argument("--picks", type=int, default=1_000_000)
    words = parser.parse_args()
    picks = picks_of(words.picks)
    how = Conventions(pixel_size=2.5)
    sys.stdout.write(
        f"{words.picks} picks   write: clock, CPU   read: clock, CPU (s)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        for form in words.formats:
            path = FORMATS[form].target_of(Path(folder) / form, picks.tomogram)

            def write(path: Path = path, form: str = form) -> None:
                write_picks([picks], path, form, how)

            def read(path: Path = path, form: str = form) -> None:
                read_picks(
                    path,
                    form,
                    tomogram=None,
                    classes=None,
                    frame=Frame(SHAPE, picks.voxel_size),
                )

            figures = (*least(write), *least(read))
            cells = "".join(f"{figure:8.2f}" for figure in figures)
            sys.stdout.write(f"{form:<11}{cells}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
