"""The sums over voxels that the loss of a softmax network is made of.

Written as one function with its derivative by hand. Left to automatic differentiation
the same sums pass over the volume of probabilities more often, and on a processor that
was a quarter of a training step of a small network (docs/training.md, speed).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Sums(NamedTuple):
    """Sums over the voxels that count; c classes, background the first.

    Attributes
    ----------
    squares
        (c,) of p^2.
    overlap
        (c,) of p, where the label is the class.
    entropy
        Of -log p(label).
    whole_squares
        Of q^2, q = 1 - p(background).
    whole_overlap
        Of q, where the label is not background.
    class_entropy
        Of -log p(label | not background), where the label is not background.
    """

    squares: Tensor
    overlap: Tensor
    entropy: Tensor
    whole_squares: Tensor
    whole_overlap: Tensor
    class_entropy: Tensor


def softmax_sums(logits: Tensor, target: Tensor, counted: Tensor | None) -> Sums:
    """Return differentiable sums, of which any may be left unused.

    Parameters
    ----------
    logits
        (b, c, z, y, x) float32 or float64, c = 2 or more.
    target
        (b, z, y, x) int64, 0 for background.
    counted
        (b, z, y, x) bool: which voxels count; None: all. Labelled particles must.
    """
    flat = logits.flatten(2)
    mask = None if counted is None else counted.flatten(1)
    return Sums(*_SoftmaxSums.apply(flat, target.flatten(1), mask))  # type: ignore[no-untyped-call]


class _SoftmaxSums(torch.autograd.Function):
    """Logits (b, c, v), target (b, v), counted (b, v) or None."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own type is private
        logits: Tensor,
        target: Tensor,
        counted: Tensor | None,
    ) -> tuple[Tensor, ...]:
        logits = logits.contiguous()  # softmax across strided classes is slow
        p = torch.log_softmax(logits, 1)
        log_p = p.gather(1, target.unsqueeze(1)).squeeze(1)
        p.exp_()
        target_p = log_p.exp()
        q = 1 - p[:, 0]
        if counted is not None:
            log_p = log_p.masked_fill(~counted, 0)
            target_p = target_p.masked_fill(~counted, 0)
            q = q.masked_fill(~counted, 0)
            squares = (p * counted.unsqueeze(1)).square_().sum((0, 2))
        else:
            squares = p.square().sum((0, 2))
        overlap = _by_label(target_p, target, logits.shape[1])

        # Among the particles' classes alone, from their logits: a quotient of
        # probabilities would be 0 / 0 where background is certain.
        where = torch.nonzero(target, as_tuple=True)
        among = logits[:, 1:].movedim(1, -1)[where].T.contiguous()  # (c - 1, n)
        inside = torch.log_softmax(among, 0)
        label = target[where].unsqueeze(0) - 1
        class_entropy = -inside.gather(0, label).sum()

        ctx.save_for_backward(p, target, counted, q, inside, label, *where)
        return (
            squares,
            overlap,
            -log_p.sum(),
            q.square().sum(),
            q[where].sum(),
            class_entropy,
        )

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401 - torch's own type is private
        squares: Tensor,
        overlap: Tensor,
        entropy: Tensor,
        whole_squares: Tensor,
        whole_overlap: Tensor,
        class_entropy: Tensor,
    ) -> tuple[Tensor, None, None]:
        """Chain the derivatives of the sums, those of a softmax being p_k (g_k - g p).

        g is the derivative by the probabilities. The two entropies are derived by the
        logits at once.
        """
        p, target, counted, q, inside, label, *where = ctx.saved_tensors
        at_label = target.unsqueeze(1)
        g = p * (2 * squares).view(-1, 1)
        g[:, 0] -= 2 * whole_squares * q + whole_overlap * (target > 0)
        g.scatter_add_(1, at_label, overlap[at_label])
        along = (g * p).sum(1, keepdim=True)
        along -= entropy  # its derivative: p_k - [k is the label]
        g -= along
        g *= p
        g.scatter_add_(1, at_label, -entropy.expand_as(at_label))
        if counted is not None:
            g *= counted.unsqueeze(1)
        among = g[:, 1:].movedim(1, -1)
        inner = inside.exp()
        inner.scatter_add_(0, label, inner.new_full((), -1).expand_as(label))
        among[tuple(where)] += class_entropy * inner.T
        return g, None, None


def _by_label(values: Tensor, target: Tensor, classes: int) -> Tensor:
    """Sum values (b, v) over the voxels of each label: (classes,)."""
    summed = _summed_in_place if values.is_cuda else _summed_in_turn
    return summed(values, target, classes)


def _summed_in_turn(values: Tensor, target: Tensor, classes: int) -> Tensor:
    """Add each value to its label's sum."""
    sums = values.new_zeros(classes)
    return sums.index_add_(0, target.flatten(), values.flatten())


def _summed_in_place(values: Tensor, target: Tensor, classes: int) -> Tensor:
    """Write out a volume for each label and sum it.

    On a GPU the values of a label would otherwise queue for one address, in an order
    that changes from run to run.
    """
    spread = values.new_zeros((len(values), classes, values.shape[1]))
    spread.scatter_(1, target.unsqueeze(1), values.unsqueeze(1))
    return spread.sum((0, 2))
