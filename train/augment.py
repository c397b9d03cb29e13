"""Geometric augmentation of a whole batch as one resampling, and intensity changes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own convention


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for each patch. Ranges are the paper's unless noted.

    Attributes
    ----------
    mirror
        Mirror each axis with probability 1/2.
    warp
        Probability that a patch is resampled at all (rotation, scale and elastic
        together); resampling smooths noise, so some patches are left as they are.
    rotation
        Largest rotation about each axis, degrees.
    scale
        Largest relative change of size.
    elastic
        Largest elastic displacement, as a part of the patch's edge.
    noise
        Largest standard deviation of added white noise, in units of the tomogram's;
        the patch is rescaled to unit variance after. Not in the paper.
    contrast
        Largest relative change of contrast. Not in the paper.
    """

    mirror: bool = True
    warp: float = 0.5
    rotation: float = 15.0
    scale: float = 0.05
    elastic: float = 0.03
    noise: float = 0.0
    contrast: float = 0.1


def context(edge: int, augmentation: Augmentation) -> int:
    """Return how many voxels a crop must exceed the patch by on each side.

    The corner of a patch, half a diagonal away, moves by the rotation's chord; scale
    and elastic displacement come on top.
    """
    if augmentation.warp == 0:
        return 0
    half_diagonal = edge / 2 * math.sqrt(3)
    chord = 2 * math.sin(math.radians(augmentation.rotation) / 2)
    # Beyond this the resampling repeats the crop's border: corners of the rarest
    # draws only, so one axis' chord is enough.
    return math.ceil(
        half_diagonal * (chord + augmentation.scale) / math.sqrt(2)
        + edge * augmentation.elastic
    )


def augment(
    image: Tensor,
    labels: Tensor,
    edge: int,
    augmentation: Augmentation,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return augmented patches cut from the middle of larger crops.

    Parameters
    ----------
    image
        (b, 1, e, e, e) float32, e = edge + 2 `context`.
    labels
        (b, e, e, e) uint8.
    edge
        Of the patches returned, voxels.
    augmentation
        What to draw.
    generator
        Source of all randomness.

    Returns
    -------
    image, labels
        (b, 1, edge, edge, edge) float32 and (b, edge, edge, edge) int64. The image is
        interpolated linearly, labels by the nearest voxel of the same sampling points.
    """
    border = (image.shape[-1] - edge) // 2
    inner = slice(border, border + edge)
    out_image = image[:, :, inner, inner, inner].clone()
    out_labels = labels[:, inner, inner, inner].clone()
    draws = torch.rand(len(image), generator=generator)
    warped = torch.nonzero(draws < augmentation.warp).flatten()
    if border > 0 and warped.numel():
        points = _sampling_points(
            warped.numel(), edge, image.shape[-1], augmentation, generator
        ).to(image.device)
        out_image[warped] = F.grid_sample(
            image[warped], points, padding_mode="border", align_corners=True
        )
        out_labels[warped] = (
            F.grid_sample(
                labels[warped].unsqueeze(1).float(),
                points,
                mode="nearest",
                padding_mode="border",
                align_corners=True,
            )
            .squeeze(1)
            .to(labels.dtype)
        )
    if augmentation.mirror:
        flips = torch.rand(len(image), 3, generator=generator) < 0.5
        for k, flip in enumerate(flips.tolist()):
            axes = [axis for axis in range(3) if flip[axis]]
            if axes:
                out_image[k, 0] = out_image[k, 0].flip(axes)
                out_labels[k] = out_labels[k].flip(axes)
    return _intensity(out_image, augmentation, generator), out_labels.long()


def _sampling_points(
    count: int,
    edge: int,
    crop: int,
    augmentation: Augmentation,
    generator: torch.Generator,
) -> Tensor:
    """Return where each voxel of `count` patches samples its crop: (b, z, y, x, 3).

    Coordinates are grid_sample's: order x, y, z, -1 and 1 the centres of the first and
    last voxel of the crop.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1

    angles = uniform(count, 3) * math.radians(augmentation.rotation)
    matrix = _rotations(angles) * (1 + uniform(count, 1, 1) * augmentation.scale)
    ramp = torch.arange(edge, dtype=torch.float32) - (edge - 1) / 2
    z, y, x = torch.meshgrid(ramp, ramp, ramp, indexing="ij")
    centred = torch.stack((x, y, z), dim=-1).view(1, -1, 3)  # (1, voxels, 3)
    points = (centred @ matrix.transpose(1, 2)).view(count, edge, edge, edge, 3)
    if augmentation.elastic > 0:
        # A displacement on a 4^3 lattice, interpolated smoothly over the patch.
        amplitude = torch.rand(count, 1, 1, 1, 1, generator=generator)
        lattice = uniform(count, 3, 4, 4, 4) * amplitude * (augmentation.elastic * edge)
        field = F.interpolate(
            lattice, size=(edge, edge, edge), mode="trilinear", align_corners=True
        )
        points = points + field.movedim(1, -1)
    return points / ((crop - 1) / 2)


def _rotations(angles: Tensor) -> Tensor:
    """Return rotation matrices (b, 3, 3) about x, then y, then z by `angles` (b, 3)."""
    c, s = torch.cos(angles), torch.sin(angles)
    one, zero = torch.ones(len(angles)), torch.zeros(len(angles))

    def rows(*values: Tensor) -> Tensor:
        return torch.stack(values, dim=1).view(-1, 3, 3)

    about_x = rows(one, zero, zero, zero, c[:, 0], -s[:, 0], zero, s[:, 0], c[:, 0])
    about_y = rows(c[:, 1], zero, s[:, 1], zero, one, zero, -s[:, 1], zero, c[:, 1])
    about_z = rows(c[:, 2], -s[:, 2], zero, s[:, 2], c[:, 2], zero, zero, zero, one)
    return about_z @ about_y @ about_x


def _intensity(
    image: Tensor, augmentation: Augmentation, generator: torch.Generator
) -> Tensor:
    """Change contrast and add noise, a draw per patch."""
    shape = (len(image), 1, 1, 1, 1)
    if augmentation.contrast > 0:
        gain = 1 + (torch.rand(shape, generator=generator) * 2 - 1) * (
            augmentation.contrast
        )
        image = image * gain.to(image.device)
    if augmentation.noise > 0:
        sigma = torch.rand(shape, generator=generator) * augmentation.noise
        noise = torch.randn(image.shape, generator=generator)
        image = (image + (noise * sigma).to(image.device)) / torch.sqrt(
            1 + sigma.square()
        ).to(image.device)
    return image
