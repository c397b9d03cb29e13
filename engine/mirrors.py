"""Average the scores of a tile and of its mirror images.

A network learns from mirrored patches that a particle is the same either way, and does
not learn it quite. Averaging makes up for the rest, at the price of computing every
tile as often as it has images (docs/performance.md says what it is worth).
"""

import threading
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import SettingError, StoppedError
from dep.engine.runtime.protocol import Runtime

# Axes of (b, C, z, y, x) that are turned round, x first: most tomograms miss a wedge
# of directions between z and one of the others, which mirrors leave in place.
IMAGES: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((),),
    2: ((), (4,)),
    4: ((), (4,), (3,), (3, 4)),
    8: tuple(axes for many in range(4) for axes in combinations((4, 3, 2), many)),
}


def with_mirrors(runtime: Runtime, images: int) -> Runtime:
    """Average over so many mirror images; 1 leaves the runtime as it is.

    Raises
    ------
    SettingError
        Another number, or a GPU, whose scores never come to the host.
    """
    if images not in IMAGES:
        message = f"mirrors: expected 1, 2, 4 or 8, found {images}"
        raise SettingError(message)
    if images == 1:
        return runtime
    if runtime.device != "cpu":
        message = "mirrors are averaged on a processor only: take device cpu"
        raise SettingError(message)
    return MirrorAverage(runtime, images)


class MirrorAverage:
    """A runtime that computes mirror images too; see `Runtime` for what it offers.

    Parameters
    ----------
    runtime : Runtime
        Computes; closed with this.
    images : {2, 4, 8}
        Mirrored along x, along x and y, along all axes.
    """

    def __init__(self, runtime: Runtime, images: int) -> None:
        self._runtime = runtime
        self._images = IMAGES[images]
        self.name, self.device = runtime.name, runtime.device
        self.precision, self.threads = runtime.precision, runtime.threads
        self.batch, self.free = runtime.batch, runtime.free
        self._guard = threading.Lock()  # of the two below
        self._computing = False
        self._interrupted = False

    def infer(self, tiles: NDArray[np.float32]) -> NDArray[Any]:
        """Compute scores; see `Runtime.infer`. Each call returns its own array."""
        with self._guard:
            self._computing, self._interrupted = True, False
        try:
            total = np.array(self._runtime.infer(tiles), dtype=np.float32)
            for axes in self._images[1:]:
                self._check()
                image = np.ascontiguousarray(np.flip(tiles, axes))
                total += np.flip(self._runtime.infer(image), axes)
        finally:
            with self._guard:
                self._computing = False
        total /= np.float32(len(self._images))
        return total

    def _check(self) -> None:
        """End between two images: an interrupt must not wait for the next."""
        if self._interrupted:
            message = "the network was interrupted"
            raise StoppedError(message)

    def interrupt(self) -> None:
        """End the call at hand; see `Runtime.interrupt`."""
        with self._guard:
            self._interrupted = self._computing
        self._runtime.interrupt()

    def close(self) -> None:
        """Release the network."""
        self._runtime.close()
