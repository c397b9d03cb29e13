"""Augmentation moves image and labels together and can be repeated."""

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dep.train.augment import (
    NODES,
    Augmentation,
    _lattice,
    _points,
    _rotations,
    augment,
    context,
)
from dep.train.labels import UNKNOWN

NONE = Augmentation(mirror=False, warp=0, noise=0, contrast=0)
GEOMETRY = Augmentation(mirror=True, warp=1, contrast=0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


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


def crops(edge, augmentation, count=2, seed=0):
    size = edge + 2 * context(edge, augmentation)
    image = torch.randn(count, 1, size, size, size, generator=seeded(seed))
    return image, (image[:, 0] > 0.5).to(torch.uint8) * 2


def test_nothing_asked_cuts_the_middle():
    image, labels = torch.randn(2, 1, 20, 20, 20), torch.randint(0, 4, (2, 20, 20, 20))
    out, out_labels = augment(image, labels, 16, NONE, torch.Generator())
    assert torch.equal(out, image[:, :, 2:18, 2:18, 2:18])
    assert torch.equal(out_labels, labels[:, 2:18, 2:18, 2:18])


@pytest.mark.parametrize("seed", range(6))
def test_labels_stay_on_their_particle(seed):
    edge = 24
    border = context(edge, GEOMETRY)
    image, labels = blob(edge + 2 * border, [edge // 2 + border - 4] * 3)
    out, out_labels = augment(image, labels, edge, GEOMETRY, seeded(seed))
    assert set(out_labels.unique().tolist()) == {0, 3}
    distance = centroid(out[0, 0].clamp_min(0.3) - 0.3) - centroid(out_labels[0] == 3)
    assert distance.abs().max() < 0.35


@settings(max_examples=40)
@given(
    st.booleans(),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.tuples(st.floats(0, 45), st.floats(0, 0.2), st.floats(0, 0.05)),
    st.integers(0, 1000),
)
def test_labels_follow_the_image_under_every_map(mirror, warp, ranges, seed):
    """An image that is its labels, interpolated, lies on their side of the middle."""
    spread = Augmentation(mirror, warp, *ranges, contrast=0)
    edge = 12
    size = edge + 2 * context(edge, spread)
    # Steps along one axis only, so that the nearest voxel decides the side.
    labels = torch.randint(0, 2, (3, 1, size, 1), generator=seeded(seed))
    labels = labels.expand(3, size, size, size).to(torch.uint8)
    out, found = augment(
        labels.unsqueeze(1).float(), labels, edge, spread, seeded(seed)
    )
    clear = (out[:, 0] - 0.5).abs() > 1e-4  # else the sampling point is in the middle
    assert torch.equal((out[:, 0] > 0.5)[clear], (found == 1)[clear])
    assert clear.float().mean() > 0.9


def test_rotations_are_rotations():
    angles = torch.tensor([[0.1, -0.2, 0.25], [0, 0, math.pi / 2]])
    matrices = _rotations(angles)
    torch.testing.assert_close(
        matrices @ matrices.transpose(1, 2), torch.eye(3).expand(2, 3, 3)
    )
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(2))
    quarter = matrices[1] @ torch.tensor([1.0, 0, 0])
    torch.testing.assert_close(quarter, torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("warp", [0.0, 0.5])
def test_patches_that_are_not_warped_keep_every_voxel_bit_for_bit(warp):
    spread = Augmentation(mirror=True, warp=warp, contrast=0)
    edge, count = 8, 24
    image, labels = crops(edge, spread, count)
    border = (image.shape[-1] - edge) // 2
    middle = slice(border, border + edge)
    out, out_labels = augment(image, labels, edge, spread, seeded(1))
    seen = []
    for new, old, new_labels, old_labels in zip(
        out[:, 0], image[:, 0], out_labels, labels, strict=True
    ):
        for axes in itertools.chain.from_iterable(
            itertools.combinations(range(3), n) for n in range(4)
        ):
            if torch.equal(new, old[middle, middle, middle].flip(axes)):
                flipped = old_labels[middle, middle, middle].flip(axes)
                assert torch.equal(new_labels, flipped.long())
                seen.append(axes)
    if warp == 0:
        assert len(seen) == count
    assert len(set(seen)) >= 5  # of the eight mirrors
    assert len(seen) == pytest.approx(count * (1 - warp), abs=7)


def test_a_warp_that_moves_nothing_is_a_mirror():
    """The grid's own arithmetic: a lattice drawn with all ranges at 0."""
    still = Augmentation(warp=1, rotation=0, scale=0, elastic=0)
    edge, size = 9, 13
    flips = torch.tensor([[False, True, False], [True, False, True]])
    lattice = _lattice(flips, edge, still, seeded()) / ((size - 1) / 2)
    image = torch.randn(2, 1, size, size, size)
    out = functional.grid_sample(image, _points(lattice, edge), align_corners=True)
    middle = image[:, :, 2:11, 2:11, 2:11]
    torch.testing.assert_close(out[0, 0], middle[0, 0].flip(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[1, 0], middle[1, 0].flip(0, 2), atol=1e-5, rtol=0)


def test_a_lattice_between_its_nodes_is_linear():
    lattice = torch.randn(2, 3, NODES, NODES, NODES)
    direct = functional.interpolate(
        lattice, size=(11, 11, 11), mode="trilinear", align_corners=True
    )
    torch.testing.assert_close(_points(lattice, 11), direct.movedim(1, -1))


@settings(max_examples=40)
@given(
    st.floats(0, 45), st.floats(0, 0.2), st.floats(0, 0.05), st.sampled_from([16, 72])
)
def test_maps_stay_in_their_ranges(rotation, scale, elastic, edge):
    spread = Augmentation(rotation=rotation, scale=scale, elastic=elastic)
    flips = torch.zeros(40, 3, dtype=torch.bool)
    straight = dataclasses.replace(spread, elastic=0)
    whole = _lattice(flips, edge, spread, seeded(3))
    affine = _lattice(flips, edge, straight, seeded(3))
    assert (whole - affine).abs().max() <= elastic * edge + 1e-4
    # The nodes at the corners, opposite ones subtracted: a rotated, scaled diagonal.
    span = affine[:, :, -1, -1, -1] - affine[:, :, 0, 0, 0]
    length = span.norm(dim=1) / (math.sqrt(3) * (edge - 1))
    assert length.min() >= 1 - scale - 1e-5
    assert length.max() <= 1 + scale + 1e-5
    axis = affine[:, :, 0, 0, -1] - affine[:, :, 0, 0, 0]  # the image of x
    # Turned about y and z, by the largest angle each at most.
    least = math.cos(math.radians(rotation)) ** 2
    assert (axis[:, 0] / axis.norm(dim=1)).min() >= least - 1e-5
    if scale > 0.01:
        assert length.std() > scale / 4
    if elastic > 0.01:
        assert (whole - affine).abs().max() > elastic * edge / 2


def test_the_context_holds_all_but_the_rarest_corners():
    for edge in (24, 48):
        spread = Augmentation()
        flips = torch.zeros(60, 3, dtype=torch.bool)
        points = _points(_lattice(flips, edge, spread, seeded()), edge).abs().amax(-1)
        size = edge + 2 * context(edge, spread)
        assert (points > (size - 1) / 2).float().mean() < 1e-3
        assert points.max() > (size - 1) / 2 - 4  # and is not much too large


def test_crops_without_room_for_the_warp_are_refused():
    image, labels = crops(16, NONE)
    with pytest.raises(ValueError, match=r"leave 0 around patches of 16; .* needs \d"):
        augment(image, labels, 16, GEOMETRY, seeded())


def test_the_same_generator_draws_the_same():
    spread = Augmentation(noise=0.3, gamma=0.3, blur=1.0)
    image, labels = crops(16, spread, 4)
    first, again, other = (
        augment(image, labels, 16, spread, seeded(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[1], other[1])


def test_crops_are_left_as_they_were():
    spread = Augmentation(noise=0.3, gamma=0.3, blur=1.0)
    image, labels = crops(16, spread, 4)
    kept = image.clone(), labels.clone()
    augment(image, labels, 16, spread, seeded())
    assert torch.equal(image, kept[0])
    assert torch.equal(labels, kept[1])


def test_unknown_voxels_stay_unknown():
    image, labels = crops(12, GEOMETRY, 3)
    labels[labels > 0] = UNKNOWN
    _, found = augment(image, labels, 12, GEOMETRY, seeded())
    assert found.unique().tolist() == [0, UNKNOWN]
    assert found.dtype == torch.int64


@pytest.mark.parametrize("corner", [4, 19])
def test_labels_stay_on_particles_at_the_patchs_corners(corner):
    """Where any difference of scale between image and labels is largest."""
    spread = Augmentation(mirror=False, warp=1, rotation=0, scale=0.0, elastic=0.03)
    edge = 24
    border = context(edge, spread) + 3
    image, labels = blob(edge + 2 * border, [border + corner] * 3)
    offsets = []
    for seed in range(12):
        out, out_labels = augment(image, labels, edge, spread, seeded(seed))
        there = out[0, 0].clamp_min(0.3) - 0.3
        offsets.append(centroid(there) - centroid(out_labels[0] == 3))
    assert torch.stack(offsets).mean(0).abs().max() < 0.12


def test_intensities_do_not_move_labels():
    loud = dataclasses.replace(GEOMETRY, noise=1.0, gamma=0.5, blur=1.5, contrast=0.3)
    image, labels = crops(16, GEOMETRY, 3)
    _, still = augment(image, labels, 16, GEOMETRY, seeded(2))
    out, found = augment(image, labels, 16, loud, seeded(2))
    assert torch.equal(still, found)
    assert torch.isfinite(out).all()
