"""A mask of a tomogram: voxels other than 0 are sample, and only those are picked."""

from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import TomogramError
from dep.engine.readers.files import is_folder
from dep.engine.readers.names import (
    Location,
    is_url,
    tomogram_name,
    tomograms_among,
)
from dep.engine.readers.ome_zarr import is_zarr
from dep.engine.tiles import TilePlan
from dep.engine.volume import Volume, open_volume
from dep.kernels import Candidates

Masking = str | PathLike[str] | NDArray[Any]


class Mask:
    """The mask of one tomogram, read plane by plane.

    Parameters
    ----------
    volume : Volume
        The mask.
    shape : (int, int, int)
        Of the tomogram as it is given, z, y, x.
    factor : float
        Voxel size that the network sees over the tomogram's own.

    Raises
    ------
    TomogramError
        Of another shape.
    """

    def __init__(
        self, volume: Volume, shape: tuple[int, int, int], factor: float = 1.0
    ) -> None:
        if volume.shape != shape:
            message = (
                f"{volume.label}: expected a mask of the tomogram's {_words(shape)} "
                f"voxels, found {_words(volume.shape)}"
            )
            raise TomogramError(message)
        self._volume = volume
        self._factor = factor

    def plan(self, plan: TilePlan, reach: int) -> TilePlan:
        """Leave out tiles that have no sample in their core and `reach` around it.

        Parameters
        ----------
        plan : TilePlan
            In voxels that the network sees.
        reach : int
            So many voxels; what a candidate depends on, so that leaving tiles out
            changes none that lies in the mask.

        Raises
        ------
        TomogramError
            A mask without sample.
        """
        kept = set()
        for span in plan.z:
            sample = self._flat(span.start - reach, span.stop + reach)
            for tile in plan.layer(span):
                rows, columns = (
                    slice(*self._range(one.start - reach, one.stop + reach, length))
                    for one, length in zip((tile.y, tile.x), sample.shape, strict=True)
                )
                if sample[rows, columns].any():
                    kept.add(tile)
        if not kept:
            message = (
                f"{self._volume.label}: no voxel of the mask is sample; expected "
                "values other than 0 where particles may be"
            )
            raise TomogramError(message)
        return plan.without(tile for tile in plan if tile not in kept)

    def inside(self, found: Candidates) -> Candidates:
        """Keep the candidates whose voxel is sample."""
        x, y, z = (
            np.minimum(np.rint(axis * self._factor).astype(np.intp), length - 1)
            for axis, length in zip(
                found.voxel.T, self._volume.shape[::-1], strict=True
            )
        )
        kept = np.zeros(len(found), bool)
        for plane in np.unique(z):
            here = z == plane
            kept[here] = self._volume.read(plane, plane + 1)[0][y[here], x[here]] != 0
        return replace(
            found,
            xyz=found.xyz[kept],
            voxel=found.voxel[kept],
            class_id=found.class_id[kept],
            value=found.value[kept],
            score=found.score[kept],
        )

    def close(self) -> None:
        """Let the file go."""
        self._volume.close()

    def _range(self, start: int, stop: int, length: int) -> tuple[int, int]:
        """Give the mask's own (first, last + 1) for voxels that the network sees."""
        first = int(np.rint(max(start, 0) * self._factor))
        last = int(np.rint((stop - 1) * self._factor))
        return min(first, length - 1), min(last, length - 1) + 1

    def _flat(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Say where a layer holds sample on any of its planes (y, x)."""
        flat: NDArray[np.bool_] = np.zeros(self._volume.shape[1:], bool)
        for z in range(*self._range(start, stop, self._volume.shape[0])):
            flat |= self._volume.read(z, z + 1)[0] != 0
        return flat


def open_mask(source: Masking, tomogram: Volume, factor: float = 1.0) -> Mask:
    """Open the mask of a tomogram.

    Parameters
    ----------
    source : path or array (z, y, x)
        A file (see `open_volume`), an array, or a folder of masks (see `mask_of`).
    tomogram : Volume
        Which it is for.
    factor : float
        See `Mask`.

    Raises
    ------
    TomogramError
        It cannot be opened, is not there, or has another shape.
    """
    if not isinstance(source, np.ndarray):
        source = mask_of(source, tomogram.name)
    volume = open_volume(
        source,
        tomogram.voxel_size,
        name=f"the mask of {tomogram.name}",
        shape=tomogram.shape,
    )
    try:
        return Mask(volume, tomogram.shape, factor)
    except TomogramError:
        volume.close()
        raise


def mask_of(source: Location, name: str) -> Location:
    """Give the mask of a tomogram of this name: itself, or that of a folder of masks.

    Raises
    ------
    TomogramError
        A folder that cannot be read, or has no mask or several of that name.
    """
    if is_url(source) or not is_folder(Path(source)) or is_zarr(Path(source)):
        return source
    folder = Path(source)
    try:
        every = tomograms_among(sorted(folder.iterdir()))
    except OSError as error:
        message = f"{folder}: this folder of masks cannot be read ({error.strerror})"
        raise TomogramError(message) from error
    found = [path for path in every if tomogram_name(path) == name]
    if len(found) != 1:
        message = (
            f"{folder}: expected one mask {name}.mrc for the tomogram {name}, found "
            f"{', '.join(path.name for path in found) or 'none'}"
        )
        raise TomogramError(message)
    return found[0]


def _words(shape: tuple[int, int, int]) -> str:
    depth, height, width = shape
    return f"{width} x {height} x {depth}"
