"""Cut a tomogram into blocks that a filter can have one at a time.

Each block owns a core; the filter sees `halo` voxels more on every side, as far as the
tomogram goes. Every voxel is owned once, so what a filter of that reach gives does not
depend on how the tomogram is cut.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import SettingError
from dep.engine.normalise import Normaliser
from dep.engine.volume import PlaneSource

Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]
MIB = 1 << 20
SMALLEST_CORE = 16  # voxels; smaller ones would be all halo


@dataclass(frozen=True, slots=True)
class Block:
    """A core and what is read for it, z, y, x in voxels of the tomogram."""

    core: Box
    read: Box

    @property
    def inside(self) -> Box:
        """Where the core lies in what is read."""
        return _box(
            (core.start - read.start, core.stop - read.start)
            for core, read in zip(self.core, self.read, strict=True)
        )


def cut(
    shape: Shape, halo: int, memory: int, bytes_of: Callable[[Shape], int]
) -> list[Block]:
    """Cut a tomogram into as few blocks as the memory allows.

    Parameters
    ----------
    shape : (int, int, int)
        Of the tomogram, z, y, x.
    halo : int
        Voxels that the filter sees around a voxel.
    memory : int
        MiB that the work on one block may take.
    bytes_of : callable
        What the work takes for a block that reads so many voxels, z, y, x.

    Raises
    ------
    SettingError
        The memory does not hold the smallest block; says how much would.
    """
    core = list(shape)

    def needed() -> int:
        z, y, x = (min(c + 2 * halo, n) for c, n in zip(core, shape, strict=True))
        return bytes_of((z, y, x))

    smallest = max(SMALLEST_CORE, halo)
    while needed() > memory * MIB:
        longest = max(range(3), key=lambda axis: core[axis])
        if core[longest] <= smallest:
            message = (
                f"{memory} MiB do not hold a block for particles of this size; "
                f"expected at least {math.ceil(needed() / MIB)} (--memory)"
            )
            raise SettingError(message)
        pieces = math.ceil(shape[longest] / core[longest]) + 1
        core[longest] = max(math.ceil(shape[longest] / pieces), smallest)
    spans = [
        [(start, min(start + c, n)) for start in range(0, n, c)]
        for c, n in zip(core, shape, strict=True)
    ]
    return [
        Block(
            _box(span),
            _box(
                (max(start - halo, 0), min(stop + halo, n))
                for (start, stop), n in zip(span, shape, strict=True)
            ),
        )
        for span in product(*spans)
    ]


def read_block(
    source: PlaneSource, block: Block, normalise: Normaliser
) -> NDArray[np.float32]:
    """Read and normalise what a block needs."""
    z, y, x = block.read
    voxels = source.read(z.start, z.stop)[:, y, x]
    out = np.empty(voxels.shape, np.float32)
    normalise(voxels, out)
    return out


def _box(spans: Iterator[tuple[int, int]] | tuple[tuple[int, int], ...]) -> Box:
    z, y, x = (slice(start, stop) for start, stop in spans)
    return z, y, x
