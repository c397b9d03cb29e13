"""A single-axis tilt as sparse matrices: projection, and back-projection, its adjoint.

The tilt axis is y. The specimen is (z, x, y), so that each plane of constant y is
projected onto one row of the detector: one matrix serves all planes.

    u = (x - cx) cos(tilt) + (z - cz) sin(tilt),  cx = (nx - 1) / 2,  cz = (nz - 1) / 2

in voxels. Detector samples lie 1 / `OVERSAMPLING` voxel apart, and a voxel shares
itself among the two samples around its u (a hat function, removed again in Fourier
space). What the lattice of voxels adds beyond the Nyquist frequency of the pixels is
cut off there; of what the fine samples fold back into it a hundredth is left, since the
hat all but vanishes near `OVERSAMPLING` cycles per voxel.

Beyond its faces in x the specimen repeats itself, as it goes on beyond the field of
view in the microscope; in y it does so by the Fourier transforms.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.sparse import coo_array, csr_array

OVERSAMPLING = 4
TAPER = 8  # pixels at each end of a detector that fade out


@dataclass(frozen=True, slots=True)
class Detector:
    """The samples of a projection.

    Attributes
    ----------
    width : int
        Pixels along u, of one voxel each; even.
    """

    width: int

    @property
    def centre(self) -> float:
        """Pixel of the tilt axis: a whole one, on which both samplings agree."""
        return float(self.width // 2)

    def hat(self) -> NDArray[np.float32]:
        """Give the Fourier transform of the hat, (width, 1)."""
        k = fft.fftfreq(self.width) / OVERSAMPLING  # cycles per fine sample
        result: NDArray[np.float32] = (np.sinc(k) ** 2).astype(np.float32)[:, None]
        return result

    def fade(self) -> NDArray[np.float32]:
        """Give weights of the fine samples that bring both ends to 0, (fine u, 1).

        The detector's ends meet in a Fourier transform; a step there would ring.
        """
        fine = TAPER * OVERSAMPLING
        rise = np.sin(np.pi / 2 * (np.arange(fine) + 0.5) / fine) ** 2
        weights = np.ones(self.width * OVERSAMPLING, np.float32)
        weights[:fine], weights[-fine:] = rise, rise[::-1]
        return weights[:, None]


def detector_for(nx: int, nz: int, tilts: NDArray[np.float64], guard: int) -> Detector:
    """Choose a detector on which every voxel lies at every tilt (radians).

    It is wider by `guard` pixels on each side, besides those that fade out.
    """
    reach = (nx / 2) * np.abs(np.cos(tilts)) + (nz / 2) * np.abs(np.sin(tilts))
    half = math.ceil(float(reach.max())) + 1 + guard + TAPER
    width = fft.next_fast_len(2 * half, real=True)
    while width % 2:
        width = fft.next_fast_len(width + 1, real=True)
    return Detector(width)


def projection_matrix(nx: int, nz: int, tilt: float, detector: Detector) -> csr_array:
    """Sum the specimen, endless in x, along the beam.

    Returns
    -------
    csr_array (width * OVERSAMPLING, nz * nx) float32
        Times a specimen (nz * nx, ny) it gives the integral along the beam in
        units of the specimen times voxels.
    """
    reach = detector.width / 2 + (nz / 2) * abs(math.sin(tilt))
    copies = math.ceil(reach / (nx * math.cos(tilt)) + 0.5)
    offsets = np.arange(-copies, copies + 1) * float(nx)
    u = _u(nx, nz, tilt, detector)  # (z * x,)
    u = u[None] + offsets[:, None] * math.cos(tilt) * OVERSAMPLING
    voxel = np.broadcast_to(np.arange(nx * nz), u.shape)
    inside = (u >= 0) & (u < detector.width * OVERSAMPLING - 1)
    u, voxel = u[inside], voxel[inside]
    low = np.floor(u).astype(np.int64)
    share = u - low
    # A voxel's matter spread over samples that are 1 / OVERSAMPLING voxel wide.
    weights = np.concatenate([1 - share, share]).astype(np.float32) * OVERSAMPLING
    rows = np.concatenate([low, low + 1])
    columns = np.concatenate([voxel, voxel])
    shape = (detector.width * OVERSAMPLING, nx * nz)
    return coo_array((weights, (rows, columns)), shape=shape).tocsr()


def back_projection_matrix(
    nx: int, nz: int, tilt: float, detector: Detector
) -> csr_array:
    """Read a projection where the beam through each voxel meets it.

    Returns
    -------
    csr_array (nz * nx, width * OVERSAMPLING) float32
    """
    u = _u(nx, nz, tilt, detector)
    low = np.floor(u).astype(np.int32)
    share = u - low
    weights = np.stack([1 - share, share], axis=1).astype(np.float32)
    columns = np.stack([low, low + 1], axis=1)
    starts = np.arange(0, 2 * nx * nz + 1, 2, dtype=np.int32)
    shape = (nx * nz, detector.width * OVERSAMPLING)
    return csr_array((weights.ravel(), columns.ravel(), starts), shape=shape)


def _u(nx: int, nz: int, tilt: float, detector: Detector) -> NDArray[np.float64]:
    """Fine detector sample of every voxel, (nz * nx,)."""
    x = (np.arange(nx) - (nx - 1) / 2) * math.cos(tilt)
    z = (np.arange(nz) - (nz - 1) / 2) * math.sin(tilt)
    result: NDArray[np.float64] = (z[:, None] + x[None, :]).ravel() + detector.centre
    return result * OVERSAMPLING
