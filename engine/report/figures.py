"""Slices of a run's tomograms for the page, within the bytes that there are."""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine import slices
from dep.engine.errors import DepError
from dep.engine.picture import encoded
from dep.engine.readers.registry import is_there
from dep.engine.readers.state import state_of
from dep.engine.report.found import ClassTable, Found
from dep.engine.volume import Volume, open_volume

__all__ = ["Figure", "draw_figures"]

EDGE, LEAST_EDGE = 640, 200  # pixels, of a picture's longest edge
QUALITY = 55
GOOD = 60_000  # bytes in the page for a slice; with less there are fewer slices
LEAST = 18_000  # with less there is none
BYTES_A_PICK = 20  # in the page, about
TENTHS = 10  # of a voxel, in which the page holds places


@dataclass(frozen=True, slots=True)
class Figure:
    """What a page shows of one tomogram.

    Attributes
    ----------
    shape : (int, int, int)
        z, y, x in voxels.
    voxel_size : float
        Å.
    z : tuple of int
        The planes shown, rising.
    planes : int
        How many each is the mean of.
    pictures : tuple of str
        As data addresses, for each z; y points up.
    picks : list of int
        Of those that a shown plane cuts, five numbers each: x, y, z in tenths of a
        voxel, class index, score in ten-thousandths; best first.
    radii : tuple of float
        Of each class's particles, voxels.
    """

    shape: tuple[int, int, int]
    voxel_size: float
    z: tuple[int, ...]
    planes: int
    pictures: tuple[str, ...]
    picks: list[int]
    radii: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure, or why there is none; `remarks` hold of either."""

    figure: Figure | None
    remarks: tuple[str, ...] = ()


def draw_figures(
    found: Sequence[Found],
    classes: ClassTable,
    count: int,
    room: int,
    elsewhere: Path | None = None,
    told: Callable[[str, int, int], None] | None = None,
) -> dict[int, Drawn]:
    """Draw slices of the tomograms that are at hand, as many as there is room for.

    Only the planes of the slices are read. Where there is little room there are fewer
    slices of each tomogram, down to the central one; then the last ones have none.

    Parameters
    ----------
    found
        The tomograms with their picks.
    classes
        Of the run.
    count
        Slices of each tomogram, at most.
    room
        Bytes of the page that they may take together.
    elsewhere
        Folder to look for the tomograms in, by the names of their files.
    told
        Called with the tomogram's name, how many are done, and of how many.

    Returns
    -------
    dict
        Index in `found` -> what was drawn, of those that there was room for; nothing of
        those that were not picked.
    """
    wanted = [index for index, one in enumerate(found) if one.run.picked]
    wanted = wanted[: max(0, room // LEAST)]
    drawn: dict[int, Drawn] = {}
    pencil, slack = _Pencil(), room // 100
    for done, index in enumerate(wanted):
        if told is not None:
            told(found[index].run.name, done, len(wanted))
        share = room // (len(wanted) - done)
        one = _draw(found[index], classes, count, share, elsewhere, pencil)
        if one.figure is not None:
            room -= _bytes(one.figure)
            if room < -slack and drawn:
                break
        drawn[index] = one
    return drawn


def _bytes(figure: Figure) -> int:
    pictures = sum(map(len, figure.pictures))
    return pictures + len(figure.picks) // 5 * BYTES_A_PICK


def _draw(
    found: Found,
    classes: ClassTable,
    count: int,
    share: int,
    elsewhere: Path | None,
    pencil: "_Pencil",
) -> Drawn:
    """Draw one tomogram, or say why not."""
    words = str(found.run.source.get("path") or found.run.tomogram)
    if "://" in words:
        return Drawn(None, (f"no slices: {words} is not on this machine",))
    path = Path(words) if elsewhere is None else elsewhere / Path(words).name
    if not words or "\0" in words or not is_there(path):
        return Drawn(None, (f"no slices: {path} is not there",))
    try:
        with open_volume(
            path, found.voxel_size, default_voxel_size=10.0, shape=found.shape
        ) as volume:
            if found.shape is not None and volume.shape != found.shape:
                size = " x ".join(str(edge) for edge in volume.shape[::-1])
                return Drawn(
                    None, (f"no slices: {path} is of another size now, {size}",)
                )
            figure = _figure(volume, found, classes, count, share, pencil)
        changed = elsewhere is None and _changed(path, found.run.source)
    except (DepError, OSError) as error:
        return Drawn(None, (f"no slices: {error}",))
    remark = f"{path} has changed since it was picked; the slices show it as it is now"
    return Drawn(figure, (remark,) if changed else ())


def _changed(path: Path, source: dict[str, Any]) -> bool:
    """Say whether a file is not the one picked, as far as the record tells."""
    known = {key: value for key, value in source.items() if key != "path"}
    now = state_of(path) if known else {}
    return any(now.get(key) != value for key, value in known.items())


def _figure(
    volume: Volume,
    found: Found,
    classes: ClassTable,
    count: int,
    share: int,
    pencil: "_Pencil",
) -> Figure:
    """Choose as many slices as `share` bytes hold, and encode them."""
    depth = volume.shape[0]
    radii = np.array(
        [
            (diameter or slices.UNKNOWN_DIAMETER) / volume.voxel_size / 2
            for diameter in classes.diameters
        ]
    )
    enough = min(GOOD, pencil.expected(volume.shape[1:]))
    for many in range(count, 0, -1):
        middles = slices.middles(depth, many)
        cut = _cut(found, radii, middles)
        left = share - len(cut) * BYTES_A_PICK
        if left >= len(middles) * enough:
            break
    pictures = []
    for done, middle in enumerate(middles):
        most = max(LEAST // 2, left // (len(middles) - done))
        pictures.append(pencil.draw(slices.slab(volume, middle), most))
        left -= len(pictures[-1])
    return Figure(
        shape=volume.shape,
        voxel_size=volume.voxel_size,
        z=tuple(middles),
        planes=len(slices.planes(middles[0], depth, volume.voxel_size)),
        pictures=tuple(pictures),
        picks=list(_numbers(found, cut)),
        radii=tuple(round(float(radius), 3) for radius in radii),
    )


def _cut(
    found: Found, radii: NDArray[np.float64], middles: list[int]
) -> NDArray[np.intp]:
    """Find the picks whose sphere one of the planes cuts."""
    reach = radii[found.class_index]
    away = np.abs(found.xyz[:, 2, None] - np.array(middles)[None, :])
    return np.flatnonzero((away < reach[:, None]).any(axis=1))


def _numbers(found: Found, rows: NDArray[np.intp]) -> Iterator[int]:
    for row in rows:
        yield from (round(float(value) * TENTHS) for value in found.xyz[row])
        yield int(found.class_index[row])
        yield int(found.score[row])


class _Pencil:
    """Encodes slices, and remembers how large the last could be and what it took."""

    def __init__(self) -> None:
        self._edge = EDGE
        self._rate = 0.5  # bytes a pixel

    def expected(self, size: tuple[int, int]) -> int:
        """Guess the bytes of a plane (y, x) that is drawn as large as it can be."""
        shrink = min(1.0, EDGE / max(size))
        return int(size[0] * size[1] * shrink**2 * self._rate * 1.1)

    def draw(self, plane: NDArray[np.float32], most: int) -> str:
        """Encode a plane in about `most` bytes, or as small as it makes sense."""
        edge = min(EDGE, max(plane.shape), self._edge)
        while True:
            picture, kind = encoded(plane, edge, QUALITY)
            address = f"data:{kind};base64,{base64.b64encode(picture).decode('ascii')}"
            if len(address) <= most or edge <= LEAST_EDGE:
                break
            edge = max(LEAST_EDGE, min(edge - 1, _fitting(edge, len(address), most)))
        self._edge = min(EDGE, max(LEAST_EDGE, _fitting(edge, len(address), most)))
        shrink = min(1.0, edge / max(plane.shape))
        self._rate = len(address) / (plane.size * shrink**2)
        return address


def _fitting(edge: int, took: int, most: int) -> int:
    """Guess the edge that takes `most` bytes: they go about with the area."""
    return int(edge * (most / took) ** 0.5 * 0.97)
