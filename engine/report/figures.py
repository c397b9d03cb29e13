"""Slices of a run's tomograms as JPEG in the page, within the bytes that there are."""

import base64
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dep.engine import slices
from dep.engine.errors import DepError
from dep.engine.picture import jpeg
from dep.engine.report.found import ClassTable, Found
from dep.engine.volume import Volume, open_volume

__all__ = ["Figure", "draw_figures"]

# Longest edge in pixels and quality, tried in this order until a slice fits.
LADDER = ((640, 82), (640, 70), (560, 62), (480, 55), (400, 50), (320, 45))
LEAST = 18_000  # bytes in the page for a slice that shows something
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
        JPEG as base64, for each z; y points up.
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
    for done, index in enumerate(wanted):
        if told is not None:
            told(found[index].run.name, done, len(wanted))
        share = room // (len(wanted) - done)
        one = _draw(found[index], classes, count, share, elsewhere)
        if one.figure is not None:
            room -= _bytes(one.figure)
            if room < 0 and drawn:
                break
        drawn[index] = one
    return drawn


def _bytes(figure: Figure) -> int:
    pictures = sum(map(len, figure.pictures))
    return pictures + len(figure.picks) // 5 * BYTES_A_PICK


def _draw(
    found: Found, classes: ClassTable, count: int, share: int, elsewhere: Path | None
) -> Drawn:
    """Draw one tomogram, or say why not."""
    path = _source(found, elsewhere)
    if path is None:
        words = found.run.source.get("path") or found.run.tomogram
        return Drawn(None, (f"no slices: {words} is no longer there",))
    try:
        with open_volume(path, found.voxel_size, default_voxel_size=10.0) as volume:
            if found.shape is not None and volume.shape != found.shape:
                words = " x ".join(str(edge) for edge in volume.shape[::-1])
                return Drawn(
                    None, (f"no slices: {path} has another size now ({words})",)
                )
            figure = _figure(volume, found, classes, count, share)
    except (DepError, OSError) as error:
        return Drawn(None, (f"no slices: {error}",))
    changed = found.run.source and elsewhere is None and _changed(path, found)
    remark = f"{path} has changed since it was picked; the slices show it as it is now"
    return Drawn(figure, (remark,) if changed else ())


def _source(found: Found, elsewhere: Path | None) -> Path | None:
    """Find the file that was picked."""
    words = str(found.run.source.get("path") or found.run.tomogram)
    if not words or "\0" in words:
        return None
    path = Path(words)
    if elsewhere is not None:
        path = elsewhere / path.name
    # Not Path.is_file: it raises where a folder may not be searched.
    return path if os.path.isfile(path) else None  # noqa: PTH113


def _changed(path: Path, found: Found) -> bool:
    state = path.stat()
    source = found.run.source
    return (
        source.get("bytes") != state.st_size
        or source.get("modified_ns") != state.st_mtime_ns
    )


def _figure(
    volume: Volume, found: Found, classes: ClassTable, count: int, share: int
) -> Figure:
    """Choose as many slices as `share` bytes hold, and encode them."""
    depth = volume.shape[0]
    radii = np.array(
        [
            (diameter or slices.UNKNOWN_DIAMETER) / volume.voxel_size / 2
            for diameter in classes.diameters
        ]
    )
    for many in range(count, 0, -1):
        middles = slices.middles(depth, many)
        cut = _cut(found, radii, middles)
        left = share - len(cut) * BYTES_A_PICK
        if left >= len(middles) * LEAST:
            break
    pictures = []
    for done, middle in enumerate(middles):
        most = left // (len(middles) - done)
        pictures.append(_picture(slices.slab(volume, middle), most))
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


def _picture(plane: NDArray[np.float32], most: int) -> str:
    """Encode a plane in about `most` bytes of base64, or the smallest way there is."""
    for edge, quality in LADDER:
        encoded = base64.b64encode(jpeg(plane, edge, quality)).decode("ascii")
        if len(encoded) <= most:
            break
    return encoded
