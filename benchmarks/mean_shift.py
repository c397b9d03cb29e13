"""Mean-shift against MP-NMS on the label volume of the same network: F1 and seconds.

    python benchmarks/mean_shift.py [--data FOLDER] [--engine MODEL] [--every-voxel]

The model labels tomograms 9 and 10 of the development data once. From the same labels
particles are found by

* MP-NMS and deduplication, as `dep pick` does, with the model's own thresholds, which
  were chosen on tomogram 9; and
* mean-shift clustering of the labelled voxels (scikit-learn's `MeanShift`, flat kernel,
  bin seeding; `--every-voxel` seeds at every voxel), as DeepFinder finds particles
  (Moebel et al., Nature Methods 18:1386, 2021): a cluster's centre is the particle, its
  class that of most of its voxels, its size the number of voxels. Bandwidth and least
  size are those with the best sum of both F1s on tomogram 9.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MeanShift

from dep.engine import ModelCard, open_volume
from dep.engine.bundled import model_path
from dep.engine.metrics import Evaluation, evaluate
from dep.engine.model_file import read_card
from dep.engine.normalise import Normaliser, measure
from dep.engine.pipeline import TileReader
from dep.engine.runtime.choose import open_runtime
from dep.engine.settings import PickSettings
from dep.engine.tiles import plan_tiles
from dep.engine.truth import Truth, read_truth
from dep.kernels import assemble, deduplicate, mp_nms

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
VALIDATE, TEST = 9, 10
BANDWIDTHS = (4.0, 5.0, 6.0)  # voxels
LEAST_SIZES = (1, 10, 20, 40, 60, 80, 100)  # voxels

T = TypeVar("T")
Labels = tuple[NDArray[np.uint8], NDArray[np.uint8], Truth]
# Places x, y, z; classes; sizes in voxels.
Clusters = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def label(model: Path, card: ModelCard, path: Path) -> Labels:
    """Label a tomogram: a byte of class and one of probability a voxel; and its truth.

    The labels are those that `dep pick` searches.
    """
    settings = PickSettings.of(card)
    with open_volume(path) as volume:
        truth = read_truth(
            path.with_suffix(".csv"),
            card.classes,
            shape=volume.shape,
            voxel_size=volume.voxel_size,
        )
        plan = plan_tiles(volume.shape, card.tile, card.margin)
        reader = TileReader(volume, Normaliser.zscore(measure(volume)), plan)
        labels = np.zeros(volume.shape, np.uint8)
        probability = np.zeros(volume.shape, np.uint8)
        runtime = open_runtime(model, card)
        batch = np.empty((1, 1, *plan.tile), np.float32)
        for tile in plan:
            reader.fill([tile], batch)
            assemble(
                runtime.infer(batch)[0],
                labels,
                probability,
                tile.core_in_tile,
                tile.core,
                tile.size,
                t_seg=settings.t_seg,
                joint=settings.assembly == "joint",
                background=card.activation == "softmax",
            )
        runtime.close()
    return labels, probability, truth


def suppressed(
    labels: NDArray[np.uint8], probability: NDArray[np.uint8], settings: PickSettings
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Find particles as `dep pick` does."""
    found = mp_nms(
        labels,
        settings.iterations,
        settings.t_lm,
        probability,
        joint=settings.assembly == "joint",
    )
    kept = deduplicate(found.xyz, found.score, settings.t_dist)
    return found.xyz[kept], found.class_id[kept]


def clustered(
    labels: NDArray[np.uint8], bandwidth: float, every_voxel: bool
) -> Clusters:
    """Find particles by mean-shift."""
    zyx = np.argwhere(labels > 0)
    shift = MeanShift(bandwidth=bandwidth, bin_seeding=not every_voxel).fit(zyx)
    many = len(shift.cluster_centers_)
    votes = np.zeros((many, 256), np.int64)
    np.add.at(votes, (shift.labels_, labels[tuple(zyx.T)]), 1)
    return shift.cluster_centers_[:, ::-1], votes.argmax(axis=1), votes.sum(axis=1)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Give what work gives, and its seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--engine", default=None, help="default: the bundled model")
    parser.add_argument("--every-voxel", action="store_true", help="seed everywhere")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args()
    model = model_path(options.engine)
    card = read_card(model)
    settings = PickSettings.of(card)
    volumes = {
        number: label(
            model, card, options.data / "tomograms" / f"tomo_{number:04d}.mrc"
        )
        for number in (VALIDATE, TEST)
    }

    def score(
        number: int, xyz: NDArray[np.float64], ids: NDArray[np.int64]
    ) -> Evaluation:
        truth = volumes[number][2]
        sizes = [one.diameter / card.voxel_size for one in card.classes]
        return evaluate(xyz, ids, truth.xyz, truth.class_id, sizes)

    def kept(
        clusters: Clusters, least: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        xyz, ids, sizes = clusters
        return xyz[sizes >= least], ids[sizes >= least]

    # On the tomogram that chose the model's thresholds too.
    best, choice = -1.0, (0.0, 0)
    for bandwidth in BANDWIDTHS:
        clusters = clustered(volumes[VALIDATE][0], bandwidth, every_voxel=False)
        for least in LEAST_SIZES:
            result = score(VALIDATE, *kept(clusters, least))
            both = result.localisation.f1 + result.mean_class_f1
            if both > best:
                best, choice = both, (bandwidth, least)
    bandwidth, least = choice
    rows = []
    for number, (labels, probability, _) in volumes.items():
        suppressed(labels, probability, settings)  # warm
        ours, seconds = timed(
            lambda a=labels, b=probability: suppressed(a, b, settings)
        )
        runs = [("MP-NMS", ours, seconds)]
        ways = (False, True) if options.every_voxel else (False,)
        for every in ways:
            clusters, seconds = timed(
                lambda a=labels, e=every: clustered(a, bandwidth, e)
            )
            name = "mean-shift, every voxel" if every else "mean-shift, bins"
            runs.append((name, kept(clusters, least), seconds))
        for name, found, seconds in runs:
            result = score(number, *found)
            rows.append(
                {
                    "tomogram": number,
                    "voxels": int(np.count_nonzero(labels)),
                    "what": name,
                    "precision": result.localisation.precision,
                    "recall": result.localisation.recall,
                    "f1": result.localisation.f1,
                    "class_f1": result.mean_class_f1,
                    "distance": result.mean_distance,
                    "seconds": seconds,
                }
            )
    document = {"bandwidth": bandwidth, "least_size": least, "rows": rows}
    if options.json:
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    sys.stdout.write(
        f"mean-shift: bandwidth {bandwidth:g}, least size {least} voxels\n\n"
        "| tomogram | | precision / recall / F1 | class F1 | distance | seconds |\n"
        "|---|---|---|---|---|---|\n"
    )
    for row in rows:
        sys.stdout.write(
            f"| {row['tomogram']} | {row['what']} | {row['precision']:.3f} / "
            f"{row['recall']:.3f} / {row['f1']:.3f} | {row['class_f1']:.3f} "
            f"| {row['distance']:.2f} | {row['seconds']:.3f} |\n"
        )


if __name__ == "__main__":
    main()
