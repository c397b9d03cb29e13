"""Augmentation of a whole batch on its device: geometry, then intensities.

Patches are mirrored exactly, voxel by voxel. A part of them is also rotated, scaled and
bent; all of that and the mirror are one map, and one resampling makes it, so that noise
is smoothed once at most, and not at all in the other patches.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from dep.train.intensity import vary

# Nodes of the elastic lattice along an edge.
NODES = 4


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for each patch; 0 is off. Ranges are the paper's unless noted.

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
        Largest elastic displacement along an axis, as a part of the patch's edge.
    noise
        Largest standard deviation of added white noise, in units of the tomogram's;
        the patch is rescaled to unit variance after. Not in the paper.
    contrast
        Largest relative change of contrast. Not in the paper.
    gamma
        Largest relative change of the exponent of a gamma curve. Not in the paper.
    blur
        Largest blur at zero tilt, as the standard deviation in voxels; it grows with
        tilt and leaves the missing wedge empty (`dep.train.intensity`). Not in the
        paper.
    """

    mirror: bool = True
    warp: float = 0.5
    rotation: float = 15.0
    scale: float = 0.05
    elastic: float = 0.03
    noise: float = 0.0
    contrast: float = 0.1
    gamma: float = 0.0
    blur: float = 0.0

    @property
    def warps(self) -> bool:
        """Whether any patch may be resampled."""
        return self.warp > 0 and max(self.rotation, self.scale, self.elastic) > 0


def context(edge: int, augmentation: Augmentation) -> int:
    """Return how many voxels a crop must exceed the patch by on each side.

    As far as the middle of a patch's edge gets in the largest rotation about one axis,
    at the largest scale, displaced the most. Only the corners of the rarest draws get
    farther (one voxel in 10,000 of the patches that are warped); there the resampling
    repeats the crop's border.
    """
    if not augmentation.warps:
        return 0
    angle = math.radians(augmentation.rotation)
    reach = (math.cos(angle) + math.sin(angle)) * (1 + augmentation.scale)
    return math.ceil((edge - 1) / 2 * (reach - 1) + edge * augmentation.elastic)


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
        (b, 1, e, e, e) float32, e = edge + 2 `context` or more.
    labels
        (b, e, e, e) uint8.
    edge
        Of the patches returned, voxels.
    augmentation
        What to draw.
    generator
        Source of all randomness, on the CPU: geometry is the same on every device.

    Returns
    -------
    image, labels
        (b, 1, edge, edge, edge) float32 and (b, edge, edge, edge) int64, on the
        device of `image`. The image is interpolated linearly, labels by the nearest
        voxel of the same sampling points.

    Raises
    ------
    ValueError
        If the crops are smaller than patch and context.
    """
    border = (image.shape[-1] - edge) // 2
    if border < context(edge, augmentation):
        msg = (
            f"crops of {image.shape[-1]} voxels leave {border} around patches of "
            f"{edge}; this augmentation needs {context(edge, augmentation)}"
        )
        raise ValueError(msg)
    count = len(image)
    flips = torch.zeros(count, 3, dtype=torch.bool)  # z, y, x
    if augmentation.mirror:
        flips = torch.rand(count, 3, generator=generator) < 0.5
    warped = torch.zeros(count, dtype=torch.bool)
    if augmentation.warps:
        warped = torch.rand(count, generator=generator) < augmentation.warp

    out_image = image.new_empty((count, 1, edge, edge, edge))
    out_labels = labels.new_empty((count, edge, edge, edge))
    middle = slice(border, border + edge)
    for k in torch.nonzero(~warped).flatten().tolist():
        axes = torch.nonzero(flips[k]).flatten().tolist()
        out_image[k, 0] = image[k, 0, middle, middle, middle].flip(axes)
        out_labels[k] = labels[k, middle, middle, middle].flip(axes)
    chosen = torch.nonzero(warped).flatten()
    if len(chosen):
        lattice = _lattice(flips[chosen], edge, augmentation, generator)
        lattice /= (image.shape[-1] - 1) / 2  # to grid_sample's -1..1
        points = _points(lattice.to(image.device), edge)
        chosen = chosen.to(image.device)
        out_image[chosen] = F.grid_sample(
            image[chosen], points, padding_mode="border", align_corners=True
        )
        nearest = F.grid_sample(
            labels[chosen].unsqueeze(1).float(),
            points,
            mode="nearest",
            padding_mode="border",
            align_corners=True,
        )
        out_labels[chosen] = nearest.squeeze(1).to(labels.dtype)
    vary(out_image, augmentation, generator)
    return out_image, out_labels.long()


def _lattice(
    flips: Tensor, edge: int, augmentation: Augmentation, generator: torch.Generator
) -> Tensor:
    """Draw a map for each patch: where the nodes of a lattice over it are sampled.

    Parameters
    ----------
    flips
        (b, 3) bool, axes z, y, x to mirror.

    Returns
    -------
    Tensor
        (b, 3, z, y, x), `NODES` nodes along an edge; components x, y, z in voxels from
        the middle of the crop. Linear interpolation between nodes reproduces rotation,
        scale and mirror, which are linear, and bends by the nodes' own displacements.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1

    count = len(flips)
    matrix = _rotations(uniform(count, 3) * math.radians(augmentation.rotation))
    matrix *= 1 + uniform(count, 1, 1) * augmentation.scale
    matrix *= (1 - 2 * flips.flip(1).float()).unsqueeze(1)  # mirror, then rotate
    ramp = torch.linspace(-(edge - 1) / 2, (edge - 1) / 2, NODES)
    z, y, x = torch.meshgrid(ramp, ramp, ramp, indexing="ij")
    nodes = matrix @ torch.stack((x, y, z)).flatten(1)  # (b, 3, nodes)
    nodes = nodes.view(count, 3, NODES, NODES, NODES)
    amplitude = torch.rand(count, 1, 1, 1, 1, generator=generator)
    bend = uniform(count, 3, NODES, NODES, NODES)
    return nodes + bend * amplitude * (augmentation.elastic * edge)


def _points(lattice: Tensor, edge: int) -> Tensor:
    """Interpolate a lattice (b, 3, n, n, n) to all voxels: (b, edge, edge, edge, 3).

    Axis by axis, as products with one small matrix.
    """
    # (n, edge): how much each node counts at each voxel.
    weights = F.interpolate(
        torch.eye(NODES, device=lattice.device).unsqueeze(0),
        size=edge,
        mode="linear",
        align_corners=True,
    )[0]
    along_x = lattice @ weights  # (b, 3, n, n, edge)
    along_y = weights.T @ along_x  # (b, 3, n, edge, edge)
    along_z = weights.T @ along_y.flatten(3)  # (b, 3, edge, edge * edge)
    return along_z.view(-1, 3, edge, edge, edge).movedim(1, -1)


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
