"""Small made-up cases for the tests of evaluation."""

import numpy as np

from dep.engine import ClassInfo
from dep.engine.evaluation.cases import Case, Cases

VOXEL_SIZE = 10.0


def case(picks=(), truth=(), name="t", voxel_size=VOXEL_SIZE, left_out=()):
    """Make one of rows (class, x, y, z[, score]) and (class, x, y, z)."""
    picked = np.array([[*row, 1.0][:5] for row in picks], float).reshape(-1, 5)
    true = np.array(truth, float).reshape(-1, 4)
    # Float32, as picks are.
    xyz = picked[:, 1:4].astype(np.float32).astype(float)
    rows = [at for at in range(1, len(true) + len(left_out) + 1) if at not in left_out]
    return Case(
        tomogram=name,
        picks=xyz,
        picked_as=picked[:, 0].astype(np.int64),
        score=picked[:, 4],
        truth=true[:, 1:],
        true_as=true[:, 0].astype(np.int64),
        row=np.array(rows, np.int64),
        voxel_size=voxel_size,
        left_out={"other": len(left_out)} if left_out else {},
    )


def cases(*each, **diameters):
    """Put them together; diameters in voxels by class name."""
    kinds = tuple(
        ClassInfo(name, size * VOXEL_SIZE)
        for name, size in (diameters or {"a": 6.0, "b": 9.0}).items()
    )
    return Cases(kinds, each)


def crowd(seed, picks=24, particles=24, extent=12, scores=6, tomograms=2):
    """Make crowded ones on whole voxels, with many equal distances and scores."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(tomograms):
        n, m = rng.integers(0, picks + 1), rng.integers(0, particles + 1)
        made.append(
            case(
                np.column_stack(
                    [
                        rng.integers(1, 3, n),
                        rng.integers(0, extent, (n, 3)),
                        rng.integers(0, scores, n) / scores,
                    ]
                ),
                np.column_stack(
                    [rng.integers(1, 3, m), rng.integers(0, extent, (m, 3))]
                ),
                name=f"t{number}",
            )
        )
    return cases(*made)
