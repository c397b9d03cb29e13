"""Intensities change as asked; the missing wedge stays empty."""

import math

import pytest
import torch

from dep.train.augment import Augmentation
from dep.train.intensity import STEEPEST, add_noise, blur, gamma, vary

STILL = Augmentation(noise=0, contrast=0, gamma=0, blur=0)


def each(*values):
    return torch.tensor(values).view(-1, 1, 1, 1, 1)


def noise(count=2, edge=24):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 1, edge, edge, edge, generator=generator)


def frequencies(edge):
    k = torch.fft.fftfreq(edge)
    return torch.meshgrid(k, k, k, indexing="ij")  # z, y, x


def wedge(edge):
    """Components that a tilt series about y, to 60 degrees, does not record."""
    kz, _, kx = frequencies(edge)
    return kz.abs() > math.tan(math.radians(60)) * kx.abs() + 1e-6


def power(image):
    return torch.fft.fftn(image[:, 0], dim=(1, 2, 3)).abs().square()


def test_nothing_asked_changes_nothing():
    image = noise()
    vary(image, STILL, torch.Generator())
    assert torch.equal(image, noise())


@pytest.mark.parametrize("option", ["noise", "contrast", "gamma", "blur"])
def test_each_option_changes_patches_by_itself(option):
    image = noise(4)
    ranges = Augmentation(**{"contrast": 0, option: 0.5})
    vary(image, ranges, torch.Generator().manual_seed(0))
    changes = (image - noise(4)).flatten(1).std(1)
    assert changes.min() > 0
    assert len(set(changes.tolist())) == 4


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0])
def test_blur_does_not_fill_the_missing_wedge(sigma):
    edge = 24
    missing = wedge(edge)
    spectrum = torch.fft.fftn(noise(1, edge)[:, 0], dim=(1, 2, 3))
    # Of a real image: components at the highest frequency pair with themselves.
    image = torch.fft.ifftn(spectrum * ~missing, dim=(1, 2, 3)).real.unsqueeze(1)
    missing &= power(image)[0] < 1e-6
    assert missing.float().mean() > 0.2
    before = power(image)[0]
    blur(image, each(sigma))
    after = power(image)[0]
    assert after[missing].max() < 1e-6 * after.mean()
    # While a curve, which is no filter, does fill it.
    gamma(image, each(1.5))
    assert power(image)[0][missing].mean() > 1e-3 * before.mean()


def test_blur_is_the_transfer_function_that_it_names():
    edge, sigma = 16, 0.8
    image = noise(1, edge)
    before = torch.fft.fftn(image[0, 0])
    std = image.std(correction=0)
    blur(image, each(sigma))
    ratio = (torch.fft.fftn(image[0, 0]) / before).abs()
    assert image.std(correction=0) == pytest.approx(std.item(), rel=1e-5)
    kz, ky, kx = frequencies(edge)
    tilt = torch.atan2(kz.abs(), kx.abs()).clamp_max(STEEPEST)
    squared = kz**2 + ky**2 + kx**2
    expected = torch.exp(-2 * math.pi**2 * sigma**2 * squared / torch.cos(tilt))
    # Up to the factor that keeps the variance.
    low = ratio[0, 1, 0] / expected[0, 1, 0]
    not_constant = squared > 0
    torch.testing.assert_close(
        ratio[not_constant], (low * expected)[not_constant], rtol=1e-2, atol=1e-4
    )
    assert low > 1


def test_more_blur_leaves_less_detail():
    image = noise(3)
    blur(image, each(0.0, 0.5, 1.0))
    torch.testing.assert_close(image[0], noise(3)[0], rtol=1e-4, atol=1e-5)
    kz, ky, kx = frequencies(24)
    fine = kz**2 + ky**2 + kx**2 > 0.3**2
    part = (power(image) * fine).sum((1, 2, 3)) / power(image).sum((1, 2, 3))
    assert part[0] > 1.5 * part[1] > 6 * part[2]


def test_gamma_keeps_order_mean_and_spread():
    image, before = noise(3), noise(3)
    gamma(image, each(0.7, 1.0, 1.4))
    torch.testing.assert_close(image[1], before[1], rtol=1e-4, atol=1e-5)
    for new, old in zip(image, before, strict=True):
        assert new.mean().item() == pytest.approx(old.mean().item(), abs=1e-4)
        assert new.std().item() == pytest.approx(old.std().item(), rel=1e-4)
        ordered = new.flatten()[old.flatten().argsort()]
        assert (ordered.diff() >= 0).all()
    skew = ((image - image.mean()) ** 3).mean((1, 2, 3, 4))
    assert skew[0] < skew[1] < skew[2]


@pytest.mark.parametrize("change", [gamma, blur])
def test_a_patch_of_padding_alone_stays_as_it_is(change):
    image = torch.zeros(1, 1, 8, 8, 8)
    change(image, each(1.3))
    assert torch.equal(image, torch.zeros_like(image))


def test_noise_keeps_unit_variance():
    image = noise(2, 32)
    add_noise(image, each(1.0, 0.5), torch.Generator().manual_seed(1))
    before = noise(2, 32)
    for new, old, sigma in zip(image, before, (1.0, 0.5), strict=True):
        assert new.std().item() == pytest.approx(1, abs=0.02)
        alike = torch.corrcoef(torch.stack((new.flatten(), old.flatten())))[0, 1]
        assert alike.item() == pytest.approx(1 / math.sqrt(1 + sigma**2), abs=0.02)


def test_contrast_and_noise_stay_in_their_ranges():
    image = noise(40, 8)
    vary(image, Augmentation(contrast=0.2), torch.Generator().manual_seed(0))
    gain = (image / noise(40, 8)).flatten(1)
    assert gain.std(1).max() < 1e-4
    assert 0.8 <= gain.min() < 0.85
    assert 1.15 < gain.max() <= 1.2
