"""Counts the work of the CUDA MP-NMS on the volume of postprocess.py; needs no device.

    python benchmarks/nms_work.py           # 512 x 512 x 200, 1,500 particles
    python benchmarks/nms_work.py --small   # in a second

Bricks, masks, planes and multiplications are those of kernels/cuda/src/nms.cu, counted
on the host; the floors divide bytes and operations by what a device can do at best.
The header of kernels/cuda/src/nms.cu gives the floor.
"""

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from postprocess import CLASSES, synthetic

from dep.kernels.cuda.nms import BRICK, CELL, WORDS

# H100 SXM: bytes a second of its memory; 32-bit operations a second of its cores.
MEMORY = 3.35e12
OPERATIONS = 132 * 64 * 1.7e9  # integer lanes of 132 multiprocessors
WIDE, HIGH, DEEP = 32, 8, 10  # as in nms.cu


@dataclass
class Work:
    """What the kernels do for one volume."""

    bricks: int = 0  # that have a label near them
    masks: int = 0  # of these: brick and class
    looked_at: int = 0  # planes of masks read
    summed: int = 0  # planes of masks with a voxel in them
    read: int = 0  # label bytes, by nms_search
    operations: int = 0  # multiplications with a weight


def near(first: int, last: int, reach: int, size: int) -> slice:
    """Cells that hold voxels within `reach` of first .. last - 1."""
    last = min(last, size)
    return slice(
        max(first - reach, 0) // CELL, (min(last + reach, size) - 1) // CELL + 1
    )


def count(labels: NDArray[np.uint8], n: int, *, joint: bool) -> Work:
    """Go through the bricks as the kernels do."""
    if joint:
        labels = (labels > 0).astype(np.uint8)
    shape = labels.shape
    held = np.zeros((*(-(-s // CELL) for s in shape), CLASSES + 1), bool)
    at = np.argwhere(labels)
    held[(*(at // CELL).T, labels[tuple(at.T)])] = True
    planes = {c: (labels == c) for c in range(1, CLASSES + 1)}
    work = Work()
    edges = [range(0, s, b) for s, b in zip(shape, BRICK, strict=True)]
    for z in edges[0]:
        for y in edges[1]:
            for x in edges[2]:
                region = tuple(
                    near(a, a + b, n, s)
                    for a, b, s in zip((z, y, x), BRICK, shape, strict=True)
                )
                layers = held[region].any(axis=(1, 2))
                classes = np.flatnonzero(layers.any(axis=0))
                work.bricks += bool(len(classes))
                window = tuple(
                    slice(max(a - 1 - n, 0), a - 1 + size + n)
                    for a, size in ((y, HIGH), (x, WIDE))
                )
                for c in classes:
                    work.masks += 1
                    low, high = max(z - 1 - n, 0), min(z - 1 + DEEP + n, shape[0])
                    lowest = region[0].start
                    seen = [
                        k
                        for k in range(low, high)
                        if k // CELL - lowest < len(layers)
                        and layers[k // CELL - lowest, c]
                    ]
                    work.looked_at += len(seen)
                    work.summed += sum(planes[c][(k, *window)].any() for k in seen)
    work.read = work.looked_at * (HIGH + 2 * n) * (WIDE + 2 * n)
    taps = 2 * n + 1
    work.operations = work.summed * taps * (
        WIDE * (HIGH + 2 * n) + WIDE * HIGH
    ) + work.summed * WIDE * HIGH * min(taps, DEEP)
    return work


def main() -> None:
    """Count and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a small volume")
    small = parser.parse_args().small
    shape, particles = ((40, 96, 96), 40) if small else ((200, 512, 512), 1500)
    labels, _ = synthetic(shape, particles)
    cells = int(np.prod([-(-s // CELL) for s in shape]))
    first = labels.size + cells * (4 * WORDS + 1)
    sys.stdout.write(
        f"nms_cells: {first / 1e6:.1f} MB, at least {first / MEMORY * 1e6:.1f} us\n"
    )
    bricks = int(np.prod([-(-s // b) for s, b in zip(shape, BRICK, strict=True)]))
    for joint in (False, True):
        for n in (3, 6):
            w = count(labels, n, joint=joint)
            seconds = max(w.read / MEMORY, w.operations / OPERATIONS)
            sys.stdout.write(
                f"nms_search {'joint' if joint else 'per class'}, n = {n}: "
                f"{w.bricks:,} of {bricks:,} bricks, {w.masks:,} masks, "
                f"{w.looked_at:,} planes read ({w.read / 1e6:.0f} MB), {w.summed:,} "
                f"summed, {w.operations / 1e6:.0f} M multiplications, at least "
                f"{seconds * 1e6:.0f} us\n"
            )


if __name__ == "__main__":
    main()
