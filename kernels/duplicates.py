"""Distance deduplication: of candidates that share a place, the best one stays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.kernels import backends, reference
from dep.kernels.cuda.deduplicate import deduplicate as deduplicate_there

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from dep.kernels.backends import Backend


def deduplicate(
    xyz: ArrayLike,
    score: ArrayLike,
    t_dist: float,
    class_id: ArrayLike | None = None,
    *,
    backend: Backend = "auto",
) -> NDArray[np.int64]:
    """Keep the best candidate of every neighbourhood.

    Greedy: the best candidate is kept and every other with |a - b|^2 < t_dist^2
    dropped, then the best of the rest is kept, and so on. Linear in the number of
    candidates.

    Parameters
    ----------
    xyz : (n, 3) float32
        x, y, z in voxels. Other real numbers are rounded to float32 first. Distances
        are computed from these in float64.
    score : (n,)
        The larger, the better.
    t_dist
        Distance in voxels, 0 or more. Candidates exactly t_dist apart both stay; with 0
        all do.
    class_id : (n,) integers, optional
        Given, a candidate drops others of its own class only.
    backend
        "auto" (the C core), "c", "reference" or "cuda".

    Returns
    -------
    (m,) int64
        Indices of the kept candidates, best first: score falling, then z, y, x rising,
        then class (if given), then place in the input. So coordinates, scores and
        (given) classes of the result do not depend on the order of the input; among
        candidates equal in all of these, the first of the input is taken.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described, or holds NaN or infinity.
    BackendError
        The backend is not available.
    """
    twin = backends.resolve(backend)
    points = _numbers("xyz", xyz, np.float32)
    if points.ndim != 2 or points.shape[1] != 3:
        msg = f"xyz must have shape (n, 3), found {points.shape}"
        raise ValueError(msg)
    scores = _numbers("score", score, np.float64)
    if scores.shape != points.shape[:1]:
        msg = f"score must have shape ({len(points)},) as xyz has, found {scores.shape}"
        raise ValueError(msg)
    t_dist = float(t_dist)
    if not (math.isfinite(t_dist) and t_dist >= 0):
        msg = f"t_dist must be a finite distance, 0 or more, found {t_dist}"
        raise ValueError(msg)
    classes = None if class_id is None else _classes(class_id, len(points))

    if twin == "reference":
        return reference.deduplicate(points, scores, classes, t_dist)
    if twin == "cuda":
        return deduplicate_there(
            backends.cuda_device(), points, scores, classes, t_dist
        )
    kept = np.empty(len(points), dtype=np.int64)
    count = backends.c_core().deduplicate(points, scores, classes, t_dist, kept)
    return kept[:count].copy()


def _numbers(
    name: str, values: ArrayLike, dtype: type[np.floating[Any]]
) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        msg = f"{name} must be real numbers, found {array.dtype}"
        raise TypeError(msg)
    with np.errstate(
        over="ignore"
    ):  # too large for float32: reported as infinity below
        array = np.ascontiguousarray(array, dtype=dtype)
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        msg = f"{name} must be finite, found {array[place]} at {list(place)}"
        raise ValueError(msg)
    return array


def _classes(class_id: ArrayLike, count: int) -> NDArray[np.int32]:
    array = np.asarray(class_id)
    if array.dtype.kind not in "iu":
        msg = f"class_id must be integers, found {array.dtype}"
        raise TypeError(msg)
    if array.shape != (count,):
        msg = f"class_id must have shape ({count},) as xyz has, found {array.shape}"
        raise ValueError(msg)
    if array.size and not (array.min() >= -(2**31) and array.max() < 2**31):
        msg = f"class_id must fit 32 bits, found {array.min()} to {array.max()}"
        raise ValueError(msg)
    return np.ascontiguousarray(array, dtype=np.int32)
