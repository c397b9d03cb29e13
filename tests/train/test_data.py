"""Patches show what the tomogram shows, wherever they are cut."""

import mrcfile
import numpy as np
import pytest

from dep.train.config import ConfigError, load_config
from dep.train.data import PatchSampler, _cut, load_tomograms


@pytest.fixture
def tomograms(run_files):
    config = load_config(run_files.config)
    return load_tomograms(config.data.train, config)


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


def test_malformed_coordinates_name_file_and_line(run_files):
    (run_files.folder / "tomo.csv").write_text("class,x,y,z\na,1,2,three\n")
    config = load_config(run_files.config)
    with pytest.raises(ConfigError, match=r"tomo\.csv.*line 2.*three"):
        load_tomograms(config.data.train, config)


def test_every_wrong_source_is_listed(run_files):
    (run_files.folder / "tomo.csv").write_text("class,x,y,z\na,1,2,300\n")
    config = load_config(run_files.config)
    config = config.model_copy(update={"voxel_size": 12.0})
    with pytest.raises(ConfigError, match=r"voxel size 10 Å.*says 12 Å"):
        load_tomograms(config.data.train, config)
    config = load_config(run_files.config)
    with pytest.raises(ConfigError, match="outside the tomogram"):
        load_tomograms(config.data.train, config)
    (run_files.folder / "tomo.csv").write_text("class,x,y,z\na,1,2,3\n")
    with pytest.raises(ConfigError, match=r"(?s)class bead: no particle.*class b:"):
        load_tomograms(config.data.train, config)


def test_a_header_without_voxel_size_takes_the_configurations(run_files):
    with mrcfile.open(run_files.folder / "tomo.mrc", mode="r+") as mrc:
        mrc.voxel_size = 0
    config = load_config(run_files.config)
    (tomogram,) = load_tomograms(config.data.train, config)
    assert tomogram.xyz.shape == (15, 3)
