"""Changes of intensity: blur, gamma, contrast and noise, in that order.

All keep what normalisation promises of a tomogram, or restore it: about zero mean and
unit variance. The blur is a filter in Fourier space, and so never fills the missing
wedge: what is zero there stays zero.
"""

import math
from typing import Protocol

import torch
from torch import Tensor

# Beyond this tilt nothing is recorded, and the blur grows no more.
STEEPEST = math.radians(60)


class Ranges(Protocol):
    """What is drawn; see `dep.train.augment.Augmentation`."""

    @property
    def noise(self) -> float: ...  # noqa: D102

    @property
    def contrast(self) -> float: ...  # noqa: D102

    @property
    def gamma(self) -> float: ...  # noqa: D102

    @property
    def blur(self) -> float: ...  # noqa: D102


def vary(image: Tensor, ranges: Ranges, generator: torch.Generator) -> None:
    """Change the intensities of patches (b, 1, z, y, x) in place, a draw for each."""

    def draw() -> Tensor:
        drawn = torch.rand(len(image), 1, 1, 1, 1, generator=generator)
        return drawn.to(image.device)

    if ranges.blur > 0:
        blur(image, draw() * ranges.blur)
    if ranges.gamma > 0:
        # As likely to be divided by a factor as multiplied by it.
        gamma(image, torch.pow(1 + ranges.gamma, draw() * 2 - 1))
    if ranges.contrast > 0:
        image *= 1 + (draw() * 2 - 1) * ranges.contrast
    if ranges.noise > 0:
        add_noise(image, draw() * ranges.noise, generator)


def blur(image: Tensor, sigma: Tensor) -> None:
    """Blur patches in place as lower resolution does, more at high tilt.

    The transfer function is exp(-2 pi^2 sigma^2 k^2 / cos t) with k in cycles per voxel
    and t the tilt at which a component was recorded: the axis is y, so
    cos t = |kx| / |(kx, kz)|. The way through the specimen grows with 1 / cos t, and
    resolution falls with it, to the steepest tilt of 60 degrees. Mean and variance of
    each patch are kept, as normalisation of a blurred tomogram would do.

    Parameters
    ----------
    image
        (b, 1, z, y, x) float32. Patches are taken for periodic: at their faces, about
        `sigma` deep, the opposite face shines through.
    sigma
        (b, 1, 1, 1, 1) at zero tilt, in voxels.
    """
    z, y, x = image.shape[2:]
    device = image.device
    kz = torch.fft.fftfreq(z, device=device).view(-1, 1, 1)
    ky = torch.fft.fftfreq(y, device=device).view(-1, 1)
    kx = torch.fft.rfftfreq(x, device=device)
    across = (kx.square() + kz.square()).sqrt()  # of the tilt axis
    longer = across / kx.clamp_min(1e-9)
    longer = longer.nan_to_num(1.0).clamp(1.0, 1 / math.cos(STEEPEST))
    exponent = (-2 * math.pi**2) * (across.square() + ky.square()) * longer
    mean, std = _moments(image)
    spectrum = torch.fft.rfftn(image, dim=(2, 3, 4))
    spectrum *= torch.exp(exponent * sigma.square())
    image.copy_(torch.fft.irfftn(spectrum, s=(z, y, x), dim=(2, 3, 4)))
    _restore(image, mean, std)


def gamma(image: Tensor, exponent: Tensor) -> None:
    """Bend the intensities of patches in place by a power curve.

    Between the least and greatest value of each patch; its mean and variance are kept.

    Parameters
    ----------
    image
        (b, 1, z, y, x) float32.
    exponent
        (b, 1, 1, 1, 1); 1 changes nothing.
    """
    axes = (1, 2, 3, 4)
    mean, std = _moments(image)
    low, high = image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
    image -= low
    image /= (high - low).clamp_min(1e-6)
    image.pow_(exponent)
    _restore(image, mean, std)


def add_noise(image: Tensor, sigma: Tensor, generator: torch.Generator) -> None:
    """Add white noise to patches in place and rescale them to unit variance.

    Parameters
    ----------
    image
        (b, 1, z, y, x) float32 of unit variance.
    sigma
        (b, 1, 1, 1, 1), the noise's standard deviation.
    generator
        On the CPU. On another device it seeds one of that device: a batch's noise is
        not carried there.
    """
    if image.device != generator.device:
        seed = int(torch.randint(2**62, (), generator=generator))
        generator = torch.Generator(image.device).manual_seed(seed)
    noise = torch.empty_like(image).normal_(generator=generator)
    image.addcmul_(noise, sigma)
    image *= (1 + sigma.square()).rsqrt()


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each patch (b, 1, 1, 1, 1)."""
    variance, mean = torch.var_mean(image, (1, 2, 3, 4), correction=0, keepdim=True)
    return mean, variance.sqrt()


def _restore(image: Tensor, mean: Tensor, std: Tensor) -> None:
    """Shift and scale patches in place to a given mean and standard deviation."""
    now_mean, now_std = _moments(image)
    image -= now_mean
    image *= std / now_std.clamp_min(1e-6)
    image += mean
