"""Choose the tile that computes the fewest voxels for one tomogram.

A network without coordinate channels takes boxes of any size, and a larger box has less
margin for what it owns. How large it may be is given, never taken from the memory that
happens to be free: picks depend a little on the tiles, and must not depend on what else
runs on the machine.
"""

import math
from dataclasses import dataclass

from dep.engine.card import ModelCard
from dep.engine.errors import SettingError
from dep.engine.tiles import TilePlan, plan_tiles

Box = tuple[int, int, int]

# Voxels of a tile unless told otherwise. With 13 channels of scores it takes 0.6 GB.
MOST_VOXELS = 128 * 144 * 144
# Memory of a tile's voxel on a processor: two float32 scores for every channel, since
# one tile's are read while the next are computed, and what the network holds inside
# (115 bytes measured on the bundled model; docs/performance.md).
SCORES = 2 * 4
INSIDE = 120
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Tiling:
    """How tomograms are cut into tiles for one model.

    Attributes
    ----------
    card : ModelCard
        Whose tile is taken where the network's is fixed.
    free : bool
        The network takes boxes of any size.
    tile : (int, int, int), optional
        Edges asked for, z, y, x.
    memory : int, optional
        MiB that a tile may take.

    Raises
    ------
    SettingError
        A tile that the network cannot take, no room for any, or both given.
    """

    card: ModelCard
    free: bool = False
    tile: Box | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        card, tile = self.card, self.tile
        if tile is not None and self.memory is not None:
            message = "a tile and a limit of memory exclude each other: leave one out"
            raise SettingError(message)
        if self.memory is not None and self.free:
            self._room(self.memory)
        if tile is None or tile == (card.tile,) * 3:
            return
        found = f"{tile} (z, y, x)"
        if not self.free:
            message = (
                f"tile: this model takes tiles of {card.tile} voxels only, found "
                f"{found}. Models without coordinate channels that `dep export` writes "
                "take others, on a processor."
            )
            raise SettingError(message)
        least = 2 * card.margin
        if min(tile) <= least or any(edge % card.tile_multiple for edge in tile):
            message = (
                f"tile: expected edges above {least} (two margins) that are multiples "
                f"of {card.tile_multiple}, found {found}"
            )
            raise SettingError(message)

    def plan(self, shape: Box) -> TilePlan:
        """Plan the tiles of a tomogram of this shape (z, y, x)."""
        card = self.card
        if self.tile is not None:
            return plan_tiles(shape, self.tile, card.margin)
        if not self.free:
            return plan_tiles(shape, card.tile, card.margin)
        most = MOST_VOXELS if self.memory is None else self._room(self.memory)
        return plan_tiles(
            shape,
            choose_tile(shape, card.margin, card.tile_multiple, most),
            card.margin,
        )

    def _room(self, memory: int) -> int:
        """Turn MiB into voxels of a tile."""
        each = SCORES * self.card.channels + INSIDE
        most = memory * MIB // each
        least = _smallest(self.card.margin, self.card.tile_multiple) ** 3
        if most < least:
            message = (
                f"memory: {memory} MiB hold no tile of this model; expected "
                f"{-(-least * each // MIB)} or more"
            )
            raise SettingError(message)
        return most


def choose_tile(shape: Box, margin: int, multiple: int, most: int) -> Box:
    """Choose edges (z, y, x) that compute the fewest voxels, then the fewest tiles.

    Parameters
    ----------
    shape : (int, int, int)
        Of the tomogram, z, y, x.
    margin : int
        Least distance of a core from the faces of its tile.
    multiple : int
        Of which every edge is one.
    most : int
        Voxels that a tile may have.

    Raises
    ------
    SettingError
        Not even the smallest tile has so few voxels.
    """
    axes = [_edges(length, margin, multiple) for length in shape]
    best: tuple[int, int, int, Box] | None = None
    for z, many_z in axes[0]:
        for y, many_y in axes[1]:
            for x, many_x in axes[2]:
                voxels = z * y * x
                if voxels > most:
                    break  # edges rise along an axis
                tiles = many_z * many_y * many_x
                # Equal in both, the smaller: it is what takes less memory.
                found = (tiles * voxels, tiles, voxels, (z, y, x))
                best = found if best is None else min(best, found)
    if best is None:
        least = math.prod(axis[0][0] for axis in axes)
        message = f"a tile of {most} voxels is too small; expected {least} or more"
        raise SettingError(message)
    return best[3]


def _smallest(margin: int, multiple: int) -> int:
    """Give the smallest edge that leaves a core."""
    return (2 * margin // multiple + 1) * multiple


def _edges(length: int, margin: int, multiple: int) -> list[tuple[int, int]]:
    """Give (edge, tiles needed) along an axis: the smallest edge for each number."""
    smallest = _smallest(margin, multiple)
    largest = -(-(length + 2 * margin) // multiple) * multiple
    by_count: dict[int, int] = {}
    for edge in range(smallest, max(smallest, largest) + 1, multiple):
        by_count.setdefault(-(-length // (edge - 2 * margin)), edge)
    return sorted((edge, count) for count, edge in by_count.items())
