"""The training loss: soft Dice, cross-entropy and a class term on the foreground."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from dep.train.labels import UNKNOWN
from dep.train.softmax_sums import softmax_sums

EPSILON = 1e-8  # Liu et al. 2024, eq. 2

Unannotated = Literal["ignore", "trimmed", "background"]


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts, and how voxels count that nobody looked at.

    Attributes
    ----------
    dice
        Soft Dice averaged over classes (the paper's loss, alone there).
    cross_entropy
        Mean cross-entropy over all voxels.
    foreground
        Soft Dice of all particles against background, whatever their class. The Dice of
        a class says nothing in batches that it is absent from, so that false picks of
        it cost next to nothing there, and a class that learns late can settle on
        membranes; here they always cost (docs/accuracy.md has what that is worth).
    absent
        What the Dice term says of a class that a batch does not hold: sum p^2 /
        (sum p^2 + s), s being the mean label volume of the classes that it does hold.
        0: nothing, as in the published tool.
    class_term
        Mean of -log p(class | foreground) over the foreground voxels. Dice and
        cross-entropy first learn where particles are; this makes the class count from
        the first step, in proportion to particles and not to background.
    unannotated
        How `UNKNOWN` voxels count, which partially annotated tomograms have.
        "ignore": not at all; nothing is assumed, but next to no background is known.
        "trimmed": as background, except the most particle-like of them; assumes that
        labels of all particles would fill no more than the part `trimmed` of them.
        "background": all, as in the published tool; assumes that no particle is there.
    trimmed
        The part of a batch's unknown voxels that "trimmed" leaves out: those where the
        network's own foreground probability is highest.
    """

    dice: float = 1.0
    cross_entropy: float = 1.0
    class_term: float = 1.0
    foreground: float = 1.0
    absent: float = 0.0
    unannotated: Unannotated = "ignore"
    trimmed: float = 0.1


def soft_dice(p: Tensor, g: Tensor) -> Tensor:
    """Return 1 - (2 sum p g + eps) / (sum p^2 + sum g^2 + eps) per class.

    Parameters
    ----------
    p, g
        Probabilities and targets (b, c, ...); sums run over the batch and all voxels.

    Returns
    -------
    Tensor
        (c,), 0 (perfect) to 1. Liu et al. 2024, eq. 2.
    """
    axes = [0, *range(2, p.ndim)]
    return _dice((p * g).sum(axes), p.square().sum(axes) + g.square().sum(axes))


def _dice(overlap: Tensor, sizes: Tensor) -> Tensor:
    """Return eq. 2 of its sums."""
    return 1 - (2 * overlap + EPSILON) / (sizes + EPSILON)


def picking_loss(logits: Tensor, labels: Tensor, weights: LossWeights) -> Tensor:
    """Return the scalar loss of a batch.

    Parameters
    ----------
    logits
        (b, c, z, y, x) of the network; c = 1 means sigmoid, otherwise channel 0 is
        background.
    labels
        (b, z, y, x) int64, 0 for background, `UNKNOWN` where that is not known.
    weights
        Of the terms, and what unknown voxels count as.

    Notes
    -----
    Dice averages over the classes that occur in the batch: for an absent class it is
    1 whatever the network says, a constant with a vanishing gradient. Voxels that do
    not count are left out of every sum; a batch where none counts costs 0.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    unknown = labels == UNKNOWN
    target = labels.masked_fill(unknown, 0)
    counted = None  # all voxels: next to nothing is paid where everything is known
    if weights.unannotated != "background" and bool(unknown.any()):
        counted = ~unknown
        if weights.unannotated == "trimmed":
            counted |= _background_like(logits.detach(), unknown, weights.trimmed)
    if logits.shape[1] == 1:
        return _one_class(logits.squeeze(1), (target > 0).float(), counted, weights)
    return _classes(logits, target, counted, weights)


def _one_class(
    logits: Tensor, target: Tensor, counted: Tensor | None, weights: LossWeights
) -> Tensor:
    """Return the loss of a sigmoid network, all tensors (b, z, y, x)."""
    p = torch.sigmoid(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if counted is not None:
        p, entropy = p * counted, entropy * counted  # the target is 0 there already
    dice = soft_dice(p.unsqueeze(1), target.unsqueeze(1)).mean()
    return weights.dice * dice + weights.cross_entropy * _mean(entropy, counted)


def _classes(
    logits: Tensor, target: Tensor, counted: Tensor | None, weights: LossWeights
) -> Tensor:
    """Return the loss of a softmax network: logits (b, c, z, y, x)."""
    sums = softmax_sums(logits, target, counted)
    # The sums of eq. 2 without a one-hot volume: sum g^2 counts voxels, sum p g is p
    # summed where the label is the class.
    held = target if counted is None else target[counted]
    sizes = torch.bincount(held.flatten(), minlength=logits.shape[1]).to(logits.dtype)
    dice = _dice(sums.overlap, sums.squares + sizes)
    present = (sizes > 0).to(dice.dtype)
    if weights.absent > 0:
        dice_mean = _with_absent(dice, sums.squares, sizes, present, weights.absent)
    else:
        dice_mean = (dice * present).sum() / present.sum().clamp_min(1)
    foreground = sizes[1:].sum()
    whole_dice = _dice(sums.whole_overlap, sums.whole_squares + foreground)
    return (
        weights.dice * dice_mean
        + weights.foreground * whole_dice
        + weights.cross_entropy * sums.entropy / sizes.sum().clamp_min(1)
        + weights.class_term * sums.class_entropy / foreground.clamp_min(1)
    )


def _with_absent(
    dice: Tensor, squares: Tensor, sizes: Tensor, present: Tensor, weight: float
) -> Tensor:
    """Average over all classes, those without particles by what is falsely found."""
    typical = sizes[1:].sum() / present[1:].sum().clamp_min(1)
    false = squares / (squares + typical.clamp_min(1))
    absent = weight * (1 - present)
    return (dice * present + false * absent).sum() / (present + absent).sum()


def _mean(values: Tensor, counted: Tensor | None) -> Tensor:
    """Return the mean over the voxels that count; the others hold 0 already."""
    if counted is None:
        return values.mean()
    return values.sum() / counted.sum().clamp_min(1)


@torch.no_grad()
def _background_like(logits: Tensor, unknown: Tensor, trimmed: float) -> Tensor:
    """Return which unknown voxels (b, z, y, x) to take for background.

    All but the part `trimmed` of them with the highest odds of foreground; at equal
    odds any of those.
    """
    if logits.shape[1] == 1:
        odds = logits[:, 0]
    else:
        # log(p / (1 - p)) of foreground; p itself would round to 1 and tie.
        odds = torch.logsumexp(logits[:, 1:], dim=1) - logits[:, 0]
    odds = odds.masked_fill(~unknown, -torch.inf).flatten()
    dropped = int(trimmed * int(unknown.sum()))
    taken = unknown.flatten()
    taken[odds.topk(dropped, sorted=False).indices] = False
    return taken.view_as(unknown)
