"""Distance deduplication on a CUDA device: rounds until everything is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dep.kernels.cuda.device import Device

_ROUNDS = 8  # launched before the host looks whether more are needed
_KEPT = 1  # as in deduplicate.cu
_MOST = 2**30


def deduplicate(
    device: Device,
    xyz: NDArray[np.float32],
    score: NDArray[np.float64],
    class_id: NDArray[np.int32] | None,
    t_dist: float,
) -> NDArray[np.int64]:
    """Keep the best candidate of every neighbourhood; see `dep.kernels.deduplicate`.

    A round decides every candidate whose better neighbours are decided, so that the
    rounds are as many as the longest chain of candidates that wait for one another: a
    handful, unless someone builds a chain.

    Raises
    ------
    ValueError
        More candidates than 32-bit numbers count.
    """
    n = len(xyz)
    if n > _MOST:
        msg = f"{n} candidates; at most {_MOST} are deduplicated on a device"
        raise ValueError(msg)
    classes = np.zeros(n, np.int32) if class_id is None else class_id
    kept = np.arange(n)
    if n and t_dist > 0:
        kept = np.flatnonzero(_fates(device, xyz, score, classes, t_dist) == _KEPT)
    x, y, z = xyz[kept].T
    # The order of the reference; NumPy's sort is stable, and `kept` rises.
    order = np.lexsort((classes[kept], x, y, z, -score[kept]))
    return kept[order].astype(np.int64)


def _fates(
    device: Device,
    xyz: NDArray[np.float32],
    score: NDArray[np.float64],
    classes: NDArray[np.int32],
    t_dist: float,
) -> NDArray[np.uint8]:
    n = len(xyz)
    buckets = 1 << max(8, int(2 * n - 1).bit_length())
    points, scores = device.upload(xyz), device.upload(score)
    of_class = device.upload(classes)
    first = device.upload(np.full(buckets, -1, np.int32))
    following = device.empty((n,), np.int32)
    fate = device.zeros((n,), np.uint8)
    blocks, threads = (-(-n // 256), 1, 1), (256, 1, 1)
    mask, count, distance = np.uint32(buckets - 1), np.int32(n), np.float64(t_dist)
    device.launch(
        "dedup_insert",
        blocks,
        threads,
        (points, of_class, count, distance, first, mask, following),
    )
    before = n + 1
    while True:
        undecided = device.zeros((_ROUNDS,), np.int32)
        for turn in range(_ROUNDS):
            device.launch(
                "dedup_round",
                blocks,
                threads,
                (
                    points,
                    scores,
                    of_class,
                    count,
                    distance,
                    first,
                    mask,
                    following,
                    fate,
                    undecided[turn : turn + 1],
                ),
            )
        left = int(device.download(undecided)[-1])
        if left == 0:
            return device.download(fate)
        if left >= before:  # the best of those undecided always can be
            msg = f"{left} of {n} candidates stay undecided: a defect, please report it"
            raise RuntimeError(msg)
        before = left
