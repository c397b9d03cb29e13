"""The ice being filled: where there is room, and what lies where.

The specimen repeats itself in x and y beyond the tomogram, so that what crosses one of
those faces comes in at the opposite one, as neighbours out of view would; in z it ends
at the surfaces of the ice.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

GAP = -1
ATTEMPTS = 400
PROBES = 48  # voxels of a body that are looked at before all of them


class Ice:
    """A slab of ice that takes up bodies without overlap.

    Parameters
    ----------
    shape : (int, int, int)
        z, y, x in voxels.
    gap : float
        Least distance of two surfaces, in voxels.

    Attributes
    ----------
    particles, background : (z, y, x) float32
        Potential against ice in V: of the particles, and of all else.
    instances : (z, y, x) int32
        The number of the body at a voxel, 0 in free ice, `GAP` beside a body.
    """

    def __init__(self, shape: tuple[int, int, int], gap: float) -> None:
        self.particles: NDArray[np.float32] = np.zeros(shape, np.float32)
        self.background: NDArray[np.float32] = np.zeros(shape, np.float32)
        self.instances: NDArray[np.int32] = np.zeros(shape, np.int32)
        self._gap = gap

    def find_room(
        self, solid: NDArray[np.bool_], generator: np.random.Generator
    ) -> NDArray[np.int64] | None:
        """Draw places (x, y, z of the cube's middle voxel) until the body fits one.

        Returns None after 400 places where it does not, or where it is too thick.
        """
        depth, height, width = self.instances.shape
        half = solid.shape[0] // 2
        points = np.argwhere(solid) - half  # z, y, x
        low, high = -int(points[:, 0].min()), depth - 1 - int(points[:, 0].max())
        low, high = max(low, 1), min(high, depth - 2)
        if low > high:
            return None
        probes = points[generator.integers(len(points), size=PROBES)]
        for _ in range(ATTEMPTS):
            x, y = generator.integers(1, [width - 1, height - 1])
            z = generator.integers(low, high + 1)
            middle = np.array([z, y, x])
            if self._free(probes + middle) and self._free(points + middle):
                return middle[::-1]
        return None

    def _free(self, voxels: NDArray[np.int64]) -> bool:
        _, height, width = self.instances.shape
        found = self.instances[
            voxels[:, 0], voxels[:, 1] % height, voxels[:, 2] % width
        ]
        return not found.any()

    def put(
        self,
        potential: NDArray[np.float32],
        solid: NDArray[np.bool_],
        middle: NDArray[np.int64],
        number: int,
        *,
        particle: bool,
    ) -> None:
        """Add a body's potential, and mark where it and the gap around it lie."""
        volume = self.particles if particle else self.background
        index, kept = self._window(middle, potential.shape[0] // 2)
        volume[index] += potential[kept]
        margin = math.ceil(self._gap)
        index, kept = self._window(middle, solid.shape[0] // 2 + margin)
        solid = np.pad(solid, margin)
        around = ndimage.binary_dilation(solid, _ball(self._gap)) if margin else solid
        marks = self.instances[index]
        marks[around[kept] & (marks == 0)] = GAP
        marks[solid[kept]] = number
        self.instances[index] = marks

    def _window(
        self, middle: NDArray[np.int64], half: int
    ) -> tuple[tuple[NDArray[np.intp], ...], tuple[NDArray[np.intp], ...]]:
        """Index the voxels of a cube, and those of the cube that lie in the ice.

        A cube wider than the tomogram loses its outermost voxels, which are faint.
        """
        ours, theirs = [], []
        for at, n, wraps in zip(
            middle[::-1], self.instances.shape, (False, True, True), strict=True
        ):
            reach = min(half, (n - 1) // 2) if wraps else half
            cube = np.arange(half - reach, half + reach + 1)
            place = at - half + cube
            inside = np.ones(len(cube), bool) if wraps else (place >= 0) & (place < n)
            ours.append(place[inside] % n)
            theirs.append(cube[inside])
        return np.ix_(*ours), np.ix_(*theirs)

    def crowd(
        self,
        share: float,
        diameter: float,
        potential: float,
        generator: np.random.Generator,
    ) -> None:
        """Fill free ice with small globular proteins, as the cytosol is.

        Each is a ball of `diameter` (voxels); they may overlap one another. `share` is
        of the free ice.
        """
        shape = self.instances.shape
        radius = diameter / 2
        ball = 4 / 3 * np.pi * radius**3
        count = round(share * math.prod(shape) / ball)
        place = generator.random((count, 3)) * (np.array(shape) - 1)
        near = np.rint(place).astype(np.int64)
        place = place[self.instances[near[:, 0], near[:, 1], near[:, 2]] == 0]
        low = np.floor(place).astype(np.int64)
        part = place - low
        drops = np.zeros(math.prod(shape))
        for corner in np.ndindex(2, 2, 2):
            weight = np.where(corner, part, 1 - part).prod(axis=1)
            at = np.minimum(low + corner, np.array(shape) - 1)
            flat = np.ravel_multi_index(tuple(at.T), shape)
            drops += np.bincount(flat, weight, drops.size)
        spectrum = fft.rfftn(drops.reshape(shape).astype(np.float32))
        spectrum *= (potential * ball * _ball_transform(shape, radius)).astype(
            np.float32
        )
        self.background += fft.irfftn(spectrum, shape)


def _ball_transform(shape: tuple[int, int, int], radius: float) -> NDArray[np.float64]:
    """Give the Fourier transform of a ball of unit mass, its surface half a voxel soft.

    3 (sin q - q cos q) / q³ with q = 2 pi k radius.
    """
    kz, ky, kx = (
        fft.fftfreq(shape[0])[:, None, None],
        fft.fftfreq(shape[1])[None, :, None],
        fft.rfftfreq(shape[2])[None, None, :],
    )
    square = kz**2 + ky**2 + kx**2
    q = np.maximum(2 * np.pi * radius * np.sqrt(square), 1e-3)
    soft = np.exp(-2 * np.pi**2 * square * 0.5**2)
    result: NDArray[np.float64] = 3 * (np.sin(q) - q * np.cos(q)) / q**3 * soft
    return result


def _ball(radius: float) -> NDArray[np.bool_]:
    half = math.ceil(radius)
    z, y, x = np.ogrid[-half : half + 1, -half : half + 1, -half : half + 1]
    result: NDArray[np.bool_] = z * z + y * y + x * x <= radius * radius
    return result
