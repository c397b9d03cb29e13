"""MP-NMS: the C core, the reference and the definition give the same candidates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.kernels import halo, mp_nms
from dep.kernels.candidates import smallest_sum
from dep.kernels.reference import trinomial

TWINS = ("c", "reference")


@st.composite
def volumes(draw, longest=6, classes=4):
    """Label volumes from empty to full, thin and flat ones among them."""
    shape = draw(st.tuples(*[st.integers(0, longest)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]))
    names = draw(
        st.lists(st.integers(1, 255), min_size=1, max_size=classes, unique=True)
    )
    labels = rng.choice(np.array(names, np.uint8), size=shape)
    labels[rng.random(shape) >= density] = 0
    return labels


def probabilities(rng, shape, kind):
    if kind == "none":
        return None
    if kind == "zero":
        return np.zeros(shape, np.uint8)
    if kind == "bytes":
        return rng.integers(0, 256, shape).astype(np.uint8)
    return rng.random(shape, dtype=np.float32)


@settings(max_examples=120, deadline=None)
@given(
    labels=volumes(),
    n=st.integers(1, 13),
    t_lm=st.sampled_from([1e-300, 1e-6, 0.01, 0.1, 0.3, 0.9, 1.0]),
    kind=st.sampled_from(["none", "zero", "bytes", "float"]),
    joint=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_twins_follow_the_definition(brute_force, labels, n, t_lm, kind, joint, seed):
    probability = probabilities(np.random.default_rng(seed), labels.shape, kind)
    expected = brute_force.find(labels, n, t_lm, probability, joint=joint)
    for twin in TWINS:
        found = mp_nms(labels, n, t_lm, probability, joint=joint, backend=twin)
        brute_force.same(found, expected)


@settings(max_examples=40, deadline=None)
@given(
    labels=volumes(longest=6),
    iterations=st.lists(st.integers(1, 13), min_size=255, max_size=255),
)
def test_each_class_is_pooled_as_often_as_it_asks(brute_force, labels, iterations):
    expected = brute_force.find(labels, iterations, 1e-9)
    for twin in TWINS:
        brute_force.same(mp_nms(labels, iterations, 1e-9, backend=twin), expected)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 100)] * 3),
    n=st.integers(1, 13),
    density=st.sampled_from([0.0005, 0.01, 0.5]),
    names=st.lists(
        st.integers(1, 255) | st.just(128), min_size=1, max_size=3, unique=True
    ),
    joint=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_twins_agree_beyond_one_brick(
    brute_force, shape, n, density, names, joint, seed
):
    # The C core works in bricks of 32 x 32 x 64 voxels: candidates meet at their seams.
    rng = np.random.default_rng(seed)
    shape = tuple(s if np.prod(shape) < 60_000 else s // 3 + 1 for s in shape)
    labels = rng.choice(np.array(names, np.uint8), size=shape)
    labels[rng.random(shape) >= density] = 0
    probability = rng.integers(0, 256, shape).astype(np.uint8)
    t_lm = 0.4 if density > 0.1 else 1e-6
    arguments = (labels, n, t_lm, probability)
    expected = mp_nms(*arguments, joint=joint, backend="reference")
    brute_force.same(mp_nms(*arguments, joint=joint, backend="c"), expected)


@pytest.mark.parametrize("joint", [False, True])
def test_every_label_is_seen_in_a_wide_row(brute_force, joint):
    # The C core compares eight labels at a time; no bit of any of them may be lost.
    for label in range(1, 256):
        labels = np.zeros((3, 3, 40), np.uint8)
        labels[1, 1, label % 32] = label
        labels[1, 1, 37] = label
        found = mp_nms(labels, 2, 1e-6, joint=joint, backend="c")
        expected = mp_nms(labels, 2, 1e-6, joint=joint, backend="reference")
        assert set(expected.class_id.tolist()) == {label}
        brute_force.same(found, expected)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("n", [1, 3, 4, 6, 7, 13])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 70), (40, 1, 5), (3, 33, 65)])
def test_a_plateau_yields_one_candidate(twin, n, shape):
    # Up to the volume full of one label; equal sums touch, and the first voxel wins.
    full = np.ones(shape, np.uint8)
    found = mp_nms(full, n, 1e-9, backend=twin)
    assert len(found) == 1
    assert found.value[0] <= 1


@pytest.mark.parametrize("twin", TWINS)
def test_the_largest_sum_is_exact(twin):
    # In the middle of a full cube S = 27^13, the largest that occurs.
    full = np.full((27, 27, 27), 255, np.uint8)
    found = mp_nms(full, 13, 1.0, backend=twin)
    assert found.value.tolist() == [1.0]
    assert found.voxel.tolist() == [[13, 13, 13]]
    assert found.class_id.tolist() == [255]


@pytest.mark.parametrize("twin", TWINS)
def test_the_centre_of_a_hollow_mask_counts(twin, ball, place):
    labels = np.zeros((15, 15, 15), np.uint8)
    place(labels, ball(5), (7, 7, 7), 3)
    place(labels, ball(2), (7, 7, 7), 0)
    found = mp_nms(labels, 5, 0.1, backend=twin)
    assert found.voxel.tolist() == [[7, 7, 7]]
    assert labels[7, 7, 7] == 0


@pytest.mark.parametrize("twin", TWINS)
def test_a_voxel_may_be_the_centre_of_two_classes(twin):
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[2, 2, [1, 3]] = 9
    labels[2, [1, 3], 2] = 4
    found = mp_nms(labels, 3, 1e-3, backend=twin)
    at_centre = (found.voxel == 2).all(axis=1)
    assert found.class_id[at_centre].tolist() == [4, 9]


@pytest.mark.parametrize("twin", TWINS)
def test_votes_decide_the_class_of_a_joint_candidate(twin):
    labels = np.zeros((7, 7, 7), np.uint8)
    labels[2:5, 2:5, 2:5] = 8
    labels[2:5, 2:5, 2] = 5
    probability = np.full(labels.shape, 10, np.uint8)
    found = mp_nms(labels, 3, 0.05, probability, joint=True, backend=twin)
    assert found.class_id.tolist() == [8]
    probability[labels == 5] = 255
    found = mp_nms(labels, 3, 0.05, probability, joint=True, backend=twin)
    assert found.class_id.tolist() == [5]


@pytest.mark.parametrize("twin", TWINS)
def test_the_smaller_class_wins_a_tie_of_votes(twin):
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[1, 1, 0], labels[1, 1, 2] = 9, 7
    for probability in (None, np.zeros(labels.shape, np.uint8)):
        found = mp_nms(labels, 3, 1e-6, probability, joint=True, backend=twin)
        middle = (found.voxel == 1).all(axis=1)
        assert found.class_id[middle].tolist() == [7]


@pytest.mark.parametrize("twin", TWINS)
def test_float_probabilities_count_as_their_bytes(twin, brute_force):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, (9, 9, 9)).astype(np.uint8)
    as_bytes = rng.integers(0, 256, labels.shape).astype(np.uint8)
    as_floats = as_bytes.astype(np.float32) / np.float32(255)
    whole = mp_nms(labels, 2, 0.2, as_bytes, backend=twin)
    brute_force.same(mp_nms(labels, 2, 0.2, as_floats, backend=twin), whole)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("value", [0, 51, 255])
def test_the_score_of_constant_probability_is_that_probability(
    twin, value, ball, place
):
    labels = np.zeros((15, 15, 15), np.uint8)
    place(labels, ball(4), (7, 7, 7), 2)
    probability = np.full(labels.shape, value, np.uint8)
    found = mp_nms(labels, 4, 0.1, probability, backend=twin)
    assert found.score.tolist() == [np.float32(value / 255)]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("n", [1, 3, 6, 13])
def test_refinement_finds_a_centre_between_voxels(twin, n):
    # A box of even edge is centred between voxels; the centroid leans the right way.
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[4:8, 4:7, 4:7] = 1
    refined = mp_nms(labels, n, 1e-6, backend=twin)
    plain = mp_nms(labels, n, 1e-6, backend=twin, refine=False)
    assert plain.xyz.tolist() == plain.voxel.tolist() == [[5, 5, 5]]
    x, y, z = refined.xyz[0]
    assert x == y == 5
    assert 5 < z <= 5.5


@pytest.mark.parametrize("twin", TWINS)
def test_turning_the_volume_turns_the_candidates(twin, ball, place):
    # No axis is special: blobs without ties give the same centres in any axis order.
    rng = np.random.default_rng(8)
    labels = np.zeros((18, 22, 26), np.uint8)
    for centre in ((4, 5, 6), (12, 15, 8), (10, 6, 20)):
        place(labels, ball(4) & (rng.random((9, 9, 9)) < 0.8), centre, 1)
    straight = mp_nms(labels, 4, 0.1, backend=twin)
    turned = mp_nms(labels.transpose(2, 0, 1), 4, 0.1, backend=twin)
    expected = {tuple(v) for v in straight.voxel[:, [1, 2, 0]].tolist()}
    assert {tuple(v) for v in turned.voxel.tolist()} == expected


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 0, 4), (4, 4, 0), (0, 0, 0)])
def test_an_empty_volume_holds_nothing(twin, shape):
    found = mp_nms(np.zeros(shape, np.uint8), 3, 0.1, backend=twin)
    assert len(found) == 0
    assert found.xyz.shape == found.voxel.shape == (0, 3)


@pytest.mark.parametrize("twin", TWINS)
def test_views_and_read_only_maps_are_read_as_they_are(twin, brute_force):
    rng = np.random.default_rng(5)
    big = (rng.random((20, 24, 28)) < 0.1).astype(np.uint8)
    for view in (big[3:17, 2:20, 5:25], big[::-1, ::-2], big[..., ::3], big.T):
        expected = mp_nms(view.copy(), 2, 0.05, backend=twin)
        view.flags.writeable = False
        brute_force.same(mp_nms(view, 2, 0.05, backend=twin), expected)


@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 13), t_lm=st.floats(1e-300, 1.0))
def test_the_threshold_is_the_first_sum_that_reaches_it(n, t_lm):
    s = smallest_sum(n, t_lm)
    assert s / 27**n >= t_lm
    assert s == 1 or (s - 1) / 27**n < t_lm


@pytest.mark.parametrize("n", range(1, 14))
def test_weights_are_trinomial(brute_force, n):
    weights = trinomial(n)
    assert weights == [brute_force.weight(n, d) for d in range(-n, n + 1)]
    assert sum(weights) == 3**n


def test_halo_covers_the_widest_class():
    assert halo(3) == 4
    assert halo([2, 6, 4]) == 7
