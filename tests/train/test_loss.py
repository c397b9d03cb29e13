"""The loss is the paper's equation and prefers the truth."""

import pytest
import torch

from dep.train.loss import EPSILON, LossWeights, picking_loss, soft_dice


def one_hot(labels, classes):
    return torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).float()


def draw(classes=4, edge=6):
    torch.manual_seed(1)
    labels = torch.randint(0, classes, (2, edge, edge, edge))
    return torch.randn(2, classes, edge, edge, edge, requires_grad=True), labels


def test_dice_is_equation_2():
    logits, labels = draw()
    p, g = torch.softmax(logits, 1), one_hot(labels, 4)
    for c, value in enumerate(soft_dice(p, g)):
        top = 2 * (p[:, c] * g[:, c]).sum() + EPSILON
        bottom = (p[:, c] ** 2).sum() + (g[:, c] ** 2).sum() + EPSILON
        assert value.item() == pytest.approx(1 - (top / bottom).item(), abs=1e-6)


def test_dice_term_equals_dice_of_the_one_hot_volume():
    logits, labels = draw()
    only_dice = picking_loss(logits, labels, LossWeights(1, 0, 0))
    direct = soft_dice(torch.softmax(logits, 1), one_hot(labels, 4)).mean()
    assert only_dice.item() == pytest.approx(direct.item(), abs=1e-6)


def test_absent_classes_do_not_count():
    logits, labels = draw()
    labels = labels.clamp_max(2)
    dice = soft_dice(torch.softmax(logits, 1), one_hot(labels, 4))[:3].mean()
    loss = picking_loss(logits, labels, LossWeights(1, 0, 0))
    assert loss.item() == pytest.approx(dice.item(), abs=1e-6)


def test_class_term_is_blind_to_background():
    """Raising the background's logit everywhere leaves p(class | foreground) alone."""
    logits, labels = draw()
    raised = logits.detach().clone()
    raised[:, 0] += 3
    weights = LossWeights(0, 0, 1)
    a, b = (picking_loss(x, labels, weights).item() for x in (logits, raised))
    assert a == pytest.approx(b, abs=1e-5)
    assert a > 0


@pytest.mark.parametrize("classes", [1, 4])
def test_the_truth_costs_next_to_nothing_and_a_step_lowers_the_loss(classes):
    logits, labels = draw(max(classes, 2))
    if classes == 1:
        logits = logits[:, :1].detach().requires_grad_()
        perfect = (labels.unsqueeze(1) * 2 - 1) * 30.0
    else:
        perfect = one_hot(labels, classes) * 30
    weights = LossWeights()
    assert picking_loss(perfect, labels, weights).item() < 1e-4
    before = picking_loss(logits, labels, weights)
    (gradient,) = torch.autograd.grad(before, logits)
    after = picking_loss(logits - gradient, labels, weights)
    assert after < before


def test_a_batch_without_particles_is_finite():
    logits, labels = draw()
    loss = picking_loss(logits, torch.zeros_like(labels), LossWeights())
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
