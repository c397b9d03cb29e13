"""Weighted back-projection of a tilt series into a tomogram."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from dep.train.simulate.geometry import (
    OVERSAMPLING,
    Detector,
    back_projection_matrix,
)
from dep.train.simulate.optics import Optics, damage
from dep.train.simulate.settings import Reconstruction
from dep.train.simulate.tilt_series import Tilt, frequencies

ROLL_OFF = 0.1  # of the Nyquist frequency: width of the edge of the filter
Step = Callable[[], None]


def back_project(
    images: NDArray[np.float32],
    tilts: tuple[Tilt, ...],
    detector: Detector,
    shape: tuple[int, int],
    settings: Reconstruction,
    optics: Optics,
    voxel: float,
    step: Step = lambda: None,
) -> NDArray[np.float32]:
    """Reconstruct a tomogram from aligned images.

    Parameters
    ----------
    images : (tilts, u, v) float32
        Intensity less 1.
    shape : (int, int)
        Planes and columns of the tomogram, z and x; its rows are v.
    step
        Called once for each tilt.

    Returns
    -------
    (z, y, x) float32
    """
    depth, width = shape
    height = images.shape[2]
    angles = np.radians([tilt.angle for tilt in tilts])
    tomogram = np.zeros((depth * width, height), np.float32)
    for n, (tilt, image) in enumerate(zip(tilts, images, strict=True)):
        weights = _radial(n, angles, detector.width, depth, settings)
        fine = _filtered(image, tilt, weights, settings, optics, detector, voxel)
        tomogram += back_projection_matrix(width, depth, angles[n], detector) @ fine
        step()
    if settings.contrast == "bright":
        tomogram *= -1
    volume = tomogram.reshape(depth, width, height).transpose(0, 2, 1)
    return np.ascontiguousarray(volume)


def _radial(
    one: int,
    angles: NDArray[np.float64],
    width: int,
    depth: int,
    settings: Reconstruction,
) -> NDArray[np.float64]:
    """Give the filter along u of one tilt, (width,).

    ``ramp``: |k| times the angle between tilts (Radermacher, in Electron Tomography,
    ed. Frank, 2006). ``exact``: the inverse of how many central sections, each as
    thick as 1 / depth, overlap at k: sum over tilts i of
    max(0, 1 - depth |k sin(t - t_i)|); Harauz & van Heel, Optik 73:146 (1986).
    """
    k = np.abs(fft.fftfreq(width))  # cycles per voxel
    if settings.filter == "exact":
        apart = np.abs(np.sin(angles[one] - angles))
        overlap = np.maximum(0, 1 - depth * k[:, None] * apart[None, :]).sum(axis=1)
        weights = 1 / (depth * overlap)
        weights[0] = 0  # the mean of a projection says nothing of where matter lies
    else:
        between = np.ptp(angles) / max(len(angles) - 1, 1)
        weights = k * between
    edge = (k / 0.5 - (settings.cutoff - ROLL_OFF)) / ROLL_OFF
    result: NDArray[np.float64] = weights
    if settings.cutoff < 1:
        result = weights * (0.5 + 0.5 * np.cos(np.pi * np.clip(edge, 0, 1)))
    return result


def _filtered(
    image: NDArray[np.float32],
    tilt: Tilt,
    weights: NDArray[np.float64],
    settings: Reconstruction,
    optics: Optics,
    detector: Detector,
    voxel: float,
) -> NDArray[np.float32]:
    """Filter one image and sample it finely: (fine u, v)."""
    width, height = image.shape
    ku, kv = frequencies(width, height, voxel)
    effect = weights[:, None] / detector.hat()
    if settings.phase_flip:
        ctf = optics.transfer(
            ku, kv, tilt.defocus, tilt.astigmatism, tilt.astigmatism_angle
        )
        effect = effect * np.where(ctf < 0, -1, 1)
    if settings.dose_weighting:
        k = np.hypot(ku, kv)
        effect = effect * damage(k, tilt.before, tilt.during, optics.voltage)
    spectrum = fft.rfft2(image) * effect.astype(np.float32)
    fine = np.zeros((width * OVERSAMPLING, height // 2 + 1), np.complex64)
    half = width // 2
    fine[:half], fine[-half:] = spectrum[:half], spectrum[-half:]
    result: NDArray[np.float32] = fft.irfft2(
        fine * np.float32(OVERSAMPLING), (width * OVERSAMPLING, height)
    )
    return result
