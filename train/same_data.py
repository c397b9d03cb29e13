"""Tells whether a resumed training has the data that it began with."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dep.train.checkpoint import CheckpointError
from dep.train.data import AnnotatedTomogram
from dep.train.sources import some

VOXELS_NEAR = 1e-4  # parts of a standard deviation by which the same voxels may differ


def trained_on(tomograms: Sequence[AnnotatedTomogram]) -> list[list[Any]]:
    """Tell training tomograms apart, wherever they lie: what decides which crops come.

    Returns
    -------
    list
        For each its name, shape, centres by class, whether all are annotated, weight,
        a digest of the centres (to 0.01 voxels, with their classes, in their order:
        particles are drawn by their number), and the mean and standard deviation of
        the voxels, as plain values. Development versions wrote the first five.
    """
    told: list[list[Any]] = []
    for one in tomograms:
        # Steps of 0.01, whose edges lie beside the decimals that files hold: a last
        # digit that is lost on the way through another format moves none over.
        places = np.floor(one.xyz.astype(np.float64) * 100 + 0.637).astype("<i8")
        rows = np.column_stack((places, one.class_id.astype("<i8")))
        told.append(
            [
                one.name,
                list(one.labels.shape),
                np.bincount(one.class_id).tolist(),
                one.fully_annotated,
                one.weight,
                hashlib.sha256(rows.tobytes()).hexdigest()[:16],
                [float(one.mean), float(one.std)],
            ]
        )
    return told


def refuse_other_data(
    stored: Sequence[Sequence[Any]], tomograms: Sequence[AnnotatedTomogram], path: Path
) -> None:
    """Refuse training data other than those of a checkpoint (from `trained_on`).

    What an older checkpoint does not say of them is taken to be as it is now.

    Raises
    ------
    CheckpointError
        They are others, were annotated otherwise, or have other voxels.
    """
    mine = trained_on(tomograms)
    were, are = [one[0] for one in stored], [one[0] for one in mine]
    told: list[str] = []
    if were != are:
        told.append(f"{some(were)}; now {some(are)}")
    else:
        known = [
            [*old, *now[len(old) :]] for old, now in zip(stored, mine, strict=True)
        ]
        pairs = list(zip(known, mine, strict=True))
        other = [now[0] for old, now in pairs if old[:-1] != now[:-1]]
        if other:
            told.append(f"{some(other)} had other centres, annotation, weight or shape")
        told += [
            f"{now[0]} had voxels of mean {old[-1][0]:.6g} and standard deviation "
            f"{old[-1][1]:.6g}; now {now[-1][0]:.6g} and {now[-1][1]:.6g}"
            for old, now in pairs
            if not _near(old[-1], now[-1])
        ]
    if told:
        msg = (
            f"{path}: was trained on other data: {some(told)}. Start afresh in another "
            "folder (--init takes the weights over), or restore the data"
        )
        raise CheckpointError(msg)


def _near(old: Sequence[float], now: Sequence[float]) -> bool:
    """Compare mean and standard deviation; last digits may be a processor's."""
    (mean, std), (mean_now, std_now) = old, now
    return (
        math.isclose(std, std_now, rel_tol=VOXELS_NEAR)
        and abs(mean - mean_now) <= VOXELS_NEAR * std
    )
