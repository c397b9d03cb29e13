"""Weak labels: a small solid of the particle's class around each annotated centre."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

LabelKind = Literal["cubic", "ball", "tball"]

KINDS: tuple[LabelKind, ...] = ("cubic", "ball", "tball")

# A voxel of which nothing is known: not annotated, yet a particle may lie there.
UNKNOWN = 255
# Class ids go up to here; 0 is background.
MOST_CLASSES = UNKNOWN - 1

Box = tuple[slice, slice, slice]


def label_mask(diameter: int, kind: LabelKind = "tball") -> npt.NDArray[np.bool_]:
    """Return the solid of one label (d, d, d), axes z, y, x.

    Liu et al. 2024, "Generation of weak segmentation masks": with r = (d - 1) / 2,
    cubic |x|, |y|, |z| <= r; ball |v| < r; truncated ball: cubic and |v| < sqrt(2) r.

    Parameters
    ----------
    diameter
        d, odd, in voxels.
    kind
        "cubic", "ball" or "tball" (truncated ball).

    Raises
    ------
    ValueError
        For an even or too small diameter, or an unknown kind.
    """
    if diameter < 3 or diameter % 2 == 0:
        msg = f"a label's diameter is odd, 3 voxels or more; found {diameter}"
        raise ValueError(msg)
    r = diameter // 2
    axis = np.arange(-r, r + 1)
    squared = (
        axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    )
    if kind == "cubic":
        return np.ones(squared.shape, dtype=bool)
    if kind == "ball":
        return np.asarray(squared < r * r)
    if kind == "tball":
        return np.asarray(squared < 2 * r * r)
    msg = f"label kind must be one of {', '.join(KINDS)}; found {kind!r}"
    raise ValueError(msg)


def weak_labels(
    shape: tuple[int, int, int],
    xyz: npt.ArrayLike,
    class_id: npt.ArrayLike,
    diameter: int | Sequence[int],
    kind: LabelKind = "tball",
) -> npt.NDArray[np.uint8]:
    """Paint the weak labels of all particles into one volume.

    Where labels overlap, a voxel goes to the nearer centre; at equal distance to the
    particle that comes first.

    Parameters
    ----------
    shape
        Of the tomogram (z, y, x), in voxels.
    xyz
        Centres (n, 3) in voxels, columns x, y, z, 0 the centre of the first voxel.
        Each label is centred on the nearest voxel.
    class_id
        (n,), 1..254; 0 stays background.
    diameter
        d, odd, in voxels: one for all, or one for each class, that of class 1 first.
    kind
        "cubic", "ball" or "tball".

    Returns
    -------
    ndarray
        (z, y, x) uint8: the class of each voxel, 0 for background.

    Raises
    ------
    ValueError
        If the arrays disagree, a centre lies outside the tomogram, a class is not
        1..254 or has no diameter, or a diameter is even or too small.
    """
    centres, ids = _checked(shape, xyz, class_id)
    if isinstance(diameter, Sequence):
        if len(ids) and ids.max() > len(diameter):
            msg = (
                f"{len(diameter)} label diameters for classes up to {ids.max()}; "
                "give one for each class"
            )
            raise ValueError(msg)
        masks = [label_mask(d, kind) for d in diameter]
    else:
        masks = [label_mask(diameter, kind)] * (int(ids.max()) if len(ids) else 0)

    labels = np.zeros(shape, dtype=np.uint8)
    nearest = np.full(shape, np.inf, dtype=np.float32)
    voxels = _voxels(centres)
    reach = np.array([len(masks[label - 1]) // 2 for label in ids], dtype=np.int64)
    for k, (box, part, squared) in enumerate(_around(shape, centres, voxels, reach)):
        label = ids[k]
        near = nearest[box]
        take = squared < near
        take &= masks[label - 1][part]
        labels[box][take] = label
        near[take] = squared[take]
    return labels


def hide_unannotated(
    labels: npt.NDArray[np.uint8], xyz: npt.ArrayLike, radius: npt.ArrayLike
) -> npt.NDArray[np.uint8]:
    """Return labels of a partial annotation: `UNKNOWN` wherever nothing is known.

    What is known: the labels themselves, and that no second particle overlaps an
    annotated one. So the background within a particle's radius stays background, and
    all other background becomes `UNKNOWN`.

    Parameters
    ----------
    labels
        (z, y, x), from `weak_labels`.
    xyz
        The same centres (n, 3), in voxels, columns x, y, z.
    radius
        (n,) of each particle, in voxels.
    """
    centres = np.asarray(xyz, dtype=np.float64).reshape(-1, 3)
    radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(centres))
    known = labels > 0
    windows = _around(
        labels.shape, centres, _voxels(centres), np.ceil(radii + 0.5).astype(np.int64)
    )
    for r, (box, _, squared) in zip(radii, windows, strict=True):
        known[box] |= squared <= r * r
    return np.where(known, labels, np.uint8(UNKNOWN))


def _checked(
    shape: tuple[int, int, int], xyz: npt.ArrayLike, class_id: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return centres (n, 3) and class ids (n,), or say what is wrong with them."""
    centres = np.asarray(xyz, dtype=np.float64).reshape(-1, 3)
    ids = np.asarray(class_id).reshape(-1).astype(np.int64)
    if len(centres) != len(ids):
        msg = (
            f"xyz has {len(centres)} centres and class_id {len(ids)} entries; "
            "they must be equally many"
        )
        raise ValueError(msg)
    if len(ids) and (ids.min() < 1 or ids.max() > MOST_CLASSES):
        msg = f"class ids must be 1..{MOST_CLASSES}, found {ids.min()}..{ids.max()}"
        raise ValueError(msg)
    voxels = _voxels(centres)
    outside = np.flatnonzero(((voxels < 0) | (voxels >= np.array(shape))).any(axis=1))
    if outside.size:
        worst = outside[0]
        msg = (
            f"{outside.size} of {len(ids)} centres lie outside the tomogram of "
            f"{shape[2]} x {shape[1]} x {shape[0]} voxels (x, y, z); the first is "
            f"number {worst + 1} at {tuple(centres[worst].tolist())}"
        )
        raise ValueError(msg)
    return centres, ids


def _voxels(centres: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the nearest voxels (n, 3) z, y, x; halves go up, whatever their parity."""
    return np.floor(centres[:, ::-1] + 0.5).astype(np.int64)


def _around(
    shape: tuple[int, ...],
    centres: npt.NDArray[np.float64],
    voxels: npt.NDArray[np.int64],
    reach: npt.NDArray[np.int64],
) -> Iterator[tuple[Box, Box, npt.NDArray[np.float32]]]:
    """Yield, for each centre, the box of `reach` voxels around it.

    As slices of the volume, as slices of a solid of that reach (what lies outside the
    volume is cut off), and the squared distances (z, y, x) of its voxels from the
    centre.
    """
    lows = np.maximum(voxels - reach[:, None], 0)
    highs = np.minimum(voxels + reach[:, None] + 1, shape)
    starts = reach[:, None] - voxels  # of the solid, from a voxel's index
    # Offsets from the exact centre, not from its voxel.
    for centre, low, high, start in zip(
        centres[:, ::-1].tolist(),
        lows.tolist(),
        highs.tolist(),
        starts.tolist(),
        strict=True,
    ):
        z, y, x = (
            (np.arange(a, b) - c) ** 2
            for a, b, c in zip(low, high, centre, strict=True)
        )
        squared = (z[:, None, None] + y[:, None] + x).astype(np.float32)
        box = (
            slice(low[0], high[0]),
            slice(low[1], high[1]),
            slice(low[2], high[2]),
        )
        part = (
            slice(low[0] + start[0], high[0] + start[0]),
            slice(low[1] + start[1], high[1] + start[1]),
            slice(low[2] + start[2], high[2] + start[2]),
        )
        yield box, part, squared
