"""What tiles and margins cost and find: accuracy and seconds (docs/performance.md).

    python benchmarks/tiles.py --engine standard
    python benchmarks/tiles.py --engine standard 96x96x96/12 80x144x144/8

Each line is one tile (z, y, x) and margin: what 256 x 256 x 128 voxels of tomograms 9
and 10 cost, seconds of the network (median over the rounds, configurations in turn),
localisation F1 and mean class F1 at the card's thresholds, and how many voxels would be
computed for each of a tomogram of 512 x 512 x 200 voxels by the planner with that
margin.
"""

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path

from dep.engine import Picker, Picks
from dep.engine.metrics import Evaluation, evaluate
from dep.engine.tile_planner import Tiling
from dep.engine.truth import read_truth

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "tomograms"
USUAL = (200, 512, 512)
TRIED = (
    *("96x96x96/12", "80x144x144/8", "80x144x144/4", "144x144x144/8"),
    *("160x112x112/12", "128x128x128/12", "160x160x160/12", "80x80x80/8"),
)


def judge(picks: Picks, path: Path) -> Evaluation:
    """Compare picks with the truth beside the tomogram."""
    truth = read_truth(
        path.with_suffix(".csv"),
        picks.classes,
        shape=picks.shape,
        voxel_size=picks.voxel_size,
    )
    return evaluate(
        picks.xyz,
        picks.class_id,
        truth.xyz,
        truth.class_id,
        [one.diameter / picks.voxel_size for one in picks.classes],
    )


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", nargs="*", default=TRIED, help="ZxYxX/MARGIN")
    parser.add_argument("--engine", default="standard")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    paths = [options.data / f"tomo_{number:04d}.mrc" for number in (9, 10)]
    seconds: dict[str, list[float]] = {words: [] for words in options.tiles}
    lines: dict[str, str] = {}
    for _ in range(options.rounds):
        for words in options.tiles:
            edges, margin = words.split("/")
            z, y, x = map(int, edges.split("x"))
            with Picker(options.engine, "cpu") as picker:
                card = replace(picker.card, margin=int(margin))
                picker.tiling = Tiling(card, picker.runtime.free, (z, y, x))
                # The first compiles the network for this tile.
                picker.pick(paths[0])
                picks = [picker.pick(path) for path in paths]
                usual = Tiling(card, picker.runtime.free).plan(USUAL)
            seconds[words] += [one.stats.network for one in picks]
            found = [judge(one, path) for one, path in zip(picks, paths, strict=True)]
            stats = picks[0].stats
            scores = " | ".join(
                f"{one.localisation.f1:.3f} / {one.mean_class_f1:.3f}" for one in found
            )
            lines[words] = (
                f"{stats.tiles} | {stats.computed_voxels / stats.owned_voxels:.2f} | "
                f"{scores} | {usual.overhead:.2f}"
            )
    for words, line in lines.items():
        middle = statistics.median(seconds[words])
        sys.stdout.write(f"| {words.replace('/', ' | ')} | {middle:.1f} | {line} |\n")


if __name__ == "__main__":
    main()
