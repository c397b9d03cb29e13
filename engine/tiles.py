"""Plan overlapping tiles so that every voxel of a tomogram is owned exactly once.

A tile is a box; only its core, at least `margin` voxels from its faces, counts. At the
faces of the tomogram the margin lies outside of it and is padding: the tomogram's mean,
which is 0 after normalisation. Zero and not a reflection, because the network pads each
of its convolutions with zeros as well, and because a mirrored particle at a face would
be a second particle that is not there.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, product

from dep.engine.errors import SettingError


@dataclass(frozen=True, slots=True)
class Span:
    """One tile along one axis, in voxels of the tomogram.

    Attributes
    ----------
    origin : int
        Where the tile begins; negative where it begins with padding.
    start, stop : int
        The core: the voxels it owns.
    """

    origin: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: its spans along z, y and x."""

    z: Span
    y: Span
    x: Span

    @property
    def origin(self) -> tuple[int, int, int]:
        """Where the tile begins in the tomogram (z, y, x), padding included."""
        return self.z.origin, self.y.origin, self.x.origin

    @property
    def core(self) -> tuple[int, int, int]:
        """Where the core begins in the tomogram (z, y, x)."""
        return self.z.start, self.y.start, self.x.start

    @property
    def core_in_tile(self) -> tuple[int, int, int]:
        """Where the core begins in the tile (z, y, x)."""
        return (
            self.z.start - self.z.origin,
            self.y.start - self.y.origin,
            self.x.start - self.x.origin,
        )

    @property
    def size(self) -> tuple[int, int, int]:
        """Of the core (z, y, x)."""
        return (
            self.z.stop - self.z.start,
            self.y.stop - self.y.start,
            self.x.stop - self.x.start,
        )


@dataclass(frozen=True, slots=True)
class TilePlan:
    """All tiles of a tomogram, in layers along z.

    Attributes
    ----------
    shape : (int, int, int)
        Of the tomogram, z, y, x.
    tile : (int, int, int)
        Edges of the tiles, z, y, x.
    margin : int
        Least distance of a core from the faces of its tile.
    z, y, x : tuple of Span
        Along each axis; every combination is a tile.
    skipped : frozenset of Tile
        Those of them that are left out: nothing is found in their cores.
    """

    shape: tuple[int, int, int]
    tile: tuple[int, int, int]
    margin: int
    z: tuple[Span, ...]
    y: tuple[Span, ...]
    x: tuple[Span, ...]
    skipped: frozenset[Tile] = frozenset()

    def __len__(self) -> int:
        return len(self.z) * len(self.y) * len(self.x) - len(self.skipped)

    def __iter__(self) -> Iterator[Tile]:
        """Give every tile that is not skipped, layer by layer."""
        for z in self.z:
            yield from self.layer(z)

    def layer(self, z: Span) -> list[Tile]:
        """Give the tiles of one layer that are not skipped."""
        every = (Tile(z, y, x) for y, x in product(self.y, self.x))
        return [tile for tile in every if tile not in self.skipped]

    def without(self, tiles: Iterable[Tile]) -> "TilePlan":
        """Give the plan with these tiles left out, and those that were before."""
        return replace(self, skipped=self.skipped.union(tiles))

    @property
    def computed_voxels(self) -> int:
        """How many voxels go through the network."""
        return len(self) * math.prod(self.tile)

    @property
    def owned_voxels(self) -> int:
        """How many voxels the tomogram has."""
        return math.prod(self.shape)

    @property
    def overhead(self) -> float:
        """How many voxels are computed for each of the tomogram's."""
        return self.computed_voxels / self.owned_voxels


def plan_tiles(
    shape: tuple[int, int, int], tile: int | tuple[int, int, int], margin: int
) -> TilePlan:
    """Plan tiles of one size for a tomogram.

    Parameters
    ----------
    shape : (int, int, int)
        z, y, x, each 1 or more.
    tile : int or (int, int, int)
        Edge of a cube, or edges along z, y, x.
    margin : int
        Least distance of a core from the faces of its tile.

    Raises
    ------
    SettingError
        Margins that leave no core, or an empty shape.
    """
    edges = (tile,) * 3 if isinstance(tile, int) else tile
    if margin < 0 or min(edges) <= 2 * margin:
        words = " x ".join(map(str, edges))
        message = f"a tile of {words} voxels with margins of {margin} has no core"
        raise SettingError(message)
    if min(shape) < 1:
        message = f"a tomogram of shape {shape} has no voxels"
        raise SettingError(message)
    z, y, x = (
        plan_axis(length, edge, margin)
        for length, edge in zip(shape, edges, strict=True)
    )
    return TilePlan(shape, edges, margin, z, y, x)


def plan_axis(length: int, edge: int, margin: int) -> tuple[Span, ...]:
    """Plan the fewest tiles along an axis, spread evenly.

    The first begins `margin` before the tomogram and the last ends `margin` after it.
    Instead of padding the last, all are moved together; neighbours share their overlap
    half and half, so that cores lie as deep inside their tiles as they can.
    """
    stride = edge - 2 * margin
    count = -(-length // stride)
    if count == 1:
        return (Span(-((edge - length) // 2), 0, length),)
    travel = length + 2 * margin - edge
    origins = [-margin + number * travel // (count - 1) for number in range(count)]
    cuts = [(before + edge + after) // 2 for before, after in pairwise(origins)]
    return tuple(map(Span, origins, [0, *cuts], [*cuts, length]))
