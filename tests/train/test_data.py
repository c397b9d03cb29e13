"""Patches show what the tomogram shows, wherever they are cut."""

import numpy as np
import pytest

from dep.train.config import load_config
from dep.train.data import PatchSampler, _cut
from dep.train.intake import load_data


@pytest.fixture
def tomograms(run_files):
    config = load_config(run_files.config)
    return load_data(config).train


def test_a_crop_is_the_normalised_tomogram_and_zero_beyond_it(tomograms):
    (tomogram,) = tomograms
    image = np.zeros((16, 16, 16), np.float32)
    labels = np.zeros((16, 16, 16), np.uint8)
    _cut(tomogram, np.array([-4, 26, 3]), image, labels)
    expected = (tomogram.voxels[:12, 26:, 3:19] - tomogram.mean) / tomogram.std
    np.testing.assert_allclose(image[4:, :10, :], expected, rtol=1e-5, atol=1e-6)
    assert (labels[4:, :10, :] == tomogram.labels[:12, 26:, 3:19]).all()
    assert not image[:4].any()
    assert not image[:, 10:].any()


def test_tomograms_are_mapped_not_copied(tomograms):
    voxels = tomograms[0].voxels
    assert voxels.dtype == np.int8
    while voxels.base is not None and not isinstance(voxels, np.memmap):
        voxels = voxels.base
    assert isinstance(voxels, np.memmap)


def test_batches_depend_on_seed_and_step_alone(tomograms):
    sampler = PatchSampler(tomograms, 20, 16, 3, 0.2, 4, 7)
    a, b = sampler(5), sampler(5)
    assert all((p == q).all() for p, q in zip(a, b, strict=True))
    assert (sampler(6)[0] != a[0]).any()
    assert (PatchSampler(tomograms, 20, 16, 3, 0.2, 4, 8)(5)[0] != a[0]).any()


def test_patches_hold_particles(tomograms):
    sampler = PatchSampler(tomograms, 16, 16, 4, 0.0, 4, 1)
    assert all(sampler(step)[1].any(axis=(1, 2, 3)).all() for step in range(20))


def test_classes_that_are_not_configured_are_left_out(tomograms):
    assert np.bincount(tomograms[0].class_id).tolist() == [0, 5, 5, 5]
