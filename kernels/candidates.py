"""MP-NMS: finds particle centres in a label volume by iterated mean pooling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.kernels import backends, reference
from dep.kernels.arguments import (
    MAX_ITERATIONS,
    core_planes,
    device_volume,
    is_on_device,
    iterations_per_class,
    label_volume,
    origin,
    probability_volume,
    thread_count,
    threshold,
)
from dep.kernels.cuda.nms import CudaNms, Pending, Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dep.kernels.backends import Backend
    from dep.kernels.cuda.device import Device, DeviceArray, OnDevice

# One candidate as the C core hands it over (core.h: dep_candidate).
_RECORD = np.dtype(
    [
        ("index", "i8"),
        ("value", "f8"),
        ("xyz", "f4", 3),
        ("score", "f4"),
        ("voxel", "i4", 3),
        ("class_id", "i4"),
    ]
)


@dataclass(frozen=True)
class Candidates:
    """Local maxima of the pooled masks, ordered by linear index, then class.

    Attributes
    ----------
    xyz : (n, 3) float32
        Centre x, y, z in voxels, refined below the voxel if that was asked for.
    voxel : (n, 3) int32
        The maximum's voxel x, y, z.
    class_id : (n,) int32
        Class, 1 or more.
    value : (n,) float64
        V = S / 27^n in (0, 1], the pooled mask.
    score : (n,) float32
        Weighted mean probability of the mask in [0, 1]; V when no probabilities were
        given.
    """

    xyz: NDArray[np.float32]
    voxel: NDArray[np.int32]
    class_id: NDArray[np.int32]
    value: NDArray[np.float64]
    score: NDArray[np.float32]

    def __len__(self) -> int:
        """Count the candidates."""
        return len(self.value)


def mp_nms(
    labels: NDArray[np.uint8] | OnDevice,
    iterations: int | Sequence[int],
    t_lm: float,
    probability: NDArray[np.uint8] | NDArray[np.float32] | OnDevice | None = None,
    *,
    joint: bool = False,
    backend: Backend = "auto",
    refine: bool = True,
    threads: int | None = None,
    core: tuple[int, int] | None = None,
    z_origin: int = 0,
) -> Candidates:
    """Find the centres of labelled particles (Liu et al. 2024, MP-NMS).

    A mask is pooled n times by 3x3x3 sums, S; a voxel is a candidate when V = S / 27^n
    reaches t_lm and (S, then the smaller linear index) beats its 26 neighbours. Beyond
    the volume the mask is zero and S is not looked at.

    Parameters
    ----------
    labels : (z, y, x) uint8
        0 is background, else the class. Read in place when x is contiguous, else
        copied. An array of CuPy, PyTorch or another library on the first CUDA device
        stays there: only the candidates come back.
    iterations
        n, 1 to 13: for all classes or, not with `joint`, one for each class (index 0 is
        class 1; a class beyond the list must not occur).
    t_lm
        Smallest V of a candidate, 0 < t_lm <= 1. Compared with the float64 nearest to
        S / 27^n.
    probability : (z, y, x) uint8 or float32, optional
        Of the label's class: bytes of 1/255, or numbers in [0, 1], which count as the
        byte floor(p * 255 + 0.5), computed in float32. Bytes, and on the device, where
        labels are.
    joint
        Pool the mask of all labels once; the class of a candidate is the one with the
        most votes around it (weight times probability byte, or times 1; the smaller on
        a tie). Otherwise each class is pooled apart.
    backend
        "auto" (the C core; "cuda" for arrays on a device), "c", "reference" or "cuda".
    refine
        Move `xyz` to the centroid of S - min(S) over the 3x3x3 voxels at the maximum.
    threads
        How many threads the C core starts; all cores the process may use by default.
        The result does not depend on it.
    core : (z0, z1), optional
        Report only candidates of planes z0 <= z < z1 of the array. A caller that
        streams hands over `halo(iterations)` more planes on each side, where the volume
        has them.
    z_origin
        z of the array's first plane in the tomogram, added to `voxel` and `xyz`: with
        it, slabs give bit for bit what the whole gives.

    Returns
    -------
    Candidates

    Raises
    ------
    TypeError, ValueError
        An argument is not as described; the message says what was expected and found.
    BackendError
        The backend is not available.

    Notes
    -----
    All sums are exact integers, so the twins agree bit for bit in every field. The C
    core works on 16-bit sums to n = 3, 32-bit to 6 and 64-bit to 13, only near labelled
    voxels, and takes about 1/16 byte per voxel and 4 MB per thread beside its
    arguments.
    """
    per_class = iterations_per_class(iterations, joint=joint)
    t_lm = threshold(t_lm)
    thresholds = _thresholds(per_class, t_lm)
    threads = thread_count(threads)
    if is_on_device(labels):
        twin = backends.resolve("cuda" if backend == "auto" else backend)
        depth = device_volume("labels", labels).__cuda_array_interface__["shape"][0]
        planes, z_origin = core_planes(core, depth), origin(z_origin, depth)
        return _adopted(
            labels,
            probability,
            Search(per_class, thresholds, planes, joint, refine, z_origin),
            twin,
        )
    twin = backends.resolve(backend)
    labels = label_volume(labels)
    if probability is not None:
        probability = probability_volume(probability, labels.shape)
    z0, z1 = core_planes(core, labels.shape[0])
    z_origin = origin(z_origin, labels.shape[0])

    found: list[reference.Candidate] | NDArray[Any] | bytes | int
    if twin == "reference":
        found = reference.mp_nms(
            labels,
            probability,
            per_class,
            thresholds,
            (z0, z1),
            joint=joint,
            refine=refine,
        )
    elif twin == "cuda":
        found = _on_device(
            labels,
            probability,
            Search(per_class, thresholds, (z0, z1), joint, refine, z_origin),
        )
    else:
        found = backends.c_core().mp_nms(
            labels,
            probability,
            bytes(per_class),
            thresholds,
            z0,
            z1,
            z_origin,
            joint,
            refine,
            threads,
        )
    if isinstance(found, int):
        raise _unlisted(found, per_class)
    if isinstance(found, bytes):
        found = np.frombuffer(found, dtype=_RECORD)
    if isinstance(found, np.ndarray):
        return _of_records(found)
    return _collect(found, z_origin)


class DeviceSearch:
    """`mp_nms` on volumes that are on a CUDA device already.

    Parameters
    ----------
    device
        Where they are.
    iterations, t_lm, joint
        As for `mp_nms`.
    """

    def __init__(
        self,
        device: Device,
        iterations: int | Sequence[int],
        t_lm: float,
        *,
        joint: bool,
    ) -> None:
        per_class = iterations_per_class(iterations, joint=joint)
        self._per_class = per_class
        search = Search(
            per_class, _thresholds(per_class, threshold(t_lm)), (0, 0), joint, True
        )
        self._nms = CudaNms(device, search, _RECORD)

    def begin(
        self,
        labels: DeviceArray,
        probability: DeviceArray,
        core: tuple[int, int],
        z_origin: int,
    ) -> Pending | None:
        """Queue the search of planes `core` of a volume whose first plane is z_origin.

        The arrays must stay as they are until `collect` has its findings.
        """
        return self._nms.begin(labels, probability, core, z_origin)

    def collect(self, pending: Pending | None) -> Candidates:
        """Wait for a search."""
        found = self._nms.collect(pending)
        if isinstance(found, int):
            raise _unlisted(found, self._per_class)
        return _of_records(found)


def _of_records(records: NDArray[Any]) -> Candidates:
    return Candidates(
        **{name: records[name].copy() for name in Candidates.__dataclass_fields__}
    )


def _thresholds(per_class: Sequence[int], t_lm: float) -> tuple[int, ...]:
    """Give the smallest S of a candidate for each n that is used."""
    return tuple(
        smallest_sum(n, t_lm) if n in per_class else 0
        for n in range(MAX_ITERATIONS + 1)
    )


def _on_device(
    labels: NDArray[np.uint8],
    probability: NDArray[Any] | None,
    search: Search,
) -> NDArray[Any] | int:
    """Find records on the CUDA device."""
    device = backends.cuda_device()
    if probability is not None and probability.dtype == np.float32:
        probability = reference.probability_byte(probability)
    return CudaNms(device, search, _RECORD)(
        device.upload(labels),
        None if probability is None else device.upload(probability),
    )


def _adopted(
    labels: OnDevice,
    probability: NDArray[Any] | OnDevice | None,
    search: Search,
    twin: str,
) -> Candidates:
    """Search arrays that another library put on the device."""
    if twin != "cuda":
        msg = (
            f"labels are on a CUDA device, where backend={twin!r} does not work: leave "
            "it out, or copy them to the computer's memory"
        )
        raise ValueError(msg)
    shape = tuple(labels.__cuda_array_interface__["shape"])
    device = backends.cuda_device()
    there = None
    if probability is not None:
        there = device.adopt(device_volume("probability", probability, shape))
    found = CudaNms(device, search, _RECORD)(device.adopt(labels), there)
    if isinstance(found, int):
        raise _unlisted(found, search.iterations)
    return _of_records(found)


def halo(iterations: int | Sequence[int]) -> int:
    """Planes of context that `mp_nms` needs on each side of its core: largest n + 1.

    n planes reach all mask voxels that count; one more compares with the next maximum.
    """
    return max(iterations_per_class(iterations, joint=False)) + 1


def smallest_sum(n: int, t_lm: float) -> int:
    """Smallest S for which the float64 nearest to S / 27^n is t_lm or more.

    The twins compare integers with it, and so agree on the threshold whatever they
    round.
    """
    whole: int = 27**n
    s: int = math.ceil(Fraction(t_lm) * whole)
    while s > 1 and (s - 1) / whole >= t_lm:  # int / int is correctly rounded
        s -= 1
    return max(s, 1)


def _unlisted(label: int, per_class: Sequence[int]) -> ValueError:
    listed = sum(n > 0 for n in per_class)
    return ValueError(
        f"labels hold class {label}, but iterations list only {listed} classes"
    )


def _collect(found: Sequence[reference.Candidate], z_origin: int) -> Candidates:
    """Arrays from the reference's list."""
    at = np.array([c.zyx[::-1] for c in found], dtype=np.int64).reshape(-1, 3)
    at[:, 2] += z_origin
    shift = np.array([c.shift for c in found], dtype=np.float64).reshape(-1, 3)
    return Candidates(
        xyz=(at + shift).astype(np.float32),
        voxel=at.astype(np.int32),
        class_id=np.array([c.class_id for c in found], dtype=np.int32),
        value=np.array([c.value for c in found], dtype=np.float64),
        score=np.array([c.score for c in found], dtype=np.float64).astype(np.float32),
    )
