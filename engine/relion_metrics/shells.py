"""Fourier shells of real maps: correlations, and phases at random beyond a shell.

Shell s holds the frequencies whose length, times the longest edge of the map in voxels,
rounds to s; in a cube these are the usual shells of RELION and others. Shell s is at
s / (longest edge * voxel size) per ångström, and the last one is at Nyquist.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]
Map = NDArray[np.float32]


def how_many(shape: Shape) -> int:
    """Say how many shells there are, from 0 to Nyquist's."""
    return max(shape) // 2 + 1


def shell_plane(shape: Shape, z: int) -> NDArray[np.int64]:
    """Give the shell of each frequency of one plane of half a spectrum, (y, x)."""
    edge = max(shape)
    kz = np.fft.fftfreq(shape[0])[z]
    ky = np.fft.fftfreq(shape[1])[:, None]
    kx = np.fft.rfftfreq(shape[2])
    # rint of a half goes to the even neighbour, and lengths of a half are never met
    # in a cube: their squares would have to be whole numbers and a quarter.
    length = edge * np.sqrt(kz * kz + ky * ky + kx * kx)
    shell: NDArray[np.int64] = np.rint(length).astype(np.int64)
    return shell


def noise_scatter(mask: Map, shell: int) -> float:
    """Give the standard deviation of the FSC of independent noise in a mask.

    White noise times a mask m has the covariance C(k - k') between frequencies, C the
    transform of m^2, so the sum over the frequencies of a shell scatters by

        sqrt(sum_k sum_k' |C(k - k')|^2) / (n C(0))

    of its n frequencies: 1 / sqrt(n) without a mask. The double sum is one over voxels
    of the autocorrelation of m^2 times the square of the shell's transform.
    """
    z, y, x = mask.shape
    shape: Shape = (z, y, x)
    square = np.square(mask)
    spectrum = np.fft.rfftn(square)
    alike = np.fft.irfftn(np.abs(spectrum) ** 2, shape, axes=(0, 1, 2))
    there = np.stack([shell_plane(shape, plane) == shell for plane in range(z)])
    wave = np.fft.irfftn(there.astype(np.float32), shape, axes=(0, 1, 2))
    many = float(wave[0, 0, 0]) * mask.size  # frequencies of the shell
    double = float((alike * wave**2).sum()) * float(mask.size) ** 2
    return math.sqrt(max(double, 0.0)) / (many * float(square.sum(dtype=np.float64)))


def _weight(shape: Shape) -> NDArray[np.float64]:
    """Frequencies that half a spectrum leaves out are conjugates of those it has."""
    weight = np.full(shape[2] // 2 + 1, 2.0)
    weight[0] = 1.0
    if shape[2] % 2 == 0:
        weight[-1] = 1.0
    return weight


def correlation(a: NDArray[Any], b: NDArray[Any], shape: Shape) -> NDArray[np.float64]:
    """Correlate two half spectra in shells (Fourier shell correlation).

        FSC(s) = sum Re(A conj B) / sqrt(sum |A|^2 sum |B|^2)

    over the frequencies of shell s (Harauz and van Heel, Optik 73:146, 1986). 0 where
    one of the maps has nothing.
    """
    shells = how_many(shape)
    cross, power_a, power_b = np.zeros((3, shells))
    weight = _weight(shape)
    for z in range(shape[0]):
        shell = shell_plane(shape, z)
        inside = shell < shells
        index = shell[inside]
        one, other = a[z].astype(np.complex128), b[z].astype(np.complex128)
        for total, values in (
            (cross, (one * other.conj()).real),
            (power_a, np.abs(one) ** 2),
            (power_b, np.abs(other) ** 2),
        ):
            total += np.bincount(index, (values * weight)[inside], shells)
    power = np.sqrt(power_a * power_b)
    known = power > 0
    result: NDArray[np.float64] = np.where(known, cross, 0) / np.where(known, power, 1)
    return result


def randomised(
    spectrum: NDArray[Any], shape: Shape, start: int, rng: np.random.Generator
) -> Map:
    """Give the map with phases at random in shell `start` and beyond.

    Amplitudes stay. The phases are those of white noise: a real map's, as they must be.
    """
    noise = np.fft.rfftn(rng.standard_normal(shape, np.float32))
    size = np.abs(noise)
    noise /= np.where(size > 0, size, 1)
    for z in range(shape[0]):
        beyond = shell_plane(shape, z) >= start
        plane = spectrum[z]
        noise[z] = np.where(beyond, np.abs(plane) * noise[z], plane)
    changed: Map = np.fft.irfftn(noise, shape, axes=(0, 1, 2)).astype(np.float32)
    return changed
