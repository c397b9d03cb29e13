"""The sums of the loss and their derivative are those of the formulas written out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dep.train.softmax_sums import (
    Sums,
    _summed_in_place,
    _summed_in_turn,
    softmax_sums,
)


def written_out(logits, target, counted):
    """Each sum by its definition, left to automatic differentiation."""
    log_p = torch.log_softmax(logits, 1)
    p, q = log_p.exp(), 1 - torch.softmax(logits, 1)[:, 0]
    v = torch.ones_like(q) if counted is None else counted.to(q.dtype)
    hot = torch.nn.functional.one_hot(target, logits.shape[1]).movedim(-1, 1)
    among = torch.log_softmax(logits[:, 1:], 1)
    voxels = (0, *range(2, logits.ndim))
    return Sums(
        (v.unsqueeze(1) * p.square()).sum(voxels),
        (v.unsqueeze(1) * p * hot).sum(voxels),
        -(v.unsqueeze(1) * log_p * hot).sum(),
        (v * q.square()).sum(),
        (q * (target > 0)).sum(),
        -(among * hot[:, 1:]).sum(),
    )


def both(logits, target, counted, weights):
    """Values and gradient of a weighted total of all sums, by both ways."""
    found = []
    for sums in (softmax_sums, written_out):
        at = logits.detach().clone().requires_grad_()
        values = torch.cat([x.flatten() for x in sums(at, target, counted)])
        (gradient,) = torch.autograd.grad(values @ weights, at)
        found.append((values.detach(), gradient))
    return found


@given(
    classes=st.integers(2, 6),
    batch=st.integers(1, 3),
    edge=st.integers(1, 5),
    spread=st.sampled_from([0.0, 1.0, 30.0, 700.0]),
    particles=st.sampled_from([0.0, 0.1, 1.0]),
    masked=st.booleans(),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_equal_to_the_formulas_written_out(
    classes, batch, edge, spread, particles, masked, channels_last, seed
):
    draws = torch.Generator().manual_seed(seed)
    shape = (batch, edge, edge + 1, edge)
    logits = torch.randn(
        batch, classes, *shape[1:], generator=draws, dtype=torch.float64
    )
    logits *= spread
    if channels_last:
        logits = logits.contiguous(memory_format=torch.channels_last_3d)
    target = torch.randint(1, classes, shape, generator=draws)
    target[torch.rand(shape, generator=draws) >= particles] = 0
    counted = None
    if masked:
        counted = (torch.rand(shape, generator=draws) < 0.5) | (target > 0)
    weights = torch.randn(2 * classes + 4, generator=draws, dtype=torch.float64)
    (ours, our_gradient), (theirs, gradient) = both(logits, target, counted, weights)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(our_gradient, gradient, rtol=1e-9, atol=1e-9)
    if counted is not None:
        assert not our_gradient.movedim(1, -1)[~counted].any()


def test_the_derivative_is_that_of_finite_differences():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 4, (2, 2, 3, 2))
    counted = (torch.rand(target.shape) < 0.6) | (target > 0)
    assert torch.autograd.gradcheck(
        lambda x: tuple(softmax_sums(x, target, counted)), (logits,)
    )


@pytest.mark.parametrize("background", [-200.0, 200.0])
def test_certain_voxels_stay_finite_in_float32(background):
    """Where background is certain or excluded, p of the others is 0 or exactly 1."""
    logits = torch.zeros(1, 3, 2, 2, 2)
    logits[:, 0] = background
    logits.requires_grad_()
    target = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]).view(1, 2, 2, 2)
    sums = softmax_sums(logits, target, None)
    total = sum(x.sum() for x in sums)
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(logits.grad).all()
    # Both classes look alike: log 2 for each of the five labelled voxels.
    assert sums.class_entropy.item() == pytest.approx(5 * torch.log(torch.tensor(2.0)))


def test_sums_that_are_not_used_add_nothing_to_the_gradient():
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    target = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]).view(1, 2, 2, 2)
    softmax_sums(logits, target, None).class_entropy.backward()
    assert not logits.grad[:, 0].any()  # background's logit plays no part in it
    assert not logits.grad.movedim(1, -1)[target == 0].any()


@given(
    classes=st.integers(1, 6),
    batch=st.integers(1, 3),
    voxels=st.integers(0, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_gpu_sums_by_label_what_a_processor_does(classes, batch, voxels, seed):
    draws = torch.Generator().manual_seed(seed)
    values = torch.randint(-9, 9, (batch, voxels), generator=draws).double()
    target = torch.randint(classes, (batch, voxels), generator=draws)
    one, other = (
        way(values, target, classes) for way in (_summed_in_turn, _summed_in_place)
    )
    assert torch.equal(one, other)
