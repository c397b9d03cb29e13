"""Sizes of particles and labels against what trains well, and the binning that fits."""

import math
from collections.abc import Sequence

from dep.train.sections import ROUNDING, ClassSection

# Liu et al. 2024: particles of 7 to 25 voxels, labels of 7.
LEAST, MOST = 7, 25
USUAL_LABEL = 7
LEAST_LABEL = 3  # that has a voxel at its centre and others around it
FACTORS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)


def size_warnings(
    classes: Sequence[ClassSection], label_diameters: Sequence[int], voxel_size: float
) -> list[str]:
    """Say which particles are too small, too large or of an even width, in voxels.

    Parameters
    ----------
    classes
        Of the configuration.
    label_diameters
        Of each class, voxels.
    voxel_size
        Å.
    """
    widths = {entry.name: entry.diameter / voxel_size for entry in classes}
    warnings = []
    unfit = {k: w for k, w in widths.items() if not _fits(w)}
    if unfit:
        listed = ", ".join(f"{name} ({width:.1f})" for name, width in unfit.items())
        warnings.append(
            f"particles outside {LEAST} to {MOST} voxels train badly: {listed}; "
            f"{fitting_voxels(list(widths.values()), voxel_size)}"
        )
    even = {k: round(w) for k, w in widths.items() if _is_even(w)}
    if even:
        listed = ", ".join(f"{name} ({width})" for name, width in even.items())
        warnings.append(
            f"particles of an even number of voxels: {listed}; labels are odd, with a "
            "voxel at the centre, so let theirs be a voxel narrower at least"
        )
    wide = [
        f"{entry.name} ({label} in {widths[entry.name]:.1f})"
        for entry, label in zip(classes, label_diameters, strict=True)
        if not entry.report and label > widths[entry.name]
    ]
    if wide:
        warnings.append(
            "labels wider than the particles of classes that are not reported: "
            + ", ".join(wide)
        )
    return warnings


def fitting_voxels(widths: Sequence[float], voxel_size: float) -> str:
    """Say which voxel size brings all widths (voxels) into the range, if one does.

    Of several binnings that do, the one whose widths lie most in the middle of it.
    """
    middle = math.sqrt(LEAST * MOST)
    spread = [
        (abs(math.log(math.sqrt(min(widths) * max(widths)) / factor / middle)), factor)
        for factor in (*FACTORS, *(1 / f for f in FACTORS[1:]))
        if _fits(min(widths) / factor) and _fits(max(widths) / factor)
    ]
    if not spread:
        return (
            "no one binning brings all classes there: the smallest wants voxels of "
            f"{min(widths) * voxel_size / LEAST:.3g} Å or less, the largest "
            f"{max(widths) * voxel_size / MOST:.3g} Å or more"
        )
    factor = min(spread)[1]
    size = factor * voxel_size
    if factor > 1:
        return f"binning by {factor:g} more would fit (voxels of {size:.4g} Å)"
    return f"binning {1 / factor:g} times less would fit (voxels of {size:.4g} Å)"


def largest_label(width: float, most: int = USUAL_LABEL) -> int:
    """Return the largest odd label diameter within a particle's width, 3 to `most`."""
    whole = min(math.floor(width + ROUNDING), most)
    return max(LEAST_LABEL, whole if whole % 2 else whole - 1)


def _fits(width: float) -> bool:
    return LEAST - ROUNDING <= width <= MOST + ROUNDING


def _is_even(width: float) -> bool:
    return abs(width - round(width)) < ROUNDING and round(width) % 2 == 0
