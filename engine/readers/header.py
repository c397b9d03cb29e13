"""What a tomogram's file says of itself, whatever its format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dep.engine.errors import TomogramError

# Voxel edges that differ by more than this are not one voxel size.
ANISOTROPY = 0.01


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a tomogram that is stored at several.

    Attributes
    ----------
    name : str
        Where it lies in the file.
    shape : (int, int, int)
        z, y, x in voxels.
    voxel_size : float or None
        Ångström; None where the file does not know.
    """

    name: str
    shape: tuple[int, int, int]
    voxel_size: float | None


@dataclass(frozen=True, slots=True)
class Wish:
    """Which of several levels is wanted; none of both: the finest.

    Attributes
    ----------
    near : float, optional
        A voxel size in ångström: the level that serves it best.
    shape : (int, int, int), optional
        z, y, x: the level of just this shape, if there is one.
    """

    near: float | None = None
    shape: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """What a tomogram's file says of itself.

    Attributes
    ----------
    format : str
        Name and version of the format.
    shape : (int, int, int)
        z, y, x in voxels.
    dtype : numpy.dtype
        Of the voxels, byte order included.
    voxel_edges : (float, float, float)
        x, y, z edges in ångström; 0 where unknown.
    unknown : str
        Why there is no voxel size, to follow "the voxel size in the header".
    details : mapping
        What else there is to know, for people.
    level : str
        Which of the levels this is.
    levels : tuple of Level
        All of them, where there are several.
    compression : str
        What must be unpacked before any voxel can be read; empty where nothing must.
    """

    format: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    voxel_edges: tuple[float, float, float] = (0.0, 0.0, 0.0)
    unknown: str = "is not given"
    details: Mapping[str, object] = field(default_factory=dict)
    level: str = ""
    levels: tuple[Level, ...] = ()
    compression: str = ""

    @property
    def voxel_size(self) -> float | None:
        """Ångström; None where it is unknown or differs by axis."""
        return isotropic(self.voxel_edges)

    @property
    def lacks(self) -> str:
        """Say why there is no voxel size, after "the voxel size in the header"."""
        edges = self.voxel_edges
        if min(edges) > 0:
            return f"differs by axis ({edges[0]:g} x {edges[1]:g} x {edges[2]:g} Å)"
        return self.unknown


def isotropic(edges: tuple[float, float, float]) -> float | None:
    """Give the one voxel size of three edges, None where they are unknown or differ."""
    if min(edges) <= 0 or max(edges) > (1 + ANISOTROPY) * min(edges):
        return None
    return edges[0]


def edge_of(value: object, digits: int = 6) -> float:
    """Read one edge in ångström; 0 where it makes no sense.

    Parameters
    ----------
    value : object
        As a file holds it.
    digits : int
        Kept; 32-bit numbers hold six.
    """
    try:
        edge = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 0.0
    return float(f"{edge:.{digits}g}") if np.isfinite(edge) and edge > 0 else 0.0


def three_axes(label: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Say which axes of an array are z, y and x: others of length 1 are left out.

    Raises
    ------
    TomogramError
        Other dimensions than three remain, or one plane.
    """
    axes = list(range(len(shape)))
    while len(axes) > 3 and any(shape[axis] == 1 for axis in axes):
        axes.remove(next(axis for axis in axes if shape[axis] == 1))
    found = " x ".join(str(length) for length in shape)
    if len(axes) == 2 or (len(axes) == 3 and shape[axes[0]] == 1):
        height, width = shape[axes[-2]], shape[axes[-1]]
        message = (
            f"{label}: a 2D image of {width} x {height} pixels. "
            "Expected a tomogram with more than one plane."
        )
        raise TomogramError(message)
    if len(axes) != 3:
        message = (
            f"{label}: expected a tomogram of three dimensions (z, y, x), found an "
            f"array of {found or 'no dimension'}"
        )
        raise TomogramError(message)
    return tuple(axes)


def check_voxels(label: str, dtype: np.dtype[Any]) -> None:
    """Refuse voxels that are no real numbers.

    Raises
    ------
    TomogramError
        Complex, structured or other voxels.
    """
    if dtype.kind not in "iufb":
        message = (
            f"{label}: voxels of type {dtype} cannot be picked; "
            "expected whole or real numbers"
        )
        raise TomogramError(message)
