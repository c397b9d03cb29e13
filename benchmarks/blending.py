"""What blending the overlap of tiles is worth against cores (docs/performance.md).

    python benchmarks/blending.py [--engine standard] [96/12 96/24 144/8]

Computes the tiles of tomograms 9 and 10 once for every edge and margin, and makes three
volumes of their scores: of cores alone, as `dep pick` does; averaged with weights that
fall linearly to the faces of a tile; and averaged with the Gaussian that nnU-Net takes
(an eighth of the edge wide). All three are searched whole, at the card's thresholds.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dep.engine import Picker, open_volume
from dep.engine.metrics import Evaluation, evaluate
from dep.engine.normalise import Normaliser, measure
from dep.engine.pipeline import TileReader
from dep.engine.tiles import TilePlan, plan_tiles
from dep.engine.truth import read_truth
from dep.engine.volume import Volume
from dep.kernels import assemble, deduplicate, mp_nms

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "tomograms"
WAYS = ("cores", "linear", "Gaussian")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plans", nargs="*", default=["96/12", "96/24", "144/8"])
    parser.add_argument("--engine", default="standard")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    say("tile / margin | computed / own voxels | scores | tomogram 9 | 10")
    with Picker(options.engine, "cpu") as picker:
        for words in options.plans:
            edge, margin = map(int, words.split("/"))
            found: dict[str, list[str]] = {way: [] for way in WAYS}
            for number in (9, 10):
                path = options.data / f"tomo_{number:04d}.mrc"
                with open_volume(path) as volume:
                    plan = plan_tiles(volume.shape, edge, margin)
                    volumes = blended(picker, volume, plan)
                for way, scores in volumes.items():
                    one = judge(picker, path, scores)
                    found[way].append(
                        f"{one.localisation.f1:.3f} / {one.mean_class_f1:.3f} / "
                        f"{one.mean_distance:.2f}"
                    )
            for way, columns in found.items():
                say(f"{words} | {plan.overhead:.2f} | {way} | {' | '.join(columns)}")


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def windows(edge: int) -> dict[str, NDArray[np.float32]]:
    """Give the weights (z, y, x) of a tile's voxels, by their way."""
    place = np.arange(edge) - (edge - 1) / 2
    lines = {
        "linear": 1 - np.abs(place) / (edge / 2),
        "Gaussian": np.exp(-0.5 * (place / (edge / 8)) ** 2),
    }
    return {
        way: np.einsum("z,y,x->zyx", line, line, line).astype(np.float32)
        for way, line in lines.items()
    }


def blended(
    picker: Picker, volume: Volume, plan: TilePlan
) -> dict[str, NDArray[np.float32]]:
    """Give the scores (C, z, y, x) of a whole tomogram, by the way they are put."""
    channels = picker.card.channels
    totals = {way: np.zeros((channels, *plan.shape), np.float32) for way in WAYS}
    weights = {way: np.zeros(plan.shape, np.float32) for way in WAYS}
    reader = TileReader(volume, Normaliser.zscore(measure(volume)), plan)
    batch = np.empty((1, 1, *plan.tile), np.float32)
    shaped = windows(plan.tile[0])
    for tile in plan:
        reader.fill([tile], batch)
        scores = picker.runtime.infer(batch)[0]
        spans = (tile.z, tile.y, tile.x)
        inside, there = [], []  # of the tile, of the tomogram
        for span, edge, length in zip(spans, plan.tile, plan.shape, strict=True):
            first, last = max(0, span.origin), min(length, span.origin + edge)
            there.append(slice(first, last))
            inside.append(slice(first - span.origin, last - span.origin))
        for way, window in shaped.items():
            part = window[tuple(inside)]
            totals[way][:, *there] += scores[:, *inside] * part
            weights[way][tuple(there)] += part
        core = [slice(span.start, span.stop) for span in spans]
        own = [slice(s.start - s.origin, s.stop - s.origin) for s in spans]
        totals["cores"][:, *core] = scores[:, *own]
        weights["cores"][tuple(core)] = 1
    for way in WAYS:
        totals[way] /= weights[way]
    return totals


def judge(picker: Picker, path: Path, scores: NDArray[np.float32]) -> Evaluation:
    """Search a whole tomogram's scores, and compare with the truth."""
    card = picker.card
    labels = np.zeros(scores.shape[1:], np.uint8)
    probability = np.zeros_like(labels)
    joint = card.assembly == "joint"
    whole = labels.shape
    origin = (0, 0, 0)
    assemble(
        *(scores, labels, probability, origin, origin, whole),
        t_seg=card.t_seg,
        joint=joint,
        background=card.activation == "softmax",
    )
    found = mp_nms(labels, card.iterations, card.t_lm, probability, joint=joint)
    kept = deduplicate(found.xyz, found.score, card.t_dist)
    truth = read_truth(
        path.with_suffix(".csv"),
        card.classes,
        shape=whole,
        voxel_size=card.voxel_size,
    )
    return evaluate(
        found.xyz[kept],
        found.class_id[kept],
        truth.xyz,
        truth.class_id,
        [one.diameter / card.voxel_size for one in card.classes],
    )


if __name__ == "__main__":
    main()
