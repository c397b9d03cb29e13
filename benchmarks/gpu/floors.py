"""What must be done at least: bytes that kernels move, multiplications of a network.

A floor in milliseconds is bytes over the rate at which this card copies, both counted
as bytes read and bytes written. Bytes are those that the kernels' sources say
(kernels/cuda/src): every input read once, every output written once.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dep.kernels.cuda.nms import CELL, WORDS

if TYPE_CHECKING:
    from torch import nn

SCORE_BYTES = {"f32": 4, "f16": 2, "bf16": 2}
SLAB_BYTES = 2  # a label and a probability


def assemble_bytes(core: int, tiles: int, channels: int, kind: str) -> int:
    """Bytes of assembling a batch: cores of `core` cubed, each score read once."""
    return tiles * core**3 * (channels * SCORE_BYTES[kind] + SLAB_BYTES)


def cells_bytes(shape: Sequence[int]) -> int:
    """Bytes of `nms_cells`: the volume read once, the cells' labels written."""
    cells = math.prod(-(-size // CELL) for size in shape)
    return math.prod(shape) + cells * (4 * WORDS + 1)


def dedup_bytes(candidates: int) -> int:
    """Bytes of deduplicating once through: a floor of floors.

    Coordinates, class and score of each candidate are read once, a link and a fate are
    written and read; buckets are written by the host and read. That they lie where a
    hash puts them, and that a cell is looked at from its neighbours, is not counted.
    """
    buckets = 1 << max(8, int(2 * candidates - 1).bit_length())
    return candidates * (3 * 4 + 4 + 8 + 2 * 4 + 2 * 1) + buckets * 4 * 2


def milliseconds(nbytes: float, bytes_per_second: float) -> float:
    """How long the card takes to move that much at best."""
    return 1e3 * nbytes / bytes_per_second


def macs(network: "nn.Module", edge: int) -> int:
    """Count the multiplications of a network for one tile, without computing any.

    Convolutions alone: what else there is adds a per cent, and no multiplications.
    """
    import copy

    import torch
    from torch import nn

    total = 0

    def count(
        module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> None:
        nonlocal total
        weight = module.get_parameter("weight")
        # Each weight meets each voxel once: of the output or, transposed, of the input.
        voxels = inputs[0] if isinstance(module, nn.ConvTranspose3d) else output
        total += weight.numel() * voxels[0, 0].numel()

    shadow = copy.deepcopy(network).to("meta")
    for module in shadow.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(count)
    with torch.inference_mode(), torch.device("meta"):
        shadow(torch.empty(1, 1, edge, edge, edge, device="meta"))
    return total
