"""What the published picker loses, and ours must not.

Where the loss is a wrong result, a test first shows it on a small model of the
published behaviour, written from its description, then that our kernels keep the
particle. Where it is time (the cost of deduplication) or a crash (thin volumes), there
is no model: the test only shows that ours is free of it.
"""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from dep.kernels import deduplicate, mp_nms

TWINS = ("c", "reference")


# --- small models of the published behaviour ---------------------------------


def published_maxima(mask, times, t_lm=0.1, kernel=5):
    """Mean-pool, then take every voxel that equals the maximum around it."""
    pooled = mask.astype(float)
    for _ in range(times):
        pooled = ndimage.uniform_filter(pooled, kernel, mode="constant")
    highest = ndimage.maximum_filter(pooled, kernel, mode="constant")
    return np.argwhere((pooled == highest) & (pooled > t_lm))


def published_times(diameters):
    """One count for all classes, from the largest."""
    return int(max(diameters) / 4 + 1)


def published_deduplication(points, score, t_dist):
    """Walk the pairs; of each pair too near, the one that is not better goes.

    Models two facts about the published picker, not its code: three or more equal
    candidates within t_dist delete each other while two leave one, and the result
    depends on their order. Both follow when a pair still counts after one of the two
    went: of equals, the other goes then.
    """
    alive = set(range(len(points)))
    for i, j in itertools.combinations(range(len(points)), 2):
        if np.linalg.norm(points[i] - points[j]) >= t_dist:
            continue
        if score[i] == score[j]:
            alive.discard(i if i in alive else j)
        elif i in alive and j in alive:
            alive.discard(i if score[i] < score[j] else j)
    return sorted(alive)


def published_tiles(labels, edge, pad, times):
    """Maxima of each tile apart; its core is closed on both sides."""
    found = []
    depth = len(labels)
    for start in range(-pad, depth - pad, edge - 2 * pad):
        tile = np.zeros((edge, *labels.shape[1:]), bool)
        low, high = max(start, 0), min(start + edge, depth)
        tile[low - start : high - start] = labels[low:high] > 0
        for z, y, x in published_maxima(tile, times):
            if pad <= z <= edge - pad:
                found.append((z + start, y, x))
    return found


# --- 1: equals delete each other ---------------------------------------------


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("many", [2, 3, 4, 8])
def test_equal_candidates_leave_one(twin, many):
    points = np.full((many, 3), 10.0)
    points[:, 0] += np.arange(many) / 4
    left = published_deduplication(points, [0.5] * many, 4)
    assert len(left) == (1 if many == 2 else 0)
    assert deduplicate(points, [0.5] * many, 4, backend=twin).tolist() == [0]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("extent", [(1, 1, 2), (2, 2, 2), (7, 30, 40)])
def test_a_plateau_is_one_particle(twin, extent):
    # From two equal voxels to a slab: the pooled mask is level at its top.
    labels = np.zeros((13, 40, 50), np.uint8)
    labels[tuple(slice(3, 3 + e) for e in extent)] = 1
    assert len(published_maxima(labels > 0, 1, t_lm=1e-9, kernel=3)) != 1
    found = mp_nms(labels, 3, 1e-6, backend=twin)
    kept = deduplicate(found.xyz, found.score, 4, backend=twin)
    assert len(kept) == 1


@pytest.mark.parametrize("twin", TWINS)
def test_a_volume_full_of_one_label_is_one_candidate(twin):
    full = np.ones((20, 24, 28), np.uint8)
    assert len(published_maxima(full > 0, 1)) > 1000
    assert len(mp_nms(full, 2, 0.1, backend=twin)) == 1


# --- 2: seams ----------------------------------------------------------------


@pytest.mark.parametrize("twin", TWINS)
def test_a_particle_on_a_seam_is_found_once(twin, ball, place):
    labels = np.zeros((60, 20, 20), np.uint8)
    seam = 20
    place(labels, ball(4), (seam, 10, 10), 1)
    twice = published_tiles(labels, edge=32, pad=6, times=1)
    assert len([p for p in twice if abs(p[0] - seam) < 3]) >= 2
    found = [
        v
        for z0 in range(0, 60, seam)
        for low, high in [(max(z0 - 5, 0), min(z0 + seam + 5, 60))]
        for v in mp_nms(
            labels[low:high],
            4,
            0.1,
            core=(z0 - low, z0 + seam - low),
            z_origin=low,
            backend=twin,
        ).voxel.tolist()
    ]
    assert found == [[10, 10, seam]]


# --- 3: order and cost of deduplication --------------------------------------


def test_all_orders_of_a_cluster_give_one_result():
    rng = np.random.default_rng(0)
    model, ours = set(), set()
    points = rng.integers(0, 6, (6, 3)).astype(float)
    score = rng.choice([0.5, 0.75], 6)
    for order in itertools.permutations(range(6)):
        index = list(order)
        old = published_deduplication(points[index], score[index], 3)
        model.add(frozenset(index[i] for i in old))
        for twin in TWINS:
            new = deduplicate(points[index], score[index], 3, backend=twin)
            ours.add(tuple(index[i] for i in new))
    assert len(model) > 1
    assert len(ours) == 1


def test_work_is_linear_in_the_number_of_candidates():
    # Seven hundred thousand candidates end within the suite's patience; their pairs,
    # 2e11, would not. The volume grows with n, so that most are kept.
    rng = np.random.default_rng(0)
    n = 700_000
    xyz = rng.random((n, 3), dtype=np.float32) * np.float32(700)
    kept = deduplicate(xyz, rng.random(n, dtype=np.float32), 4.0)
    assert n / 4 < len(kept) < n


# --- 4: the pooling count of the largest class -------------------------------


@pytest.mark.parametrize("twin", TWINS)
def test_a_small_class_is_found_beside_a_wide_one(twin, ball, place):
    labels = np.zeros((50, 50, 90), np.uint8)
    place(labels, ball(15.6), (25, 25, 20), 1)  # 31 voxels wide
    place(labels, ball(3.1), (25, 25, 70), 2)  # radius 3
    times = published_times([31, 7])
    assert published_maxima(labels == 2, times).tolist() == []
    assert len(published_maxima(labels == 2, published_times([7]))) > 0
    found = mp_nms(labels, [13, 3], 0.1, backend=twin)
    assert found.voxel.tolist() == [[20, 25, 25], [70, 25, 25]]
    assert found.class_id.tolist() == [1, 2]


@pytest.mark.parametrize("twin", TWINS)
def test_two_classes_three_voxels_apart_are_two_particles(twin):
    labels = np.zeros((15, 15, 15), np.uint8)
    labels[6:9, 6:9, 5:8] = 1
    labels[6:9, 6:9, 8:11] = 2
    points = np.array([[6, 7, 7], [9, 7, 7]], float)
    assert published_deduplication(points, [0.3, 0.3], 4) == [1]  # across classes only
    found = mp_nms(labels, 3, 0.05, backend=twin)
    assert found.voxel.tolist() == [[6, 7, 7], [9, 7, 7]]
    apart = deduplicate(found.xyz, found.score, 4, found.class_id, backend=twin)
    assert sorted(found.class_id[apart].tolist()) == [1, 2]


# --- 6: thin volumes ---------------------------------------------------------


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("depth", [1, 2, 3, 7])
def test_a_thin_volume_is_picked_as_any_other(twin, depth, ball, place):
    edge, pad = 72, 12
    assert depth < edge - 2 * pad  # the published tiling has no tile for it
    labels = np.zeros((depth, 30, 30), np.uint8)
    place(labels, ball(4), (depth // 2, 12, 17), 1)
    found = mp_nms(labels, 4, 0.01, backend=twin)
    assert found.voxel[:, :2].tolist() == [[17, 12]]


# --- 7: truncation to integers -----------------------------------------------


@pytest.mark.parametrize("twin", TWINS)
def test_coordinates_keep_what_lies_between_voxels(twin):
    # A box centred between voxels along each axis: truncation errs to one side.
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[10:16, 20:26, 5:11] = 1  # centre 12.5, 22.5, 7.5
    found = mp_nms(labels, 4, 0.05, backend=twin)
    centre = np.array([7.5, 22.5, 12.5])
    assert len(found) == 1
    assert np.abs(found.xyz[0] - centre).max() < np.abs(np.trunc(centre) - centre).max()
    assert found.xyz.dtype == np.float32
    assert (found.xyz != found.voxel).any()
