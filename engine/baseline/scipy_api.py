"""The only module of the engine that imports SciPy: filters, splines and FFTs.

Everything is float32 in, float32 out, unless it says otherwise.
"""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import DepError

Volume32 = NDArray[np.float32]
Shape = tuple[int, int, int]


def need_scipy() -> None:
    """Raise a `DepError` that says what to install where SciPy is missing."""
    _ndimage()


def _ndimage() -> ModuleType:
    try:
        from scipy import ndimage
    except ImportError as error:
        raise _missing() from error
    return ndimage


def _fft() -> ModuleType:
    try:
        from scipy import fft
    except ImportError as error:
        raise _missing() from error
    return fft


def _missing() -> DepError:
    return DepError(
        "the baseline pickers need SciPy, which is not installed: "
        "pip install 'dep[baseline]'"
    )


def gaussian(block: Volume32, sigma: float, radius: int) -> Volume32:
    """Smooth with a Gaussian cut off at `radius` voxels, mirrored beyond the faces.

    A voxel's value depends on the voxels within `radius` of it alone, to the last bit.
    """
    smooth: Volume32 = _ndimage().gaussian_filter(
        block, sigma, radius=radius, mode="reflect"
    )
    return smooth


def maximum3(values: Volume32) -> Volume32:
    """Give the largest value of each voxel's 3 x 3 x 3 neighbourhood."""
    largest: Volume32 = _ndimage().maximum_filter(
        values, size=3, mode="constant", cval=-np.inf
    )
    return largest


def spline_coefficients(density: Volume32) -> Volume32:
    """Give the coefficients of the cubic spline through a map, 0 around it."""
    coefficients: Volume32 = _ndimage().spline_filter(
        density, order=3, output=np.float32, mode="grid-constant"
    )
    return coefficients


def resampled(
    coefficients: Volume32,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    shape: Shape,
) -> Volume32:
    """Read a spline at ``matrix @ voxel + offset`` for each voxel (z, y, x)."""
    values: Volume32 = _ndimage().affine_transform(
        coefficients,
        matrix,
        offset=offset,
        output_shape=shape,
        output=np.float32,
        order=3,
        mode="grid-constant",
        prefilter=False,
    )
    return values


def fast_length(length: int) -> int:
    """Give the next length whose FFT is quick."""
    return int(_fft().next_fast_len(length, real=True))


def forward(box: NDArray[Any], shape: Shape, threads: int) -> NDArray[Any]:
    """Transform a real box, padded with zeros at its ends to `shape`.

    Axis by axis, so that rows and planes of padding are not transformed before they
    have to be. Half a spectrum, (z, y, x // 2 + 1); float64 gives complex128.
    """
    fft = _fft()
    part = fft.rfft(box, n=shape[2], axis=2, workers=threads)
    part = fft.fft(part, n=shape[1], axis=1, workers=threads, overwrite_x=True)
    whole: NDArray[Any] = fft.fft(
        part, n=shape[0], axis=0, workers=threads, overwrite_x=True
    )
    return whole


def backward(
    spectrum: NDArray[Any], shape: Shape, kept: Shape, threads: int
) -> NDArray[Any]:
    """Transform half a spectrum back, and keep the first voxels of each axis.

    `spectrum` may be overwritten.
    """
    fft = _fft()
    part = fft.ifft(spectrum, axis=0, workers=threads, overwrite_x=True)[: kept[0]]
    part = fft.ifft(part, axis=1, workers=threads)[:, : kept[1]]
    real: NDArray[Any] = fft.irfft(part, n=shape[2], axis=2, workers=threads)
    return real[:, :, : kept[2]]
