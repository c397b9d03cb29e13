"""Augmentation moves image and labels together and can be repeated."""

import math

import pytest
import torch

from dep.train.augment import Augmentation, _rotations, augment, context

NONE = Augmentation(mirror=False, warp=0, noise=0, contrast=0)


def blob(edge, centre):
    ramp = torch.arange(edge).float()
    z, y, x = torch.meshgrid(ramp, ramp, ramp, indexing="ij")
    squared = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
    image = torch.exp(-squared / 8)[None, None]
    return image, (squared < 9).to(torch.uint8)[None] * 3


def centroid(weights):
    w = weights.double()
    grid = torch.meshgrid(*[torch.arange(n).double() for n in w.shape], indexing="ij")
    return torch.stack([(g * w).sum() / w.sum() for g in grid])


def test_nothing_asked_cuts_the_middle():
    image, labels = torch.randn(2, 1, 20, 20, 20), torch.randint(0, 4, (2, 20, 20, 20))
    out, out_labels = augment(image, labels, 16, NONE, torch.Generator())
    assert torch.equal(out, image[:, :, 2:18, 2:18, 2:18])
    assert torch.equal(out_labels, labels[:, 2:18, 2:18, 2:18])


@pytest.mark.parametrize("seed", range(6))
def test_labels_stay_on_their_particle(seed):
    spread = Augmentation(mirror=True, warp=1, rotation=15, scale=0.05, elastic=0.03)
    edge = 24
    border = context(edge, spread)
    image, labels = blob(edge + 2 * border, [edge // 2 + border - 4] * 3)
    out, out_labels = augment(
        image, labels, edge, spread, torch.Generator().manual_seed(seed)
    )
    assert set(out_labels.unique().tolist()) == {0, 3}
    distance = centroid(out[0, 0].clamp_min(0.3) - 0.3) - centroid(out_labels[0] == 3)
    assert distance.abs().max() < 0.35


def test_rotations_are_rotations():
    angles = torch.tensor([[0.1, -0.2, 0.25], [0, 0, math.pi / 2]])
    matrices = _rotations(angles)
    torch.testing.assert_close(
        matrices @ matrices.transpose(1, 2), torch.eye(3).expand(2, 3, 3)
    )
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(2))
    quarter = matrices[1] @ torch.tensor([1.0, 0, 0])
    torch.testing.assert_close(quarter, torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)


def test_mirrors_keep_every_voxel():
    image, labels = torch.randn(8, 1, 8, 8, 8), torch.randint(0, 4, (8, 8, 8, 8))
    spread = Augmentation(mirror=True, warp=0, contrast=0)
    out, out_labels = augment(image, labels, 8, spread, torch.Generator())
    assert torch.equal(out.flatten(1).sort(1).values, image.flatten(1).sort(1).values)
    assert (out != image).any()
    changed = [not torch.equal(a, b[0]) for a, b in zip(out[:, 0], image, strict=True)]
    assert 1 <= sum(changed) <= 8
    for a, b, new, old in zip(out[:, 0], image[:, 0], out_labels, labels, strict=True):
        axes = next(
            axes
            for axes in ([], [0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2])
            if torch.equal(a, b.flip(axes))
        )
        assert torch.equal(new, old.flip(axes))


def test_the_same_generator_draws_the_same():
    image, labels = torch.randn(3, 1, 30, 30, 30), torch.zeros(3, 30, 30, 30).byte()
    spread = Augmentation(noise=0.3)
    a, b = (
        augment(image, labels, 16, spread, torch.Generator().manual_seed(5))[0]
        for _ in range(2)
    )
    assert torch.equal(a, b)


def test_noise_keeps_unit_variance():
    image, labels = torch.randn(2, 1, 32, 32, 32), torch.zeros(2, 32, 32, 32).byte()
    spread = Augmentation(mirror=False, warp=0, contrast=0, noise=1.0)
    out, _ = augment(image, labels, 32, spread, torch.Generator().manual_seed(0))
    assert not torch.equal(out, image)
    assert out.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("corner", [4, 19])
def test_labels_stay_on_particles_at_the_patchs_corners(corner):
    """Where any difference of scale between image and labels is largest."""
    spread = Augmentation(mirror=False, warp=1, rotation=0, scale=0.0, elastic=0.03)
    edge = 24
    border = context(edge, spread) + 3
    image, labels = blob(edge + 2 * border, [border + corner] * 3)
    offsets = []
    for seed in range(12):
        out, out_labels = augment(
            image, labels, edge, spread, torch.Generator().manual_seed(seed)
        )
        there = out[0, 0].clamp_min(0.3) - 0.3
        offsets.append(centroid(there) - centroid(out_labels[0] == 3))
    assert torch.stack(offsets).mean(0).abs().max() < 0.12
