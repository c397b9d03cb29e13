"""Make a model card from a training configuration."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dep import __version__
from dep.engine.card import ClassInfo, ModelCard

if TYPE_CHECKING:
    from dep.train.config import TrainConfig

UNKNOWN_DIGEST = "0" * 64  # of a network that is in no file yet


def make_card(config: "TrainConfig", digest: str = UNKNOWN_DIGEST) -> ModelCard:
    """Describe a network trained by `config`.

    Parameters
    ----------
    config
        Of the training.
    digest
        From `weights_digest`.

    Raises
    ------
    CardError
        Listing what the card does not take.

    Notes
    -----
    The pooling count is n = ceil(2 r / (k - 1)) with r the label's radius and k = 3,
    hence r, unless the configuration says otherwise (DESIGN, MP-NMS). Where classes
    have labels of several diameters, the card names the smallest, and the pooling in
    common is the smallest's: more of it would smooth the small ones away.
    """
    diameters = [
        diameter
        for entry, diameter in zip(config.classes, config.label_diameters, strict=True)
        if entry.report
    ]
    iterations = config.picking.iterations
    if iterations is None:
        counts = tuple(min(13, diameter // 2) for diameter in diameters)
        each = config.picking.assembly == "per_class" and len(set(counts)) > 1
        iterations = counts if each else min(counts)
    return ModelCard(
        name=config.name,
        classes=tuple(
            ClassInfo(entry.name, entry.diameter)
            for entry in config.classes
            if entry.report
        ),
        voxel_size=config.voxel_size,
        contrast=config.contrast,
        activation="softmax" if config.outputs > 1 else "sigmoid",
        tile=config.picking.tile,
        margin=config.picking.margin,
        tile_fixed=config.network.coordinates,
        tile_multiple=config.network.multiple,
        label_kind=config.labels.kind,
        label_diameter=min(diameters),
        assembly=config.picking.assembly,
        t_seg=config.picking.t_seg,
        t_lm=config.picking.t_lm,
        t_dist=config.t_dist,
        iterations=iterations,
        precision="fp32",
        trained_on=config.description,
        software=f"dep {__version__}",
        weights_digest=digest,
    )


def weights_digest(weights: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """Return the SHA-256 of all weights, whatever order they come in."""
    total = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()
