"""Weak labels: a small solid of the particle's class around each annotated centre."""

from typing import Literal

import numpy as np
import numpy.typing as npt

LabelKind = Literal["cubic", "ball", "tball"]

KINDS: tuple[LabelKind, ...] = ("cubic", "ball", "tball")


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
    diameter: int,
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
        (n,), 1..255; 0 stays background.
    diameter
        d, odd, in voxels.
    kind
        "cubic", "ball" or "tball".

    Returns
    -------
    ndarray
        (z, y, x) uint8: the class of each voxel, 0 for background.

    Raises
    ------
    ValueError
        If the arrays disagree, a centre lies outside the tomogram, or a class is not
        1..255.
    """
    centres = np.asarray(xyz, dtype=np.float64).reshape(-1, 3)
    ids = np.asarray(class_id).reshape(-1)
    if len(centres) != len(ids):
        msg = (
            f"xyz has {len(centres)} centres and class_id {len(ids)} entries; "
            "they must be equally many"
        )
        raise ValueError(msg)
    if len(ids) and (ids.min() < 1 or ids.max() > 255):
        msg = f"class ids must be 1..255, found {ids.min()}..{ids.max()}"
        raise ValueError(msg)
    mask = label_mask(diameter, kind)
    r = diameter // 2
    # Half-voxel centres go up, whatever their parity (not to the nearest even voxel).
    voxels = np.floor(centres[:, ::-1] + 0.5).astype(np.int64)  # (n, 3) z, y, x
    outside = np.flatnonzero(((voxels < 0) | (voxels >= np.array(shape))).any(axis=1))
    if outside.size:
        worst = outside[0]
        msg = (
            f"{outside.size} of {len(ids)} centres lie outside the tomogram of "
            f"{shape[2]} x {shape[1]} x {shape[0]} voxels (x, y, z); the first is "
            f"number {worst + 1} at {tuple(centres[worst].tolist())}"
        )
        raise ValueError(msg)

    labels = np.zeros(shape, dtype=np.uint8)
    nearest = np.full(shape, np.inf, dtype=np.float32)
    axis = np.arange(-r, r + 1, dtype=np.float64)
    for centre, voxel, label in zip(centres[:, ::-1], voxels, ids, strict=True):
        low = np.maximum(voxel - r, 0)
        high = np.minimum(voxel + r + 1, shape)
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        part = tuple(
            slice(a, b) for a, b in zip(low - voxel + r, high - voxel + r, strict=True)
        )
        dz, dy, dx = (axis + voxel[k] - centre[k] for k in range(3))
        squared = (
            dz[:, None, None] ** 2 + dy[None, :, None] ** 2 + dx[None, None, :] ** 2
        )
        squared = squared[part].astype(np.float32)
        take = mask[part] & (squared < nearest[window])
        labels[window][take] = label
        nearest[window][take] = squared[take]
    return labels
