"""Take a tilt series of a specimen: electrons, transfer, damage and counting."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from dep.train.simulate.geometry import (
    OVERSAMPLING,
    Detector,
    detector_for,
    projection_matrix,
)
from dep.train.simulate.ice import Ice
from dep.train.simulate.optics import UM, Optics, damage, interaction, transmission
from dep.train.simulate.settings import Acquisition

# A weak object's image may reach below zero where gold lies; electrons do not.
DARKEST = 0.01
Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Tilt:
    """One exposure, in the order of the angles.

    Attributes
    ----------
    angle, true_angle : float
        Degrees: as recorded, and as the specimen was.
    before, during : float
        e/Å² that the specimen had seen before, and in it.
    defocus, astigmatism, astigmatism_angle : float
        Å, Å, radians.
    shift : (float, float)
        u, v in voxels, left by the alignment.
    rotation : float
        Degrees in the plane of the image, left by the alignment.
    transmission : float
        Share of the electrons that passes the specimen and the slit.
    """

    angle: float
    true_angle: float
    before: float
    during: float
    defocus: float
    astigmatism: float
    astigmatism_angle: float
    shift: tuple[float, float]
    rotation: float
    transmission: float


@dataclass(frozen=True, slots=True, eq=False)
class TiltSeries:
    """Aligned images of a specimen.

    Attributes
    ----------
    tilts : tuple of Tilt
    detector : Detector
    clean, images : (tilts, u, v) float32
        Intensity less 1 (empty ice), without and with noise. v is y, and u meets the
        tilt axis at `detector.centre`.
    electrons : float
        Counted in a pixel of an exposure, were there no specimen.
    snr : float
        Variance of the particles in the images, over that of the noise.
    """

    tilts: tuple[Tilt, ...]
    detector: Detector
    clean: NDArray[np.float32]
    images: NDArray[np.float32]
    electrons: float
    snr: float


def tilt_angles(acquisition: Acquisition) -> NDArray[np.float64]:
    """Give the angles in degrees, rising, symmetric about 0 where the step allows."""
    count = math.floor(2 * acquisition.tilt_range / acquisition.tilt_step + 1e-6)
    steps = np.arange(count + 1, dtype=np.float64) - count / 2
    return np.asarray(steps * acquisition.tilt_step, np.float64)


def exposure_order(angles: NDArray[np.float64], order: str) -> NDArray[np.int64]:
    """Give the indices of rising angles in the order in which they are exposed.

    ``dose-symmetric``: 0, 3, -3, -6, 6, 9, -9 ... (Hagen et al. 2017, in groups of
    two); ``bidirectional``: from 0 up, then from 0 down.
    """
    if order == "unidirectional":
        return np.arange(len(angles))
    rank = np.argsort(np.abs(angles), kind="stable")
    if order == "bidirectional":
        return np.concatenate([rank[angles[rank] >= 0], rank[angles[rank] < 0]])
    step = np.abs(angles[rank])
    outward = np.rint((step - step[0]) / max(np.diff(angles).mean(), 1e-9))
    sign = np.where(angles[rank] >= 0, 1, -1)
    # At every other step outwards the negative side comes first.
    return rank[np.lexsort((-sign * np.where(outward % 2 == 1, 1, -1), outward))]


def plan_tilts(
    acquisition: Acquisition,
    drawn: dict[str, float],
    thickness: float,
    voxel: float,
    generator: np.random.Generator,
) -> tuple[Tilt, ...]:
    """Decide on every exposure: dose, defocus and the errors of alignment.

    Parameters
    ----------
    drawn : dict
        Values of the spans for this tomogram.
    thickness : float
        Å, of the ice.
    """
    angles = tilt_angles(acquisition)
    count = len(angles)
    during = drawn["dose"] / count
    before = np.empty(count)
    before[exposure_order(angles, acquisition.order)] = np.arange(count) * during
    error = generator.normal(size=(count, 5))
    direction = float(generator.uniform(0, np.pi))
    tilts = []
    for n in range(count):
        true = float(angles[n] + drawn["tilt_error"] * error[n, 0])
        shift = drawn["shift_error"] / voxel * error[n, 1:3]
        free = acquisition.free_path
        tilts.append(
            Tilt(
                angle=float(angles[n]),
                true_angle=true,
                before=float(before[n]),
                during=during,
                defocus=float(drawn["defocus"] + drawn["defocus_error"] * error[n, 3])
                * UM,
                astigmatism=drawn["astigmatism"] * UM,
                astigmatism_angle=direction,
                shift=(float(shift[0]), float(shift[1])),
                rotation=float(drawn["rotation_error"] * error[n, 4]),
                transmission=transmission(thickness, math.radians(true), free)
                if free
                else 1.0,
            )
        )
    return tuple(tilts)


def image_specimen(
    ice: Ice,
    tilts: tuple[Tilt, ...],
    acquisition: Acquisition,
    voxel: float,
    snr: float,
    generator: np.random.Generator,
    step: Step = lambda: None,
) -> TiltSeries:
    """Project the specimen at every tilt, image it and count electrons.

    A thin, weak phase object (Kirkland 2010, sect. 3.1): the intensity is
    1 - 2 CTF * (sigma V_projected), here with the fading by radiation in the CTF.
    With ``snr`` 0 the electrons are those of the dose, else they are scaled to it;
    where there is no particle, whose signal it is the ratio of, they are the dose's.
    `step` is called once for each tilt.
    """
    depth, height, width = ice.particles.shape
    optics = Optics(acquisition.voltage, acquisition.cs, acquisition.amplitude_contrast)
    deepest = max(abs(tilt.defocus) for tilt in tilts)
    guard = min(math.ceil(optics.reach(deepest, 0.5 / voxel) / voxel), width)
    guard += math.ceil(max(abs(tilt.shift[0]) for tilt in tilts))
    degrees = np.array([[tilt.angle, tilt.true_angle] for tilt in tilts])
    detector = detector_for(width, depth, np.radians(degrees).ravel(), guard)
    volumes = [_planes(ice.particles)]
    if ice.background.any():
        volumes.append(_planes(ice.background))
    clean = np.empty((len(tilts), detector.width, height), np.float32)
    variance = np.empty(len(tilts))
    for n, tilt in enumerate(tilts):
        angle = math.radians(tilt.true_angle)
        matrix = projection_matrix(width, depth, angle, detector)
        parts = [
            _image(matrix @ planes, tilt, optics, acquisition, detector, voxel)
            for planes in volumes
        ]
        variance[n] = parts[0].var()
        clean[n] = sum(parts)
        step()
    through = np.array([tilt.transmission for tilt in tilts])
    electrons = tilts[0].during * voxel**2
    if snr > 0 and variance.mean() > 0:
        electrons = snr * float(np.mean(1 / through) / variance.mean())
    # The variance of a Poisson count of mean N, relative to N, is 1 / N.
    reached = float(variance.mean() * electrons / np.mean(1 / through))
    images = np.empty_like(clean)
    for n, tilt in enumerate(tilts):
        mean = electrons * tilt.transmission
        counts = generator.poisson(mean * np.maximum(1 + clean[n], DARKEST))
        images[n] = counts / mean - 1
    return TiltSeries(tilts, detector, clean, images, electrons, reached)


def _planes(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Arrange (z, y, x) as (z * x, y), which projections are summed over."""
    depth, height, width = volume.shape
    return np.ascontiguousarray(volume.transpose(0, 2, 1)).reshape(
        depth * width, height
    )


def _image(
    projected: NDArray[np.float32],
    tilt: Tilt,
    optics: Optics,
    acquisition: Acquisition,
    detector: Detector,
    voxel: float,
) -> NDArray[np.float32]:
    """Turn volts times voxels, (fine u, v), into intensity less 1, (u, v)."""
    width, height = detector.width, projected.shape[1]
    fine = fft.rfft2(projected * detector.fade())
    half = width // 2
    # The frequencies that the pixels hold, less the hat of the projection.
    spectrum = np.concatenate([fine[:half], fine[-half:]]) / detector.hat()
    spectrum /= OVERSAMPLING
    ku, kv = frequencies(width, height, voxel)
    effect: NDArray[np.float64] = optics.transfer(
        ku, kv, tilt.defocus, tilt.astigmatism, tilt.astigmatism_angle
    )
    if acquisition.damage:
        k = np.hypot(ku, kv)
        effect = effect * damage(k, tilt.before, tilt.during, optics.voltage)
    effect = effect * (-2 * interaction(optics.voltage) * voxel)
    turn = -2j * np.pi * voxel
    moved = np.exp(turn * ku * tilt.shift[0]) * np.exp(turn * kv * tilt.shift[1])
    spectrum *= (effect * moved).astype(np.complex64)
    image = np.asarray(fft.irfft2(spectrum, (width, height)), np.float32)
    return _turned(image, tilt.rotation, detector.centre) if tilt.rotation else image


def frequencies(
    width: int, height: int, voxel: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give ku (width, 1) and kv (1, height // 2 + 1) of a real transform, 1/Å."""
    ku = np.asarray(fft.fftfreq(width, voxel), np.float64)
    kv = np.asarray(fft.rfftfreq(height, voxel), np.float64)
    return ku[:, None], kv[None, :]


def _turned(
    image: NDArray[np.float32], degrees: float, centre: float
) -> NDArray[np.float32]:
    """Turn an image about the tilt axis's middle."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.array([[c, s], [-s, c]])
    middle = np.array([centre, (image.shape[1] - 1) / 2])
    result: NDArray[np.float32] = ndimage.affine_transform(
        image, matrix, middle - matrix @ middle, order=3, mode="grid-wrap"
    )
    return result
