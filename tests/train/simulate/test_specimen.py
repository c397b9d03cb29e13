"""Bodies lie in the ice without overlap, where the truth says they are."""

import numpy as np
import pytest
from scipy import ndimage

from dep.engine.errors import SettingError
from dep.train.simulate import simulate
from dep.train.simulate.ice import Ice
from dep.train.simulate.molecule import SURFACE
from dep.train.simulate.poses import random_angles, rotation
from dep.train.simulate.specimen import GOLD, VESICLE, load_molecules, make_specimen


def specimen(
    settings, seed=0, *, gold=0, vesicles=0, crowding=0.0, occupancy=0.0, **kw
):
    chosen = settings(kw).specimen
    return make_specimen(
        chosen,
        load_molecules(chosen.molecules, chosen.voxel_size),
        particles=int(chosen.particles),
        occupancy=occupancy,
        crowding=crowding,
        vesicles=vesicles,
        gold=gold,
        generator=np.random.default_rng(seed),
    )


def test_rotations_are_uniform():
    rng = np.random.default_rng(0)
    turns = np.array([rotation(random_angles(rng)) for _ in range(4000)])
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.linalg.det(turns) == pytest.approx(1)
    # Of uniform rotations every entry has mean 0 and mean square 1/3 (4000 draws).
    assert np.abs(turns.mean(axis=0)).max() < 0.04
    assert np.abs((turns**2).mean(axis=0) - 1 / 3).max() < 0.025
    # The angle of rotation has density (1 - cos w) / pi: mean pi/2 + 2/pi.
    trace = np.trace(turns, axis1=1, axis2=2)
    angle = np.arccos(np.clip((trace - 1) / 2, -1, 1))
    assert angle.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.04)


def test_angles_are_zyz_as_scipy_writes_them():
    from scipy.spatial.transform import Rotation

    angles = np.array([20.0, 70.0, -130.0])
    expected = Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix()
    assert rotation(angles) == pytest.approx(expected)


def test_nothing_overlaps_and_everything_is_where_the_truth_says(settings):
    sample = specimen(settings, 3, gold=2, vesicles=1, particles=40, gap=20.0)
    depth, height, width = sample.ice.instances.shape
    bodies = sample.bodies
    assert len(bodies.class_id) >= 35
    for number, (kind, xyz, angles) in enumerate(
        zip(bodies.class_id, bodies.xyz, bodies.angles, strict=True), start=1
    ):
        found = np.argwhere(sample.ice.instances == number)
        if kind <= len(sample.molecules):
            middle = np.rint(xyz).astype(int)
            density = sample.molecules[kind - 1].sample(
                rotation(angles), xyz - middle, 10.0
            )
            voxels = np.argwhere(density > SURFACE) - density.shape[0] // 2
            voxels += middle[::-1]
            assert (voxels[:, 0] >= 0).all()
            assert (voxels[:, 0] < depth).all()
            voxels[:, 1] %= height
            voxels[:, 2] %= width
            # All its voxels are its own: none was taken by a later body.
            assert len(voxels) == len(found)
            assert (sample.ice.instances[tuple(voxels.T)] == number).all()
        # Nor does any come nearer than the gap, 2 voxels.
        own = sample.ice.instances == number
        near = ndimage.distance_transform_edt(~own) <= 2.0
        others = np.setdiff1d(sample.ice.instances[near], [number, 0, -1])
        assert len(others) == 0


def test_the_truth_lies_in_the_tomogram(settings):
    sample = specimen(settings, 5, particles=60)
    depth, height, width = sample.ice.instances.shape
    xyz = sample.bodies.xyz
    assert (xyz >= 0).all()
    assert (xyz <= np.array([width, height, depth]) - 1).all()


def test_particles_are_shared_equally_among_molecules(settings):
    sample = specimen(settings, 1, particles=13)
    assert not sample.missing
    counts = np.bincount(sample.bodies.class_id, minlength=5)[1:]
    assert sorted(counts[:2]) == [6, 7]
    assert counts[2:].sum() == 0


def test_vesicles_and_gold_are_there_or_not(settings):
    plain = specimen(settings, 2)
    assert not plain.ice.background.any()
    assert plain.bodies.names[-2:] == (VESICLE, GOLD)
    full = specimen(settings, 2, gold=3, vesicles=1, vesicle_radius=150.0)
    kinds = [full.bodies.names[n - 1] for n in full.bodies.class_id]
    assert kinds.count(GOLD) == 3
    assert kinds.count(VESICLE) == 1
    for kind, xyz in zip(kinds, full.bodies.xyz, strict=True):
        x, y, z = np.rint(xyz).astype(int)
        if kind == GOLD:
            assert full.ice.background[z, y, x] > 20  # V
        if kind == VESICLE:  # hollow
            assert full.ice.background[z, y, x] < 0.1
    assert full.ice.background.max() < 30


def test_a_bead_between_the_voxels_centres_is_somewhere(settings):
    sample = specimen(settings, gold=20, particles=0, gold_diameter=5.0)
    assert len(sample.bodies.xyz) == 20
    middle = np.rint(sample.bodies.xyz).astype(int)
    marked = sample.ice.instances[middle[:, 2], middle[:, 1], middle[:, 0]]
    assert marked.tolist() == list(range(1, 21))


def test_a_vesicle_is_two_leaflets_38_angstrom_apart():
    from dep.train.simulate.membranes import vesicle

    rng = np.random.default_rng(0)
    body = vesicle(120.0, np.eye(3), np.zeros(3), 4.0, rng)
    half = body.potential.shape[0] // 2
    line = body.potential[half, half, half:]
    peaks = [i for i in range(1, len(line) - 1) if line[i - 1] < line[i] >= line[i + 1]]
    assert len(peaks) == 2
    assert (peaks[1] - peaks[0]) * 4.0 == pytest.approx(38, abs=4)
    assert 0.8 * 120 < np.mean(peaks) * 4.0 < 120


def test_bodies_that_find_no_room_are_counted(settings):
    sample = specimen(settings, 1, particles=60, size=(32, 32, 24))
    placed = len(sample.bodies.class_id)
    assert 2 < placed < 60
    assert placed + sum(sample.missing.values()) == 60


def test_occupancy_is_reached(settings):
    sample = specimen(settings, 1, occupancy=0.04)
    size = sample.ice.instances.size
    filled = (sample.ice.instances > 0).sum() / size
    largest = max(one.volume for one in sample.molecules) / 1000 / size
    assert 0.035 < filled < 0.045 + largest
    full = specimen(settings, 1, occupancy=0.6, size=(32, 32, 24)).ice.instances
    assert 0.1 < (full > 0).mean() < 0.6  # ends where the ice is full


def test_crowding_fills_the_share_asked_for_outside_of_bodies(settings):
    shape = (48, 80, 72)
    ice = Ice(shape, 1.0)
    ice.crowd(0.1, 4.0, 3.0, np.random.default_rng(0))
    assert ice.background.mean() == pytest.approx(0.1 * 3.0, rel=0.03)
    sample = specimen(settings, 1, crowding=0.1)
    inside = sample.ice.instances > 0
    core = ndimage.binary_erosion(inside, iterations=2)
    assert sample.ice.background[core].mean() < 0.05
    assert sample.ice.background[sample.ice.instances == 0].mean() > 0.2


def test_the_potential_inside_is_the_one_asked_for(settings):
    sample = specimen(settings, 1, molecules=("globule:150",), particles=3, potential=2)
    for x, y, z in np.rint(sample.bodies.xyz).astype(int):
        assert sample.ice.particles[z, y, x] == pytest.approx(2.0, rel=0.02)


def test_a_molecule_wider_than_the_tomogram_is_named(settings):
    with pytest.raises(SettingError, match=r"globule:400: reaches .* enlarge"):
        simulate(settings({"molecules": ("globule:400",), "size": (32, 64, 64)}))


def test_no_particles_is_a_specimen_too(settings):
    sample = specimen(settings, 0, particles=0)
    assert sample.bodies.xyz.shape == (0, 3)
    assert not sample.ice.particles.any()
