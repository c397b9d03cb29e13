"""Choose the tile that computes the fewest voxels for one tomogram.

A network without coordinate channels takes boxes of any size, and a larger box has less
margin for what it owns. How large it may be follows from the tomogram's shape and from
a number, never from the memory that happens to be free: picks depend a little on the
tiles, and must not depend on what else runs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from dep.engine.card import ModelCard
from dep.engine.errors import SettingError
from dep.engine.tiles import TilePlan, plan_tiles

Box = tuple[int, int, int]
Held = Callable[[int], int]

MIB = 1 << 20
# What tiles and slabs may take unless told otherwise: picking stays below 1 GiB.
MEMORY = 900
# Bytes of a tile's voxel on a processor. For every channel two float32 scores, since
# one tile's are read while the next are computed, and as many inside the network; the
# rest are features and the tile itself (docs/performance.md: 266 with 13 channels).
CHANNEL = 16
INSIDE = 60
# Bytes of a voxel of the layer at work: a label and a probability.
LABELLED = 2


def _nothing(_planes: int) -> int:
    return 0


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
        MiB that tiles and the layer of labels may take.

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

    def plan(self, shape: Box, held: Held = _nothing) -> TilePlan:
        """Plan the tiles of a tomogram.

        Parameters
        ----------
        shape : (int, int, int)
            Of the tomogram, z, y, x.
        held : callable
            Says how many bytes its planes take in memory while so many are read at
            once.

        Raises
        ------
        SettingError
            The memory asked for holds not even the smallest tile.
        """
        card = self.card
        if self.tile is not None:
            return plan_tiles(shape, self.tile, card.margin)
        if not self.free:
            return plan_tiles(shape, card.tile, card.margin)
        each = CHANNEL * card.channels + INSIDE
        most = (self.memory or MEMORY) * MIB
        tile = choose_tile(
            shape,
            card.margin,
            card.tile_multiple,
            lambda box: _bytes(box, shape, each, held) <= most,
        )
        if tile is None:
            tile = (_smallest(card.margin, card.tile_multiple),) * 3
            if self.memory is not None:
                message = (
                    f"memory: {self.memory} MiB hold no tile of this model and a layer "
                    f"of {shape} (z, y, x); expected "
                    f"{-(-_bytes(tile, shape, each, held) // MIB)} or more"
                )
                raise SettingError(message)
        return plan_tiles(shape, tile, card.margin)


def choose_tile(
    shape: Box, margin: int, multiple: int, fits: Callable[[Box], bool]
) -> Box | None:
    """Choose edges (z, y, x) that compute the fewest voxels, then the fewest tiles.

    Parameters
    ----------
    shape : (int, int, int)
        Of the tomogram, z, y, x.
    margin : int
        Least distance of a core from the faces of its tile.
    multiple : int
        Of which every edge is one.
    fits : callable
        Tells of a box whether there is room; if there is, then for smaller ones too.

    Returns
    -------
    (int, int, int) or None
        None where not even the smallest fits.
    """
    axes = [_edges(length, margin, multiple) for length in shape]
    best: tuple[int, int, int, Box] | None = None
    for z, many_z in axes[0]:
        for y, many_y in axes[1]:
            for x, many_x in axes[2]:
                if not fits((z, y, x)):
                    break  # edges rise along an axis
                voxels, tiles = z * y * x, many_z * many_y * many_x
                # Equal in both, the smaller: it is what takes less memory.
                found = (tiles * voxels, tiles, voxels, (z, y, x))
                best = found if best is None else min(best, found)
    return None if best is None else best[3]


def _bytes(tile: Box, shape: Box, each: int, held: Held) -> int:
    """Give what a tile, its layer of labels and the planes of that layer take."""
    labels = LABELLED * tile[0] * shape[1] * shape[2]
    return each * math.prod(tile) + labels + held(tile[0])


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
