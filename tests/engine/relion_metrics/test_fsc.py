"""FSC of maps whose answer is known."""

import mrcfile
import numpy as np
import pytest

from dep.engine.errors import DepError, MetricsError
from dep.engine.relion_metrics.fsc import gold_standard, resolution_of
from dep.engine.relion_metrics.maps import ball_mask, open_halves
from dep.engine.relion_metrics.shells import (
    correlation,
    how_many,
    noise_scatter,
    randomised,
)

VOXEL = 2.0


def frequencies(shape):
    kz, ky = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1])
    kx = np.fft.rfftfreq(shape[2])
    return np.sqrt(kz[:, None, None] ** 2 + ky[:, None] ** 2 + kx**2)


def filtered(voxels, gain):
    return np.fft.irfftn(np.fft.rfftn(voxels) * gain, voxels.shape, axes=(0, 1, 2))


def halves(snr, shape, seed=0):
    """Signal of a given spectral signal-to-noise ratio, and noise of its own twice."""
    rng = np.random.default_rng(seed)
    k = frequencies(shape)
    signal = filtered(rng.normal(size=shape), np.sqrt(snr(k)))
    return [(signal + rng.normal(size=shape)).astype(np.float32) for _ in range(2)]


def coefficients(shape):
    """Independent frequencies of each shell: half of them are conjugates."""
    edge = max(shape)
    full = np.sqrt(
        sum(
            np.fft.fftfreq(n).reshape([-1 if a == axis else 1 for a in range(3)]) ** 2
            for axis, n in enumerate(shape)
        )
    )
    shell = np.rint(edge * full).astype(int).ravel()
    return np.bincount(shell)[: how_many(shape)] / 2


@pytest.mark.parametrize("shape", [(48, 48, 48), (47, 47, 47), (32, 48, 40)])
def test_fsc_is_what_the_signal_to_noise_ratio_says(shape):
    """FSC = SNR / (1 + SNR), within four of its standard deviations a shell."""

    def snr(k):
        return 30 * np.exp(-((k / 0.12) ** 2))

    first, second = halves(snr, shape)
    result = gold_standard(first, second, VOXEL)
    k = result.frequency * VOXEL
    expected = snr(k) / (1 + snr(k))
    spread = (1 - expected**2) / np.sqrt(coefficients(shape))
    slope = np.abs(np.gradient(expected)) / 2  # a shell is one voxel wide
    off = np.abs(result.unmasked - expected)[3:]
    assert (off < (4 * spread + slope)[3:]).all()
    # At the threshold the ratio is 1 / 6.
    wanted = VOXEL / (0.12 * np.sqrt(np.log(30 * 0.857 / 0.143)))
    assert result.resolution().angstrom == pytest.approx(wanted, rel=0.03)


def test_a_map_agrees_with_itself_up_to_nyquist():
    one = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    result = gold_standard(one, 3 * one, VOXEL)
    np.testing.assert_allclose(result.unmasked, 1, atol=1e-6)
    assert result.resolution().at_nyquist
    assert result.resolution().angstrom == pytest.approx(2 * VOXEL)
    negative = gold_standard(one, -one, VOXEL)
    np.testing.assert_allclose(negative.unmasked, -1, atol=1e-6)
    assert negative.resolution().angstrom is None


def test_random_phases_keep_amplitudes_and_what_lies_before():
    shape = (18, 20, 24)
    one = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    spectrum = np.fft.rfftn(one)
    changed = np.fft.rfftn(randomised(spectrum, shape, 6, np.random.default_rng(2)))
    before = np.rint(24 * frequencies(shape)) < 6
    np.testing.assert_allclose(changed[before], spectrum[before], atol=1e-3)
    np.testing.assert_allclose(np.abs(changed), np.abs(spectrum), atol=1e-3)
    fsc = correlation(spectrum, changed, shape)
    np.testing.assert_allclose(fsc[:6], 1, atol=1e-5)
    assert np.abs(fsc[8:]).max() < 0.4


def tight(shape):
    """A mask with hard edges: what one should not use."""
    z, y, x = (np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) // 2) / shape[0]
    rough = np.random.default_rng(5).normal(size=shape)
    rough = filtered(rough, frequencies(shape) < 0.2)
    inside = np.sqrt(z**2 + y**2 + x**2) + 0.04 * rough / rough.std() < 0.25
    return inside.astype(np.float32)


def test_a_tight_mask_inflates_and_the_correction_takes_it_back():
    """Nothing but noise beyond 1 / 20 per Å, and a mask that says otherwise."""
    shape, limit = (64, 64, 64), 0.1  # cycles per voxel

    def snr(k):
        return np.where(k < limit, 1e3, 0.0)

    first, second = halves(snr, shape)
    mask = tight(shape)
    # Density sits on a pedestal, as in real maps; noise beyond the limit is weak.
    first, second = first / 20 + 2, second / 20 + 2
    result = gold_standard(first, second, VOXEL, mask)
    beyond = slice(result.randomised_from + 3, None)
    assert result.frequency[result.randomised_from] * VOXEL == pytest.approx(
        limit, abs=1.5 / 64
    )
    assert np.abs(result.unmasked[beyond].mean()) < 0.02
    assert result.masked[beyond].mean() > 0.3
    assert np.abs(result.corrected[beyond].mean()) < 0.05
    masked = resolution_of(result.frequency, result.masked, 0.143)
    corrected = result.resolution()
    assert masked.angstrom < 0.75 * corrected.angstrom
    # At the limit, or within the shells where the masked curve is still taken.
    start = result.randomised_from
    at = 1 / corrected.angstrom
    assert result.frequency[start - 1] <= at <= result.frequency[start + 2]
    assert "a softer edge" in result.warnings[0]


def test_a_soft_mask_removes_solvent_noise():
    """Signal inside a ball only: masked, the FSC rises; corrected, it stays risen."""
    shape = (64, 64, 64)
    rng = np.random.default_rng(3)
    k = frequencies(shape)
    mask = ball_mask(shape, 14.0)
    signal = filtered(rng.normal(size=shape), 4 * np.exp(-((k / 0.15) ** 2)))
    first, second = (
        (signal * mask + rng.normal(size=shape)).astype(np.float32) for _ in range(2)
    )
    result = gold_standard(first, second, VOXEL, mask)
    loose = resolution_of(result.frequency, result.unmasked, 0.143).angstrom
    assert result.resolution().angstrom < 0.9 * loose
    snr = 16 * np.exp(-2 * (0.25 / 0.15) ** 2)
    shell = 16  # 0.25 cycles per voxel
    assert result.corrected[shell] == pytest.approx(snr / (1 + snr), abs=0.08)


def test_the_seed_decides_the_random_phases():
    first, second = halves(lambda k: 20 * np.exp(-k * 30), (32, 32, 32))
    mask = ball_mask((32, 32, 32), 8.0)
    same, again, other = (
        gold_standard(first, second, VOXEL, mask, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(same.corrected, again.corrected)
    assert (same.random != other.random).any()


def test_resolution_lies_between_shells():
    frequency = np.arange(6) / 100
    fsc = np.array([1, 1, 0.9, 0.243, 0.043, 0.9])
    found = resolution_of(frequency, fsc, 0.143)
    assert found.angstrom == pytest.approx(100 / 3.5)
    assert not found.at_nyquist
    assert resolution_of(frequency, np.ones(6), 0.143).at_nyquist
    assert resolution_of(frequency, np.zeros(6), 0.143).angstrom is None


def write(path, voxels, voxel=VOXEL):
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.asarray(voxels, np.float32))
        mrc.voxel_size = voxel
    return path


def test_maps_that_do_not_fit_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    one = write(tmp_path / "a.mrc", rng.normal(size=(16, 16, 16)))
    small = write(tmp_path / "b.mrc", rng.normal(size=(16, 16, 12)))
    coarse = write(tmp_path / "c.mrc", rng.normal(size=(16, 16, 16)), 2.1)
    oblong = write(tmp_path / "d.mrc", rng.normal(size=(16, 16, 16)), (2, 2, 3))
    with pytest.raises(MetricsError, match=r"b\.mrc: 12 x 16 x 16.*16 x 16 x 16"):
        open_halves(one, small)
    with pytest.raises(MetricsError, match=r"c\.mrc: voxels of 2\.1 Å"):
        open_halves(one, coarse)
    assert open_halves(one, coarse, voxel_size=2.0)[3] == 2.0
    with pytest.raises(DepError, match="differs by axis"):
        open_halves(one, oblong)
    with pytest.raises(DepError, match="no such file"):
        open_halves(one, tmp_path / "none.mrc")
    empty = write(tmp_path / "e.mrc", np.zeros((16, 16, 16)))
    with pytest.raises(MetricsError, match=r"e\.mrc: all voxels are alike"):
        open_halves(one, empty)
    with pytest.raises(MetricsError, match=r"e\.mrc: goes from 0 to 0"):
        open_halves(one, one, empty)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask": np.zeros((24, 24, 24), np.float32)}, "not all 0"),
        ({"mask": np.full((24, 24, 24), 7, np.float32)}, "from 7 to 7"),
        ({"randomise_from": 1.0}, "Nyquist, 4 Å"),
        ({"randomise_from": 1e6}, "between 48 Å"),
        ({"first": np.ones((24, 24, 24), np.float32)}, "half map 1"),
    ],
)
def test_what_makes_no_sense_is_refused(change, words):
    first, second = halves(lambda k: 20 * np.exp(-k * 30), (24, 24, 24))
    given = {"first": first, "second": second, "voxel_size": VOXEL}
    given["mask"] = ball_mask((24, 24, 24), 6.0)
    with pytest.raises(MetricsError, match=words):
        gold_standard(**{**given, **change})


def test_a_ball_that_does_not_fit_its_box_is_refused():
    for radius in (8.0, 0.0, -2.0, np.nan):
        with pytest.raises(MetricsError, match="does not fit a box of 24"):
            ball_mask((24, 24, 30), radius)


def test_maps_that_agree_too_well_are_not_randomised():
    one = np.random.default_rng(0).normal(size=(24, 24, 24)).astype(np.float32)
    result = gold_standard(one, one, VOXEL, ball_mask((24, 24, 24), 6.0))
    assert result.random is None
    assert result.randomised_from is None
    assert "the same, voxel by voxel" in result.warnings[0]
    assert "never falls below 0.8" in result.warnings[1]
    np.testing.assert_array_equal(result.corrected, result.masked)


@pytest.mark.parametrize("shape", [(24, 24, 24), (21, 24, 20)])
def test_noise_in_a_mask_scatters_as_much_as_is_said(shape):
    rng = np.random.default_rng(0)
    mask = ball_mask(shape, 4.0)
    scatter = [noise_scatter(mask, shell) for shell in range(how_many(shape))]
    curves = []
    for _ in range(200):
        one, other = (
            np.fft.rfftn(mask * rng.normal(size=shape).astype(np.float32))
            for _ in range(2)
        )
        curves.append(correlation(one, other, shape))
    measured = np.std(curves, axis=0)
    # The two maps' powers scatter too, which the first shells feel.
    np.testing.assert_allclose(measured[5:], scatter[5:], rtol=0.2)
    loose = noise_scatter(np.ones(shape, np.float32), 6)
    assert loose == pytest.approx(1 / np.sqrt(2 * coefficients(shape)[6]))


def test_noise_without_signal_is_told():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 32, 32, 32)).astype(np.float32)
    mask = np.zeros_like(first)
    mask[14:18, 14:18, 14:18] = 1
    result = gold_standard(first, second, VOXEL, mask)
    assert result.resolution().angstrom is not None  # by accident
    assert "agree in no shell" in result.warnings[0]
    assert "holds so little" in result.warnings[1]
