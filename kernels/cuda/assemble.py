"""Label assembly on a CUDA device: the cores of a batch of tiles into slabs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dep.kernels.cuda.device import Device, DeviceArray

    Triple = tuple[int, int, int]
    Place = tuple[Triple, Triple, Triple]  # source, target, size: z, y, x each

ScoreType = Literal["f32", "f16", "bf16"]
Activation = Literal["probabilities", "softmax", "sigmoid"]

_ACTIVATIONS = {"probabilities": 0, "softmax": 1, "sigmoid": 2}  # as in assemble.cu
_RUN = 4  # voxels of a thread
_BLOCK = (32, 8, 1)
_MOST_LAYERS = 65535  # of a grid, along z


def assemble(
    device: Device,
    scores: DeviceArray,
    kind: ScoreType,
    labels: DeviceArray,
    probability: DeviceArray,
    places: Sequence[Place],
    *,
    t_seg: float,
    joint: bool,
    background: bool,
    activation: Activation = "probabilities",
) -> None:
    """Write labels and probabilities of the cores of a batch into the slabs.

    Parameters
    ----------
    device : Device
        Where everything is.
    scores : device array (b, C, N, N, N)
        Of float32, float16, or bfloat16 as 16-bit integers; C-contiguous.
    kind : {"f32", "f16", "bf16"}
        Which of these.
    labels, probability : device arrays (z, y, x) uint8
        C-contiguous slabs of one shape.
    places : sequence of (source, target, size)
        For each tile: the core's origin in it, in the slabs, and its extent; z, y, x.
    t_seg, joint, background
        See `dep.kernels.assemble`.
    activation : {"probabilities", "softmax", "sigmoid"}
        "probabilities": the scores are; equal to the reference bit for bit. Otherwise
        they are logits, and this activation is computed here, in float32 with the
        device's `expf`: probability bytes may differ by 1 from another machine's.
    """
    count, channels, edge = scores.shape[:3]
    used = [place for place in places if 0 not in place[2]]
    if len(places) > count:
        msg = f"{len(places)} tiles to assemble, {count} in the batch"
        raise ValueError(msg)
    if not used:
        return
    deepest = max(place[2][0] for place in used)
    table = np.zeros((len(places), 10), np.int32)
    for row, place in zip(table, places, strict=True):
        row[:9] = [value for triple in place for value in triple]
        row[9] = deepest
        if 0 in place[2]:
            row[6:9] = 0
    high = max(place[2][1] for place in used)
    wide = max(place[2][2] for place in used)
    layers = len(places) * deepest
    if layers > _MOST_LAYERS:
        msg = f"a batch of {len(places)} tiles, {deepest} planes each, is too large"
        raise ValueError(msg)
    device.launch(
        f"assemble_{kind}",
        (-(-wide // (_BLOCK[0] * _RUN)), -(-high // _BLOCK[1]), layers),
        _BLOCK,
        (
            scores,
            np.int32(channels),
            np.int32(edge),
            device.upload(table),
            labels,
            probability,
            np.int32(labels.shape[1]),
            np.int32(labels.shape[2]),
            np.float32(t_seg),
            np.int32(joint),
            np.int32(background),
            np.int32(_ACTIVATIONS[activation]),
        ),
    )
