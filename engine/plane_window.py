"""Hold some planes of a tomogram, so that each is made once while reading goes on."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Writes planes z0 to z1 - 1 into an array of that many planes.
Fill = Callable[[int, int, NDArray[Any]], None]


class PlaneWindow:
    """Planes that are made when they are read, and kept while reading stays near.

    There is one window, in place: moving on takes no second one. Not for use by two
    threads at once.

    Parameters
    ----------
    shape : (int, int, int)
        Of the whole, z, y, x.
    dtype : numpy.dtype
        Of the planes.
    fill : callable
        Makes planes.
    step : int
        So many planes are made at once, the first of them at a multiple of it.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        fill: Fill,
        step: int = 1,
    ) -> None:
        self._shape = shape
        self._dtype = dtype
        self._fill = fill
        self._step = min(step, shape[0])
        # Planes `first` to `first + count - 1` lie at the start of the window.
        self._window: NDArray[Any] = np.empty((0, *shape[1:]), dtype)
        self._first = self._count = 0

    def held(self, planes: int) -> int:
        """Say how many bytes it takes when so many planes are read at once."""
        height, width = self._shape[1:]
        return self._most(planes) * height * width * self._dtype.itemsize

    def widen(self, planes: int) -> None:
        """Expect reads of so many planes at once; what is held is forgotten.

        Reading more works as well, and holds two windows for a moment while the larger
        one is made.
        """
        self._first = self._count = 0
        self._window = np.empty((0, *self._shape[1:]), self._dtype)
        self._window = np.empty((self._most(planes), *self._shape[1:]), self._dtype)

    def read(self, z0: int, z1: int) -> NDArray[Any]:
        """Give planes z0 to z1 - 1, valid until the next read overwrites them."""
        start = z0 // self._step * self._step
        stop = min(-(-z1 // self._step) * self._step, self._shape[0])
        first, last = self._first, self._first + self._count
        if not (first <= z0 and z1 <= last):
            self._move(start, stop)
            first = start
        return self._window[z0 - first : z1 - first]

    def _move(self, start: int, stop: int) -> None:
        first, last = self._first, self._first + self._count
        source = self._window
        if stop - start > len(source):
            self._window = np.empty((stop - start, *self._shape[1:]), self._dtype)
        self._first, self._count = start, 0  # nothing is held if a plane fails
        kept = range(max(start, first), min(stop, last))
        # Plane by plane, and in the order in which none is overwritten before it has
        # moved: NumPy would copy the whole where the two places overlap.
        for z in kept if start >= first else reversed(kept):
            self._window[z - start] = source[z - first]
        del source
        if not kept:
            kept = range(stop, stop)
        for z0, z1 in ((start, kept.start), (kept.stop, stop)):
            if z0 < z1:
                self._fill(z0, z1, self._window[z0 - start : z1 - start])
        self._count = stop - start

    def _most(self, planes: int) -> int:
        """Say how many planes lie in the window when so many are read at once."""
        ragged = planes + 2 * (self._step - 1)
        return min(ragged // self._step * self._step, self._shape[0])
