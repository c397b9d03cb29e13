"""What `--skip-empty` and `--mask` save, and that they lose no pick.

    python benchmarks/skipping.py [--engine fast] [--data FOLDER]

Picks tomograms 1 to 10, which are full of particles, and tomogram 10 in the middle of
512 x 512 x 200 voxels, once of its own mean and once of white noise as strong as it is:
each as it is and with empty tiles skipped, and the last ones with a mask too. Says how
many tiles were skipped, the seconds, and how many picks are not the same.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine import Picker, Picks, open_volume

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "tomograms"
AROUND = (200, 512, 512)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="fast")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    paths = [options.data / f"tomo_{number:04d}.mrc" for number in range(1, 11)]
    say("tomogram | tile | option | tiles skipped | s | of the time | picks | others")
    for tile in (None, 64):
        with Picker(options.engine, "cpu", tile=tile) as picker:
            for path in paths if tile is None else paths[-1:]:
                with open_volume(path) as volume:
                    compare(picker, path.stem, np.array(volume.array), {})
            for words, array, mask in surrounded(paths[-1]):
                compare(picker, words, array, {"mask": mask})


def surrounded(
    path: Path,
) -> list[tuple[str, NDArray[np.float32], NDArray[np.uint8]]]:
    """Put a tomogram into the middle of a larger one; with a mask of where it is."""
    with open_volume(path) as volume:
        inner = np.array(volume.array, dtype=np.float32)
    rng = np.random.default_rng(0)
    place = tuple(
        slice((most - length) // 2, (most - length) // 2 + length)
        for most, length in zip(AROUND, inner.shape, strict=True)
    )
    mask = np.zeros(AROUND, np.uint8)
    mask[place] = 1
    still = np.full(AROUND, inner.mean(), np.float32)
    noise = rng.normal(inner.mean(), inner.std(), AROUND).astype(np.float32)
    for array in (still, noise):
        array[place] = inner
    return [("its mean around it", still, mask), ("noise around it", noise, mask)]


def compare(
    picker: Picker, words: str, array: NDArray[Any], more: dict[str, Any]
) -> None:
    """Pick as it is and with tiles skipped."""
    size = picker.card.voxel_size
    picker.pick(array, size)  # the first compiles for this tile
    whole = picker.pick(array, size)
    line(words, "none", whole, whole)
    line(words, "skip empty", picker.pick(array, size, skip_empty=True), whole)
    for option, value in more.items():
        line(words, option, picker.pick(array, size, **{option: value}), whole)


def line(words: str, option: str, picks: Picks, whole: Picks) -> None:
    """Say what one way took and found."""
    stats, before = picks.stats, whole.stats
    assert stats is not None
    assert before is not None
    tile = " x ".join(str(edge) for edge in reversed(stats.tile))
    here, there = (
        set(zip(one.class_names, map(tuple, one.xyz.tolist()), strict=True))
        for one in (picks, whole)
    )
    say(
        f"{words} | {tile} | {option} | {stats.skipped_tiles} of "
        f"{stats.tiles + stats.skipped_tiles} | {stats.total:.2f} | "
        f"{stats.total / before.total:.2f} | {len(picks)} | {len(here ^ there)}"
    )


def say(words: str) -> None:
    """Write a line at once."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
