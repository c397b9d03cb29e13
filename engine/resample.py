"""Show a tomogram at another voxel size, plane by plane, while it is read.

Convention: the centre of the first voxel is 0 in both frames, so a place x' voxels of
the new frame is ``x' * new / old`` voxels of the old one, on each axis and exactly.
Voxels of the new frame lie where their centres are between the first and the last
centre of the old one.

Each new voxel is a weighted sum of old ones, separable in z, y, x. The weights are a
triangle as wide as one voxel of the coarser frame (which removes what the new frame
cannot hold), corrected by a straight line so that a linear ramp is reproduced exactly,
at the faces too (local linear regression).
"""

import math

import numpy as np
from numpy.typing import NDArray

from dep.engine.plane_window import PlaneWindow
from dep.engine.volume import Volume


class ResampledVolume:
    """A tomogram at another voxel size; planes are computed when they are read.

    Planes are kept in one window, in place: one that was computed is not computed
    again while reading goes on from near it, and moving on takes no second window. Not
    for use by two threads at once.

    Parameters
    ----------
    volume : Volume
        The tomogram.
    voxel_size : float
        Wanted, in ångström.
    window : int
        The most planes that will be read at once. Reading more works as well, and
        holds two windows for a moment while the larger one is made.

    Attributes
    ----------
    factor : float
        New over old voxel size: new coordinates times this are old ones.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, volume: Volume, voxel_size: float, window: int = 1) -> None:
        self.factor = voxel_size / volume.voxel_size
        self.voxel_size = voxel_size
        self.label = volume.label
        z, y, x = (resampled_length(n, self.factor) for n in volume.shape)
        self.shape = (z, y, x)
        self._volume = volume
        # The filter along z as (first plane, weights) for each new plane.
        self._z = [_taps(n, volume.shape[0], self.factor) for n in range(z)]
        self._y = _Filter(y, volume.shape[1], self.factor)
        self._x = _Filter(x, volume.shape[2], self.factor)
        self._window = PlaneWindow(self.shape, self.dtype, self._fill)
        self._taps = max(len(weights) for _, weights in self._z)
        self.widen(window)

    def held(self, planes: int) -> int:
        """Say how many bytes of memory reads of so many planes at once take."""
        return self._window.held(planes) + self._volume.held(self._taps)

    def widen(self, planes: int) -> None:
        """Expect reads of so many planes at once; what is held is forgotten."""
        self._window.widen(planes)
        self._volume.widen(self._taps)

    def rest(self) -> None:
        """Do nothing: the window serves the next reads."""

    def read(self, z0: int, z1: int) -> NDArray[np.float32]:
        """Give planes z0 to z1 - 1, valid until the next read overwrites them."""
        return self._window.read(z0, z1)

    def _fill(self, z0: int, z1: int, out: NDArray[np.float32]) -> None:
        for z in range(z0, z1):
            out[z - z0] = self._plane(z)

    def _plane(self, z: int) -> NDArray[np.float32]:
        first, weights = self._z[z]
        source = self._volume.read(first, first + len(weights))
        mixed: NDArray[np.float32] = np.zeros(source.shape[1:], np.float32)
        for plane, weight in zip(source, weights, strict=True):
            mixed += plane.astype(np.float32) * np.float32(weight)
        return self._x.along(1, self._y.along(0, mixed))


class _Filter:
    """The filter along one axis: few old voxels for each new one.

    Taps are added one by one and not as a product of matrices, most of which would be
    zeros: BLAS would take the cores from the network, and round as it has threads.
    """

    def __init__(self, new: int, old: int, factor: float) -> None:
        taps = [_taps(index, old, factor) for index in range(new)]
        most = max(len(weights) for _, weights in taps)
        # (taps, new): the old voxel and its weight, which is 0 where there are fewer.
        self._from = np.zeros((most, new), np.intp)
        self._weights = np.zeros((most, new), np.float32)
        for index, (first, weights) in enumerate(taps):
            self._from[:, index] = np.minimum(first + np.arange(most), old - 1)
            self._weights[: len(weights), index] = weights

    def along(self, axis: int, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter a plane (y, x) along an axis."""
        total = self._tap(axis, plane, 0)
        for tap in range(1, len(self._from)):
            total += self._tap(axis, plane, tap)
        return total

    def _tap(
        self, axis: int, plane: NDArray[np.float32], tap: int
    ) -> NDArray[np.float32]:
        # In range, as they are; "clip" spares a copy of the result.
        part: NDArray[np.float32] = plane.take(self._from[tap], axis, mode="clip")
        part *= self._weights[tap].reshape((-1, 1) if axis == 0 else (1, -1))
        return part


def resampled_length(length: int, factor: float) -> int:
    """How many new voxels lie between the centres of the first and last old one."""
    # A hair of slack: (length - 1) / factor must not lose a voxel to rounding.
    return max(1, math.floor((length - 1) / factor + 1e-6) + 1)


def _taps(index: int, length: int, factor: float) -> tuple[int, NDArray[np.float64]]:
    """Weights of old voxels for one new voxel: (first, weights).

    Triangle weights t, then w = t (a + b d) with d the distance to each old voxel,
    so that sum(w) = 1 and sum(w d) = 0.
    """
    place = min(index * factor, length - 1.0)
    reach = max(1.0, factor)
    first = max(0, math.floor(place - reach) + 1)
    last = min(length - 1, math.ceil(place + reach) - 1)
    distance = np.arange(first, last + 1) - place
    triangle = 1 - np.abs(distance) / reach
    m0, m1, m2 = ((triangle * distance**power).sum() for power in range(3))
    determinant = m0 * m2 - m1 * m1
    if determinant < 1e-12:  # one old voxel, right at the place
        return first, triangle / m0
    return first, triangle * (m2 - m1 * distance) / determinant
