"""Filter a tomogram before the network sees it, plane by plane, while it is read.

A low-pass is a Gaussian, a high-pass the rest of one, and both together the difference
of two (band-pass). A filter is named by the wavelength in ångström of which half the
amplitude passes: exp(-2 pi^2 sigma^2 / d^2) = 1/2, so that sigma = 0.1874 d.

Gaussians are separable: planes are filtered in y and x by Fourier transforms, whose
cost does not grow with the width, and then mixed in z. At its faces the tomogram goes
on as its mirror image.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dep.engine.normalise import not_finite
from dep.engine.plane_window import PlaneWindow
from dep.engine.resample import ResampledVolume
from dep.engine.volume import Volume

HALF = math.sqrt(2 * math.log(2)) / (2 * math.pi)  # sigma for each unit of wavelength
TRUNCATE = 4.0  # deviations, after which a Gaussian is taken for 0
ROWS = 1 << 16  # voxels mixed at once: they stay in the processor's cache


class FilteredVolume:
    """A tomogram behind a Gaussian filter; planes are computed when they are read.

    Values count from those of the middle voxel, which normalisation takes away.
    Each plane is filtered in y and x once while reading goes on in z. Not for use by
    two threads at once.

    Parameters
    ----------
    source : Volume or ResampledVolume
        The tomogram, as the network would see it.
    voxel_size : float
        Of the source, ångström.
    lowpass : float, optional
        Å: shorter wavelengths are removed.
    highpass : float, optional
        Å: longer wavelengths are removed.

    Attributes
    ----------
    shape : (int, int, int)
        z, y, x.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        source: Volume | ResampledVolume,
        voxel_size: float,
        lowpass: float | None = None,
        highpass: float | None = None,
    ) -> None:
        self.label = source.label
        self.shape = source.shape
        self._source = source
        self._pivot: float | None = None
        self._smooth = [
            _Gaussian(self._plane_of, self.shape, HALF * length / voxel_size, sign)
            for length, sign in ((lowpass, 1.0), (highpass, -1.0))
            if length is not None
        ]
        # Without a low-pass the tomogram itself is what the high-pass is taken from.
        self._plain = lowpass is None
        reaches = [one.reach for one in self._smooth] + [0] * self._plain
        self._near, self._far = min(reaches), max(reaches)
        self._window = PlaneWindow(self.shape, self.dtype, self._fill)
        self._next = -1  # the plane that goes on from the last one

    def read(self, z0: int, z1: int) -> NDArray[np.float32]:
        """Give planes z0 to z1 - 1, valid until the next read overwrites them."""
        planes: NDArray[np.float32] = self._window.read(z0, z1)
        return planes

    def rest(self) -> None:
        """Do nothing: the window serves the next reads."""

    def held(self, planes: int) -> int:
        """Count the windows of filtered planes, and what the source takes."""
        ahead = self._far - self._near + 1
        return (
            self._window.held(planes)
            + sum(one.held for one in self._smooth)
            + self._source.held(ahead)
        )

    def widen(self, planes: int) -> None:
        """Expect reads of so many planes at once."""
        self._window.widen(planes)
        self._source.widen(self._far - self._near + 1)

    def _fill(self, z0: int, z1: int, out: NDArray[np.float32]) -> None:
        self._find_pivot()  # now: it must not come between reads that go on in z
        for z in range(z0, z1):
            self._look(z)
            plane = out[z - z0]
            if self._plain:
                plane[:] = self._plane_of(z)
            else:
                plane.fill(0)
            for one in self._smooth:
                one.add(z, plane)
            self._source.rest()

    def _look(self, z: int) -> None:
        """Have the source hold all planes that are new to any filter.

        They lie apart, and a source that decodes chunks must not go back and forth.
        """
        first = z + self._near if z == self._next else z - self._far
        self._next = z + 1
        depth = self.shape[0]
        first = min(max(first, 0), depth - 1)
        self._source.read(first, min(z + self._far + 1, depth))

    def _find_pivot(self) -> None:
        if self._pivot is None:
            depth, height, width = self.shape
            middle = self._source.read(depth // 2, depth // 2 + 1)[0]
            pivot = float(middle[height // 2, width // 2])
            if not math.isfinite(pivot):
                raise not_finite(self._source, depth // 2, middle)
            self._pivot = pivot

    def _plane_of(self, z: int) -> NDArray[np.float32]:
        """Give a plane of the source from the pivot on.

        Large means would cost Fourier transforms of 32 bits their digits.
        """
        stored = self._source.read(z, z + 1)[0]
        moved = np.subtract(stored, self._pivot or 0.0, dtype=np.float64)
        plane: NDArray[np.float32] = moved.astype(np.float32)
        if not np.isfinite(plane).all():
            raise not_finite(self._source, z, stored)
        return plane


def filtered(
    source: Volume | ResampledVolume,
    voxel_size: float,
    lowpass: float | None,
    highpass: float | None,
) -> Volume | ResampledVolume | FilteredVolume:
    """Filter a tomogram, or leave it as it is where nothing is asked for.

    Parameters
    ----------
    source, voxel_size, lowpass, highpass
        As for `FilteredVolume`.
    """
    if lowpass is None and highpass is None:
        return source
    return FilteredVolume(source, voxel_size, lowpass, highpass)


class _Gaussian:
    """One Gaussian: planes that are filtered in y and x, and how they mix in z.

    Parameters
    ----------
    plane_of : callable
        Gives a plane (y, x).
    shape : (int, int, int)
        z, y, x.
    sigma : float
        Voxels.
    sign : float
        1 or -1: whether it is added or taken away.
    """

    def __init__(
        self,
        plane_of: "_PlaneOf",
        shape: tuple[int, int, int],
        sigma: float,
        sign: float,
    ) -> None:
        self._plane_of = plane_of
        self._shape = shape
        self.reach = math.ceil(TRUNCATE * sigma)
        taps = np.exp(-0.5 * (np.arange(-self.reach, self.reach + 1) / sigma) ** 2)
        self._taps: NDArray[np.float64] = sign * taps / taps.sum()
        # Transforms have the length of a padded plane, or a little more: small factors.
        padded = [_fast_length(length + 2 * self.reach) for length in shape[1:]]
        y, x = (self._response(taps / taps.sum(), length) for length in padded)
        self._transfer: NDArray[np.float32] = np.outer(y, x[: len(x) // 2 + 1])
        self._padded = padded[0], padded[1]
        count = min(2 * self.reach + 1, shape[0])
        self._planes: NDArray[np.float32] = np.empty((count, *shape[1:]), np.float32)
        self._held = np.full(count, -1)  # which plane lies in each place

    @property
    def held(self) -> int:
        """Bytes of memory."""
        return self._planes.nbytes + 4 * self._transfer.nbytes

    def add(self, z: int, out: NDArray[np.float32]) -> None:
        """Add the filtered plane z to `out` (y, x)."""
        depth, height, width = self._shape
        places = _mirrored(np.arange(z - self.reach, z + self.reach + 1), depth)
        first = int(places.min())
        weights = np.zeros(int(places.max()) + 1 - first)
        np.add.at(weights, places - first, self._taps)
        for one in range(first, first + len(weights)):
            self._make(one)
        rows = max(1, ROWS // width)
        part = np.empty((rows, width), np.float32)
        for row in range(0, height, rows):
            total = out[row : row + rows]
            scaled = part[: len(total)]
            for one, weight in enumerate(weights, start=first):
                plane = self._planes[one % len(self._planes), row : row + rows]
                np.multiply(plane, np.float32(weight), out=scaled)
                total += scaled

    def _make(self, z: int) -> None:
        """Filter a plane in y and x, unless it is there."""
        place = z % len(self._planes)
        if self._held[place] == z:
            return
        _, height, width = self._shape
        plane = np.pad(self._plane_of(z), self.reach, mode="symmetric")
        waves = np.fft.rfft2(plane, self._padded)
        waves *= self._transfer
        smooth = np.fft.irfft2(waves, self._padded)
        self._held[place] = -1
        self._planes[place] = smooth[
            self.reach : self.reach + height, self.reach : self.reach + width
        ]
        self._held[place] = z

    def _response(self, taps: NDArray[np.float64], length: int) -> NDArray[np.float32]:
        """Transform the taps, the middle one first: real, as they are symmetric."""
        kernel = np.zeros(length)
        kernel[: self.reach + 1] = taps[self.reach :]
        if self.reach:
            kernel[-self.reach :] = taps[: self.reach]
        return np.fft.fft(kernel).real.astype(np.float32)


class _PlaneOf(Protocol):
    def __call__(self, z: int) -> NDArray[np.float32]: ...


def _mirrored(places: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Bring places outside of 0 to length - 1 back in: the face is the mirror."""
    folded = places % (2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)


def _fast_length(length: int) -> int:
    """Give the next length with no prime factor above 5."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1
