"""Times label volume -> particles: dep.kernels against what others would use.

All runs in one process on one synthetic volume, in turns (A B C A B C ...), so that
what disturbs the machine disturbs all alike; the ratio is the median over rounds of the
ratio within a round. Run it on a quiet machine:

    python benchmarks/postprocess.py          # 512 x 512 x 200, 1,500 particles
    python benchmarks/postprocess.py --small  # in seconds, for CI: no word on speed
    python benchmarks/postprocess.py --json   # for programs

A round of the rivals on the large volume takes about ten minutes.

* dep: MP-NMS, score and refinement of the whole volume, and deduplication.
* SciPy: for each class `uniform_filter` (float32, n times) and `maximum_filter`; joint:
  once.
* torch: the same by `avg_pool3d` (n times) and `max_pool3d`, on dep's thread count.
* scikit-image: `peak_local_max` on the mean-pooled mask (SciPy's pooling included).
* scikit-learn: flat-kernel `MeanShift` on the mask's voxels of some of the particles;
  its cost grows faster than linearly, and its time is scaled up linearly.

The rivals find peaks only: no score, class votes, refinement or deduplication. Those
not installed are left out and named.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.kernels import available_threads, deduplicate, mp_nms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Run = Callable[[], int]

CLASSES = 12
RADIUS = 3  # labels of diameter 7, the paper's
T_LM = 0.1
T_DIST = 4.0
MEAN_SHIFT_PARTICLES = 60


def synthetic(
    shape: tuple[int, int, int], particles: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make truncated balls of 12 classes that do not touch, and probabilities."""
    rng = np.random.default_rng(2024)
    labels = np.zeros(shape, np.uint8)
    probability = np.zeros(shape, np.uint8)
    z, y, x = np.ogrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    ball = z * z + y * y + x * x < 2 * RADIUS * RADIUS
    placed = 0
    while placed < particles:
        centre = rng.integers(RADIUS, np.array(shape) - RADIUS)
        around = tuple(slice(max(c - RADIUS - 2, 0), c + RADIUS + 3) for c in centre)
        if labels[around].any():
            continue
        box = tuple(slice(c - RADIUS, c + RADIUS + 1) for c in centre)
        labels[box][ball] = placed % CLASSES + 1
        probability[box][ball] = rng.integers(128, 256, np.count_nonzero(ball))
        placed += 1
    return labels, probability


def masks_of(labels: NDArray[np.uint8], joint: bool) -> list[NDArray[np.bool_]]:
    """One mask for each class, or one for all."""
    if joint:
        return [labels > 0]
    return [labels == c for c in range(1, CLASSES + 1)]


def ours(
    labels: NDArray[np.uint8], probability: NDArray[np.uint8], n: int, joint: bool
) -> int:
    """Run the whole of it: peaks, scores, sub-voxel centres and deduplication."""
    found = mp_nms(labels, n, T_LM, probability, joint=joint)
    return len(deduplicate(found.xyz, found.score, T_DIST))


def scipy_filters(labels: NDArray[np.uint8], n: int, joint: bool) -> int:
    """Mean and maximum filters of SciPy, float32, in turn for each mask."""
    from scipy import ndimage

    count = 0
    for mask in masks_of(labels, joint):
        pooled = mask.astype(np.float32)
        for _ in range(n):
            pooled = ndimage.uniform_filter(pooled, 3, mode="constant")
        highest = ndimage.maximum_filter(pooled, 3, mode="constant")
        count += int(np.count_nonzero((pooled == highest) & (pooled >= T_LM)))
    return count


def torch_pools(labels: NDArray[np.uint8], n: int, joint: bool) -> int:
    """Mean and maximum pools of torch on the CPU."""
    import torch
    from torch.nn import functional

    count = 0
    with torch.inference_mode():
        for mask in masks_of(labels, joint):
            pooled = torch.from_numpy(mask)[None, None].float()
            for _ in range(n):
                pooled = functional.avg_pool3d(pooled, 3, stride=1, padding=1)
            highest = functional.max_pool3d(pooled, 3, stride=1, padding=1)
            count += int(((pooled == highest) & (pooled >= T_LM)).sum())
    return count


def skimage_peaks(labels: NDArray[np.uint8], n: int, joint: bool) -> int:
    """`peak_local_max` of scikit-image on SciPy's mean pooling."""
    from scipy import ndimage
    from skimage.feature import peak_local_max

    count = 0
    for mask in masks_of(labels, joint):
        pooled = mask.astype(np.float32)
        for _ in range(n):
            pooled = ndimage.uniform_filter(pooled, 3, mode="constant")
        count += len(peak_local_max(pooled, threshold_abs=T_LM, exclude_border=False))
    return count


def mean_shift(labels: NDArray[np.uint8], particles: int) -> int:
    """Mean-shift clustering of the voxels of the first particles of class 1."""
    from scipy import ndimage
    from sklearn.cluster import MeanShift

    components, _ = ndimage.label(labels == 1)
    points = np.argwhere((components > 0) & (components <= particles))
    clusters = MeanShift(bandwidth=RADIUS + 1, bin_seeding=True).fit(points)
    return len(clusters.cluster_centers_)


def in_turns(runs: dict[str, Run], rounds: int) -> dict[str, dict[str, Any]]:
    """Time the runs in turns; ratios are paired within a round with the first run."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    found = {}
    first = next(iter(runs))
    runs[first]()  # warm: it is over in milliseconds, the others take minutes
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            found[name] = run()
            times[name].append(time.perf_counter() - start)
    base = times[first]
    return {
        name: {
            "seconds": statistics.median(own),
            "times_ours": statistics.median(
                a / b for a, b in zip(own, base, strict=True)
            ),
            "found": found[name],
        }
        for name, own in times.items()
    }


def peaks(small: bool, rounds: int) -> list[dict[str, Any]]:
    """MP-NMS against the rivals: per class at n = 3 and 6, and joint."""
    shape, particles = ((48, 96, 96), 40) if small else ((200, 512, 512), 1500)
    labels, probability = synthetic(shape, particles)
    rivals: dict[str, tuple[str, Callable[[NDArray[np.uint8], int, bool], int]]] = {
        "SciPy": ("scipy", scipy_filters),
        "torch": ("torch", torch_pools),
        "scikit-image": ("skimage", skimage_peaks),
    }
    rows = []
    for n, joint in ((3, False), (6, False), (3, True), (6, True)):
        runs: dict[str, Run] = {
            "dep": lambda n=n, joint=joint: ours(labels, probability, n, joint)
        }
        for name, (module, function) in rivals.items():
            if importlib.util.find_spec(module):
                runs[name] = lambda f=function, n=n, joint=joint: f(labels, n, joint)
        for name, row in in_turns(runs, rounds).items():
            case = f"{'joint' if joint else 'per class'}, n = {n}"
            rows.append({"case": case, "what": name, **row})
    if importlib.util.find_spec("sklearn"):
        rows += against_mean_shift(labels, probability, particles, small, rounds)
    return rows


def against_mean_shift(
    labels: NDArray[np.uint8],
    probability: NDArray[np.uint8],
    particles: int,
    small: bool,
    rounds: int,
) -> list[dict[str, Any]]:
    """Mean-shift on a subset, its time scaled up to all particles."""
    subset = 3 if small else MEAN_SHIFT_PARTICLES
    share = particles / subset
    measured = in_turns(
        {
            "dep": lambda: ours(labels, probability, 3, False),
            f"scikit-learn ({subset} particles, scaled)": lambda: mean_shift(
                labels, subset
            ),
        },
        rounds,
    )
    rows = []
    for name, row in measured.items():
        if name != "dep":
            row["seconds"] *= share
            row["times_ours"] *= share
        rows.append({"case": "mean-shift", "what": name, **row})
    return rows


def duplicates(small: bool, rounds: int) -> list[dict[str, Any]]:
    """Deduplication of random candidates in the same density and in one volume."""
    rng = np.random.default_rng(1)
    rows = []
    for n in (1_000, 10_000) if small else (10_000, 100_000, 1_000_000):
        edge = (n / 0.02) ** (1 / 3)  # voxels: 0.02 candidates per voxel at every n
        xyz = (rng.random((n, 3)) * edge).astype(np.float32)
        score = rng.random(n).astype(np.float32)
        run = {"dep": lambda xyz=xyz, score=score: len(deduplicate(xyz, score, T_DIST))}
        for name, row in in_turns(run, rounds).items():
            row["nanoseconds_each"] = 1e9 * row["seconds"] / n
            rows.append({"case": f"deduplicate {n:,}", "what": name, **row})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Lay the rows out for reading."""
    head = f"{'case':<22}{'what':<38}{'median s':>10}{'x ours':>9}{'found':>9}"
    lines = [head, "-" * len(head)]
    last = ""
    for row in rows:
        case = row["case"] if row["case"] != last else ""
        last = row["case"]
        each = row.get("nanoseconds_each")
        note = f"  {each:.0f} ns each" if each else ""
        lines.append(
            f"{case:<22}{row['what']:<38}{row['seconds']:>10.4f}"
            f"{row['times_ours']:>9.1f}{row['found']:>9}{note}"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--small", action="store_true", help="a tiny volume, for CI")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count")
    options = parser.parse_args()

    modules = ("scipy", "torch", "skimage", "sklearn")
    missing = [m for m in modules if not importlib.util.find_spec(m)]
    threads = available_threads()
    if "torch" not in missing:
        import torch

        torch.set_num_threads(threads)
    rows = peaks(options.small, options.rounds)
    rows += duplicates(options.small, options.rounds)
    if options.json:
        result = {"threads": threads, "small": options.small, "not_installed": missing}
        sys.stdout.write(json.dumps({**result, "rows": rows}, indent=1) + "\n")
        return 0
    volume = "96 x 96 x 48, 40" if options.small else "512 x 512 x 200, 1,500"
    sys.stdout.write(f"{volume} particles, {CLASSES} classes; {threads} threads\n\n")
    sys.stdout.write(table(rows) + "\n")
    if missing:
        sys.stdout.write(f"\nnot installed, left out: {', '.join(missing)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
