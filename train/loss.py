"""The training loss: soft Dice, cross-entropy and a class term on the foreground."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own convention

EPSILON = 1e-8  # Liu et al. 2024, eq. 2


@dataclass(frozen=True)
class LossWeights:
    """How much each term counts.

    Attributes
    ----------
    dice
        Soft Dice averaged over classes (the paper's loss, alone there).
    cross_entropy
        Mean cross-entropy over all voxels.
    class_term
        Mean of -log p(class | foreground) over the foreground voxels. Dice and
        cross-entropy first learn where particles are; this makes the class count from
        the first step, in proportion to particles and not to background.
    """

    dice: float = 1.0
    cross_entropy: float = 1.0
    class_term: float = 1.0


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
    overlap = (p * g).sum(axes)
    sizes = p.square().sum(axes) + g.square().sum(axes)
    return 1 - (2 * overlap + EPSILON) / (sizes + EPSILON)


def picking_loss(logits: Tensor, labels: Tensor, weights: LossWeights) -> Tensor:
    """Return the scalar loss of a batch.

    Parameters
    ----------
    logits
        (b, c, z, y, x) of the network; c = 1 means sigmoid, otherwise channel 0 is
        background.
    labels
        (b, z, y, x) integers, 0 for background.
    weights
        Of the terms.

    Notes
    -----
    Dice averages over the classes that occur in the batch: for an absent class it is
    1 whatever the network says, a constant with a vanishing gradient.
    """
    logits = logits.float()
    if logits.shape[1] == 1:
        target = (labels > 0).unsqueeze(1).float()
        dice = soft_dice(torch.sigmoid(logits), target).mean()
        entropy = F.binary_cross_entropy_with_logits(logits, target)
        return weights.dice * dice + weights.cross_entropy * entropy

    log_p = F.log_softmax(logits, dim=1)
    target_log_p = log_p.gather(1, labels.unsqueeze(1)).squeeze(1)  # (b, z, y, x)
    entropy = -target_log_p.mean()

    p = log_p.exp()
    classes = p.shape[1]
    # The sums of eq. 2 without a one-hot volume: sum p g is p gathered at the label.
    counts = torch.bincount(labels.flatten(), minlength=classes).to(p.dtype)
    overlap = torch.zeros(classes, dtype=p.dtype, device=p.device).index_add(
        0, labels.flatten(), target_log_p.exp().flatten()
    )
    squares = p.square().sum((0, 2, 3, 4))
    dice = 1 - (2 * overlap + EPSILON) / (squares + counts + EPSILON)
    present = (counts > 0).to(p.dtype)
    dice_mean = (dice * present).sum() / present.sum()

    foreground = labels > 0
    if weights.class_term > 0 and bool(foreground.any()):
        # log p(class | foreground) = log p(class) - log(1 - p(background))
        inside = target_log_p[foreground]
        log_foreground = torch.logsumexp(
            log_p[:, 1:].movedim(1, -1)[foreground], dim=-1
        )
        class_term = (log_foreground - inside).mean()
    else:
        class_term = logits.new_zeros(())
    return (
        weights.dice * dice_mean
        + weights.cross_entropy * entropy
        + weights.class_term * class_term
    )
