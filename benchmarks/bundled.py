"""Scores bundled models, or others of their classes, as `dep pick` takes them.

    python benchmarks/bundled.py standard fast --second runs/second_source
    python benchmarks/bundled.py standard --tile 80         # in other tiles
    python benchmarks/bundled.py MODEL.onnx --choose        # thresholds on tomogram 9

Tomograms 9 and 10 of the data folder (`--data`), as they are and with white noise of
their own standard deviation added; with `--second`, 22 and 23 of our own simulator
(`train/recipes/second_source.py`) as well. Prints the tables of docs/accuracy.md.
`--choose` tries pairs of thresholds on tomogram 9, as it is and with noise, and orders
them by the sum of both F1s of both.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from accuracy_inference import DATA
from accuracy_scoring import with_noise
from numpy.typing import NDArray

from dep.engine import Picker, open_volume
from dep.engine.metrics import Evaluation, evaluate
from dep.engine.truth import read_truth

T_SEG = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
T_LM = (0.2, 0.3, 0.4, 0.5, 0.6)
Case = tuple[str, NDArray[np.generic], float, Path]


def cases(data: Path, second: Path | None) -> Iterator[Case]:
    """Give (what, voxels (z, y, x), voxel size in ångström, truth), one by one."""
    for number, noisy in itertools.product((9, 10), (False, True)):
        path = data / "tomograms" / f"tomo_{number:04d}.mrc"
        volume = open_volume(path)
        voxels = with_noise(volume, number) if noisy else volume.array
        what = f"{number}, with noise" if noisy else str(number)
        yield what, voxels, volume.voxel_size, path.with_suffix(".csv")
    for number in (22, 23) if second else ():
        path = Path(second or "") / f"sim_{1000 + number}.mrc"
        volume = open_volume(path)
        truth = path.with_suffix(".csv")
        yield f"{number} of our own", volume.array, volume.voxel_size, truth


def evaluated(picker: Picker, case: Case, **settings: float) -> Evaluation:
    """Pick and evaluate."""
    _, voxels, voxel_size, path = case
    card = picker.card
    truth = read_truth(path, card.classes, shape=voxels.shape, voxel_size=voxel_size)
    picks = picker.pick(voxels, voxel_size, **settings)
    widths = [one.diameter / voxel_size for one in card.classes]
    return evaluate(picks.xyz, picks.class_id, truth.xyz, truth.class_id, widths)


def show(picker: Picker, every: list[Case]) -> None:
    """Print a row for each tomogram."""
    say("| tomogram | precision / recall / F1 | class F1 | distance | worst classes |")
    say("|---|---|---|---|---|")
    for case in every:
        result = evaluated(picker, case)
        found = result.localisation
        each = sorted(
            (score.f1, one.name)
            for one, score in zip(picker.card.classes, result.per_class, strict=True)
        )
        worst = ", ".join(f"{name} {f1:.2f}" for f1, name in each[:2])
        say(
            f"| {case[0]} | {found.precision:.3f} / {found.recall:.3f} / "
            f"{found.f1:.4f} | {result.mean_class_f1:.4f} | "
            f"{result.mean_distance:.2f} | {worst} |"
        )


def choose(picker: Picker, every: list[Case]) -> None:
    """Print the sum of F1s on tomogram 9, as it is and with noise, best pair first."""
    sums = {}
    for pair in itertools.product(T_SEG, T_LM):
        both = [
            evaluated(picker, case, t_seg=pair[0], t_lm=pair[1]) for case in every[:2]
        ]
        sums[pair] = sum(one.localisation.f1 + one.mean_class_f1 for one in both)
    say("| t_seg | t_lm | sum of four F1s |")
    say("|---|---|---|")
    for pair in sorted(sums, key=lambda key: -sums[key]):
        say(f"| {pair[0]} | {pair[1]} | {sums[pair]:.4f} |")


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--second", type=Path, help="tomograms of second_source.py")
    parser.add_argument("--tile", type=int)
    parser.add_argument("--choose", action="store_true")
    options = parser.parse_args()
    every = list(cases(options.data, options.second))
    for model in options.models:
        with Picker(model, "cpu", tile=options.tile) as picker:
            card = picker.card
            say(f"\n{model}: t_seg {card.t_seg}, t_lm {card.t_lm}\n")
            (choose if options.choose else show)(picker, every)


if __name__ == "__main__":
    main()
