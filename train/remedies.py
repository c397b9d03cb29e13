"""What to do when training fails or learns nothing, in words and numbers."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from dep.train.config import TrainConfig
from dep.train.consistency import trainable
from dep.train.history import History

# The mean loss of the last tenth of a run against that of its first.
HARDLY_FELL = 0.98


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, on a GPU or in the machine.

    Torch has a class of its own for CUDA alone: its CPU allocator, cuDNN and cuBLAS
    raise RuntimeErrors that speak of allocation.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "alloc" in str(error).lower()


def more_memory(config: TrainConfig, *, validating: bool) -> str:
    """Say which settings to lower, and to what, so that it trains then."""
    t, p = config.training, config.picking
    multiple = config.network.multiple
    least = multiple if trainable(t.batch, multiple, multiple) else 2 * multiple
    if validating:
        tied = least if config.network.coordinates else multiple
        tile = _smaller(p.tile, multiple, least=max(2 * p.margin + multiple, tied))
        way = f"lower picking.tile (now {p.tile})"
        if tile is not None:
            way = f"set picking.tile = {tile} (now {p.tile})"
        if config.network.coordinates:
            way += ", and training.patch to the same"
        return f"out of memory while validating: {way}"
    ways = []
    if t.batch > 1 and trainable(t.batch // 2, t.patch, multiple):
        ways.append(f"training.batch = {t.batch // 2} (now {t.batch})")
    patch = _smaller(t.patch, multiple, least=least)
    if patch is not None:
        both = " and picking.tile" if config.network.coordinates else ""
        ways.append(f"training.patch{both} = {patch} (now {t.patch})")
    halved = " or ".join(ways)
    way = f"set {halved}, which about halves it" if ways else "train a narrower network"
    if t.precision == "fp32" and ways:
        way += '; precision = "bf16" saves memory too'
    where = f"batch {t.batch}, patch {t.patch}, {t.precision}"
    return f"out of memory while training ({where}): {way}"


def _smaller(edge: int, multiple: int, *, least: int) -> int | None:
    """Return the edge of about half the volume that the network takes, if any."""
    half = int(edge / 2 ** (1 / 3)) // multiple * multiple
    half = min(half, edge - multiple)
    return half if half >= least else None


def not_finite(
    loss: float, step: int, config: TrainConfig, learnt: Path | None = None
) -> str:
    """Say what to do about a loss that is no number.

    Parameters
    ----------
    loss, step
        What it is, and where.
    config
        Of the run.
    learnt
        A checkpoint of what was learnt before, if there is one.
    """
    t = config.training
    rate = f"{t.learning_rate / 3:.1g}"
    way = f"lower training.learning_rate (now {t.learning_rate:g}, try {rate})"
    if t.precision == "fp16":
        way += ', take precision = "bf16", whose numbers reach further'
    words = (
        f"the loss is {loss} at step {step}: {way}, or look for broken voxels in the "
        "tomograms with `dep info`"
    )
    if learnt is None:
        return words
    return f"{words}. What was learnt before can start another run: --init {learnt}"


def remarks(
    config: TrainConfig, history: History, losses: Sequence[float], step: int
) -> list[str]:
    """Say what a person should know of a run that has ended.

    Parameters
    ----------
    config
        Of the run.
    history
        Of its validations.
    losses
        From `metrics.csv`, in order.
    step
        The last.
    """
    said = []
    patience = config.training.patience
    best, scores = history.best, history.best_scores
    if best is not None and history.exhausted(patience):
        said.append(
            f"stopped at step {step} of {config.training.steps}: F1_alpha did not "
            f"improve over the last {history.without_gain} validations (best "
            f"{best.f1_alpha:.3f} at step {best.step}); training.patience decides this"
        )
    if best is not None and best.f1_alpha == 0:
        said.append(
            "no validation found a particle: F1_alpha is 0. Train longer, look at the "
            f"overlay, and check the centres and contrast = {config.contrast!r} "
            "(what particles look like)"
        )
    elif best is not None and best.step < step and not history.exhausted(patience):
        said.append(
            f"the best validation is of step {best.step}, not of the last ({step}): "
            "model.ckpt holds the best. If F1_alpha falls for long, train fewer steps "
            "or annotate more"
        )
    if scores is not None and scores.partial:
        said.append(
            "validation tomograms are only partially annotated: picks on particles "
            "that nobody marked count as false, so precision (and F1) is a lower bound"
        )
    tenth = len(losses) // 10
    if tenth:
        first, last = (
            math.fsum(part) / tenth for part in (losses[:tenth], losses[-tenth:])
        )
        if last > HARDLY_FELL * first:
            said.append(
                f"the loss hardly fell, from {first:.3g} to {last:.3g}: check the "
                "centres against the tomogram with `dep label`, or try another "
                f"training.learning_rate (now {config.training.learning_rate:g})"
            )
    return said
