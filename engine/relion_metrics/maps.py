"""Read half maps and masks, make masks, and refuse what makes no sense."""

from os import PathLike

import numpy as np

from dep.engine.errors import MetricsError
from dep.engine.relion_metrics.shells import Map
from dep.engine.volume import open_volume

SAME_SIZE = 1e-3  # voxel sizes that differ by less are the same
SOFT_EDGE = 5.0  # voxels, of a ball


def open_halves(
    first: str | PathLike[str],
    second: str | PathLike[str],
    mask: str | PathLike[str] | None = None,
    voxel_size: float | None = None,
) -> tuple[Map, Map, Map | None, float]:
    """Read half maps, and a mask if there is one; give them and the voxel size (Å).

    Raises
    ------
    TomogramError, VoxelSizeError
        A file that is no map, or has no voxel size.
    MetricsError
        Maps that do not fit each other, voxels that are not finite or all alike, or a
        mask outside of [0, 1].
    """
    paths = [first, second] if mask is None else [first, second, mask]
    maps: list[Map] = []
    sizes: list[float] = []
    for path in paths:
        # A mask's own voxel size does not matter.
        size = voxel_size if len(maps) < 2 else sizes[0]
        with open_volume(path, size) as volume:
            maps.append(np.array(volume.read(0, volume.shape[0]), np.float32))
            sizes.append(volume.voxel_size)
        if not np.isfinite(maps[-1]).all():
            message = f"{path}: voxels that are NaN or infinite; expected finite ones"
            raise MetricsError(message)
        if maps[-1].shape != maps[0].shape:
            message = (
                f"{path}: {_words(maps[-1])} voxels, but {first} has "
                f"{_words(maps[0])}; expected maps of one shape"
            )
            raise MetricsError(message)
        if len(maps) < 3:
            check_contrast(maps[-1], str(path))
        else:
            check_mask(maps[-1], str(path))
    if abs(sizes[1] / sizes[0] - 1) > SAME_SIZE:
        message = (
            f"{second}: voxels of {sizes[1]:g} Å, but {first} has {sizes[0]:g} Å; give "
            "the right one with --voxel-size"
        )
        raise MetricsError(message)
    return maps[0], maps[1], (maps[2] if mask is not None else None), sizes[0]


def ball_mask(shape: tuple[int, int, int], radius: float) -> Map:
    """Give a ball about the middle voxel with a raised-cosine edge, radius in voxels.

    Raises
    ------
    MetricsError
        Its soft edge does not fit the box.
    """
    if not 0 < radius <= min(shape) / 2 - SOFT_EDGE:
        message = (
            f"a mask of {radius:.1f} voxels' radius and a soft edge of {SOFT_EDGE:g} "
            f"does not fit a box of {min(shape)} voxels"
        )
        raise MetricsError(message)
    z, y, x = (
        (np.arange(n, dtype=np.float32) - n // 2).reshape(
            [-1 if axis == own else 1 for axis in range(3)]
        )
        for own, n in enumerate(shape)
    )
    beyond = np.clip((np.sqrt(z * z + y * y + x * x) - radius) / SOFT_EDGE, 0, 1)
    mask: Map = (0.5 + 0.5 * np.cos(np.pi * beyond)).astype(np.float32)
    return mask


def check_contrast(one: Map, label: str) -> None:
    """Refuse a map whose voxels are all alike.

    Raises
    ------
    MetricsError
        Names it.
    """
    if one.min() == one.max():
        message = f"{label}: all voxels are alike; expected a density"
        raise MetricsError(message)


def check_mask(mask: Map, label: str) -> None:
    """Refuse a mask outside of [0, 1], or without anything in it.

    Raises
    ------
    MetricsError
        Says what was found.
    """
    low, high = float(mask.min()), float(mask.max())
    if low < -1e-3 or high > 1 + 1e-3 or not high > 0:
        message = (
            f"{label}: goes from {low:g} to {high:g}; expected weights from 0 to 1 "
            "that are not all 0"
        )
        raise MetricsError(message)


def _words(one: Map) -> str:
    return " x ".join(str(n) for n in one.shape[::-1])
