"""The loss is the paper's equation and prefers the truth."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dep.train.labels import UNKNOWN
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
    only_dice = picking_loss(logits, labels, LossWeights(1, 0, 0, 0))
    direct = soft_dice(torch.softmax(logits, 1), one_hot(labels, 4)).mean()
    assert only_dice.item() == pytest.approx(direct.item(), abs=1e-6)


def test_absent_classes_do_not_count():
    logits, labels = draw()
    labels = labels.clamp_max(2)
    dice = soft_dice(torch.softmax(logits, 1), one_hot(labels, 4))[:3].mean()
    loss = picking_loss(logits, labels, LossWeights(1, 0, 0, 0))
    assert loss.item() == pytest.approx(dice.item(), abs=1e-6)


def test_class_term_is_blind_to_background():
    """Raising the background's logit everywhere leaves p(class | foreground) alone."""
    logits, labels = draw()
    raised = logits.detach().clone()
    raised[:, 0] += 3
    weights = LossWeights(0, 0, 1, 0)
    a, b = (picking_loss(x, labels, weights).item() for x in (logits, raised))
    assert a == pytest.approx(b, abs=1e-5)
    assert a > 0


def test_foreground_term_is_dice_of_the_particles_whatever_their_class():
    logits, labels = draw()
    term = picking_loss(logits, labels, LossWeights(0, 0, 0, 1))
    p = torch.softmax(logits, 1)
    direct = soft_dice(p[:, 1:].sum(1, keepdim=True), (labels > 0)[:, None].float())
    assert term.item() == pytest.approx(direct.item(), abs=1e-6)


def test_false_picks_of_an_absent_class_cost_with_the_foreground_term():
    labels = torch.zeros(1, 8, 8, 8, dtype=torch.int64)
    labels[:, :2, :2, :2] = 1
    right = one_hot(labels, 3) * 30
    false = right.clone()
    false[:, :, 5, 5, 5] = torch.tensor([0.0, 0.0, 30.0])  # class 2 is nowhere
    without, with_it = (
        picking_loss(false, labels, LossWeights(1, 0, 0, weight)).item()
        for weight in (0, 1)
    )
    assert without < 2e-3 < 0.02 < with_it


def test_an_absent_class_costs_by_what_is_falsely_found():
    labels = torch.zeros(1, 8, 8, 8, dtype=torch.int64)
    labels[:, :2, :2, :2] = 1  # 8 voxels of class 1, none of class 2
    right = one_hot(labels, 3) * 30
    false = right.clone()
    false[:, :, 5:7, 5:7, 5:7] = torch.tensor([0.0, 0.0, 30.0])[:, None, None, None]
    weights = LossWeights(1, 0, 0, 0, absent=1.0)
    assert picking_loss(right, labels, weights).item() < 1e-6
    background = 1 - 2 * (512 - 16) / (512 - 16 + 512 - 8)
    expected = (background + 0 + 8 / (8 + 8)) / 3  # as many false voxels as a label has
    assert picking_loss(false, labels, weights).item() == pytest.approx(expected)
    assert picking_loss(false, labels, LossWeights(1, 0, 0, 0)).item() < 0.01


def test_absent_classes_cost_nothing_where_all_are_there():
    logits, labels = draw()
    a, b = (
        picking_loss(logits, labels, LossWeights(1, 0, 0, 0, absent=x)).item()
        for x in (0, 1)
    )
    assert a == pytest.approx(b, abs=1e-7)


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


def hide(labels, part=0.6):
    """Labels of a partial annotation: much of the background is unknown."""
    hidden = (torch.rand(labels.shape) < part) & (labels == 0)
    return labels.masked_fill(hidden, UNKNOWN), hidden


def logits_of(classes, edge=6):
    return torch.randn(2, classes, edge, edge, edge)


@given(
    st.integers(1, 4), st.tuples(*[st.sampled_from([0.0, 1.0])] * 4), st.integers(0, 9)
)
def test_ignored_voxels_could_hold_anything(classes, terms, seed):
    torch.manual_seed(seed)
    labels, hidden = hide(torch.randint(0, max(classes, 2), (2, 6, 6, 6)))
    logits = logits_of(classes).requires_grad_()
    changed = logits.detach() + 5 * logits_of(classes) * hidden.unsqueeze(1)
    weights = LossWeights(*terms, absent=terms[0], unannotated="ignore")
    loss = picking_loss(logits, labels, weights)
    assert picking_loss(changed, labels, weights).item() == pytest.approx(
        loss.item(), abs=1e-6
    )
    loss.backward()
    assert not logits.grad.movedim(1, -1)[hidden].any()
    if terms[1]:
        assert logits.grad.movedim(1, -1)[~hidden].abs().sum(-1).gt(0).all()


@pytest.mark.parametrize("classes", [1, 4])
def test_ignored_voxels_are_as_good_as_cut_out(classes):
    """A volume whose second half is unknown costs what its first half costs."""
    torch.manual_seed(0)
    labels = torch.randint(0, max(classes, 2), (1, 8, 4, 4))
    logits = torch.randn(1, classes, 8, 4, 4)
    weights = LossWeights(foreground=1.0, absent=1.0, unannotated="ignore")
    half = picking_loss(logits[:, :, :4], labels[:, :4], weights)
    labels[:, 4:] = UNKNOWN
    assert picking_loss(logits, labels, weights).item() == pytest.approx(half.item())


@pytest.mark.parametrize("classes", [1, 4])
def test_the_published_way_takes_unknown_voxels_for_background(classes):
    torch.manual_seed(0)
    labels, hidden = hide(torch.randint(0, max(classes, 2), (2, 6, 6, 6)))
    logits = logits_of(classes)
    truth = labels.masked_fill(hidden, 0)
    for weights in (
        LossWeights(unannotated="background"),
        LossWeights(unannotated="trimmed", trimmed=0.0),
    ):
        assert picking_loss(logits, labels, weights) == picking_loss(
            logits, truth, weights
        )


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("trimmed", [0.1, 0.5])
def test_trimmed_leaves_out_the_most_particle_like_unknown_voxels(classes, trimmed):
    torch.manual_seed(0)
    labels, hidden = hide(torch.randint(0, max(classes, 2), (2, 6, 6, 6)))
    logits = logits_of(classes).requires_grad_()
    picking_loss(
        logits, labels, LossWeights(unannotated="trimmed", trimmed=trimmed)
    ).backward()
    counts = logits.grad.abs().sum(1) > 0
    assert counts[~hidden].all()
    p = (
        torch.sigmoid(logits[:, 0])
        if classes == 1
        else 1 - torch.softmax(logits, 1)[:, 0]
    )
    dropped = p[hidden & ~counts]
    assert len(dropped) == int(trimmed * hidden.sum())
    assert dropped.min() > p[hidden & counts].max()


@pytest.mark.parametrize("unannotated", ["ignore", "trimmed", "background"])
@pytest.mark.parametrize("classes", [1, 4])
def test_full_annotation_costs_the_same_in_all_ways(classes, unannotated):
    logits, labels = logits_of(classes), torch.randint(0, max(classes, 2), (2, 6, 6, 6))
    assert picking_loss(logits, labels, LossWeights()) == picking_loss(
        logits, labels, LossWeights(unannotated=unannotated)
    )


@pytest.mark.parametrize("classes", [1, 4])
def test_a_batch_of_which_nothing_is_known_is_finite(classes):
    logits = logits_of(classes).requires_grad_()
    labels = torch.full((2, 6, 6, 6), UNKNOWN)
    loss = picking_loss(logits, labels, LossWeights(unannotated="ignore"))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_certain_voxels_do_not_tie():
    """Probabilities this near to 1 are equal in float32, their odds are not."""
    logits = torch.zeros(1, 2, 1, 1, 4)
    logits[0, 1, 0, 0] = torch.tensor([30.0, 50.0, 40.0, 20.0])
    logits.requires_grad_()
    labels = torch.full((1, 1, 1, 4), UNKNOWN)
    weights = LossWeights(0, 1, 0, 0, unannotated="trimmed", trimmed=0.5)
    picking_loss(logits, labels, weights).backward()
    assert (logits.grad[0, 1, 0, 0] != 0).tolist() == [True, False, False, True]
