"""Molecules keep their size, mass and centre at any voxel size."""

import mrcfile
import numpy as np
import pytest

from dep.engine.errors import SettingError
from dep.train.simulate import from_map, load_molecules, shape
from dep.train.simulate.molecule import from_density, resample
from dep.train.simulate.poses import random_angles, rotation
from dep.train.simulate.shapes import FAMILIES

STILL = np.eye(3), np.zeros(3)


def write(path, density, voxel):
    with mrcfile.new(path) as mrc:
        mrc.set_data(density.astype(np.float32))
        mrc.voxel_size = voxel
    return path


def ball(n, centre, radius, voxel, soft=1.0):
    z, y, x = np.indices((n, n, n)) * voxel
    away = np.sqrt(sum((a - c) ** 2 for a, c in zip((x, y, z), centre, strict=True)))
    return 1 / (1 + np.exp((away - radius) / (soft * voxel)))


@pytest.mark.parametrize("voxel", [4.0, 10.0])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_built_in_molecule_has_the_diameter_in_its_name(family, voxel):
    molecule = shape(f"{family}:160", voxel)
    density = molecule.sample(*STILL, voxel / 2)
    half = density.shape[0] // 2
    inside = np.argwhere(density > 0.5) - half
    farthest = np.linalg.norm(inside, axis=1).max() * voxel / 2
    assert farthest == pytest.approx(80, abs=0.9 * voxel)
    assert molecule.diameter == 160
    assert 0.9 < density.max() < 1.15


def test_variants_of_a_cluster_differ():
    one, two = (shape(f"cluster:120:{n}", 10.0) for n in (1, 2))
    assert one.name == "cluster120-1" != two.name
    if one.coefficients.shape == two.coefficients.shape:
        assert not np.allclose(one.coefficients, two.coefficients, atol=0.1)


@pytest.mark.parametrize(
    "name", ["ring", "ring:", "ring:x", "ring:5", "ring:100:2", "torus:100"]
)
def test_what_is_no_molecule_is_refused_by_name(name):
    with pytest.raises(SettingError, match=name):
        load_molecules([name], 10.0)


@pytest.mark.parametrize("own", [3.0, 5.0, 10.0, 14.0])
def test_maps_of_any_voxel_size_give_the_same_molecule(tmp_path, own):
    n = int(260 / own)
    density = 37.0 * ball(n, (130, 118, 124), 60, own, soft=max(0.3, 3 / own))
    molecule = from_map(write(tmp_path / "a.mrc", density, own), 10.0)
    assert molecule.name == "a"
    assert molecule.diameter == pytest.approx(120, rel=0.06)
    sampled = molecule.sample(*STILL, 10.0)
    mass = sampled.sum() * 10.0**3
    assert mass == pytest.approx(4 / 3 * np.pi * 60**3, rel=0.06)
    # The origin is the centre of mass, and is known in the map's box.
    place = np.array(molecule.box_offset) + n // 2 * own
    assert place == pytest.approx([130, 118, 124], abs=0.1 * own)


def test_what_a_coarser_grid_cannot_hold_is_removed():
    """Stripes finer than the new Nyquist frequency do not come back as coarse ones."""
    z, _, _ = np.indices((64, 64, 64))
    stripes = np.cos(2 * np.pi * z * 0.375).astype(np.float32)  # of 2.5 Å voxels
    coarse, grid = resample(stripes, 2.5, 10.0)
    assert grid == 5.0
    assert np.abs(coarse[4:-4, 4:-4, 4:-4]).max() < 0.02
    slow = np.cos(2 * np.pi * z * 0.0625).astype(np.float32)
    kept, _ = resample(slow, 2.5, 10.0)
    assert np.abs(kept[4:-4, 4:-4, 4:-4]).max() > 0.97


def test_a_pose_turns_the_molecule_about_its_centre_and_moves_it():
    molecule = shape("cluster:150", 10.0)
    angles = random_angles(np.random.default_rng(1))
    offset = np.array([0.3, -0.4, 0.2])
    still = molecule.sample(*STILL, 10.0).astype(float)
    posed = molecule.sample(rotation(angles), offset, 10.0).astype(float)
    axis = np.arange(still.shape[0]) - still.shape[0] // 2

    def centre(volume):
        z, y, x = (
            (volume.sum(axis=tuple(a for a in range(3) if a != b)) * axis).sum()
            for b in range(3)
        )
        return np.array([x, y, z]) / volume.sum()

    expected = rotation(angles) @ centre(still) + offset
    assert centre(posed) == pytest.approx(expected, abs=0.03)
    assert posed.sum() == pytest.approx(still.sum(), rel=0.01)


def test_a_map_with_a_background_is_refused(tmp_path):
    density = 1.0 + ball(24, (120, 120, 120), 50, 10.0)
    with pytest.raises(SettingError, match=r"faces of the map's box.*Mask"):
        from_map(write(tmp_path / "b.mrc", density, 10.0), 10.0)


def test_a_map_without_density_or_voxel_size_is_refused(tmp_path):
    density = -ball(24, (120, 120, 120), 50, 10.0)
    with pytest.raises(SettingError, match="no positive density"):
        from_map(write(tmp_path / "dark.mrc", density, 10.0), 10.0)
    with pytest.raises(SettingError, match="no voxel size"):
        from_map(write(tmp_path / "bare.mrc", -density, 0.0), 10.0)


def test_a_folder_stands_for_its_maps(tmp_path):
    for name in ("b", "a"):
        write(tmp_path / f"{name}.mrc", ball(24, (120, 120, 120), 50, 10.0), 10.0)
    names = [one.name for one in load_molecules([str(tmp_path), "ring:100"], 10.0)]
    assert names == ["a", "b", "ring100"]
    with pytest.raises(SettingError, match="'a' is taken"):
        load_molecules([str(tmp_path), str(tmp_path / "a.mrc")], 10.0)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(SettingError, match="no density map"):
        load_molecules([str(tmp_path)], 10.0)


def test_the_diameter_of_a_ball_follows_from_its_radius_of_gyration():
    density = ball(40, (200, 200, 200), 80, 10.0, soft=0.2).astype(np.float32)
    molecule = from_density(density, 10.0, name="ball", source="test")
    assert molecule.diameter == pytest.approx(160, rel=0.02)


def test_shared_templates_open(shared_data):
    names = [str(shared_data / "templates" / f"{n}.mrc") for n in ("1bxn", "5mrc")]
    small, large = load_molecules(names, 10.0)
    assert (small.name, large.name) == ("1bxn", "5mrc")
    assert 80 < small.diameter < 150 < 200 < large.diameter < 300
