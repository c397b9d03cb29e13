"""MP-NMS on a CUDA device, or under the shim, equals the reference to the last bit."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dep.kernels import mp_nms
from dep.kernels.cuda.nms import trinomials
from dep.kernels.reference import trinomial

pytestmark = pytest.mark.usefixtures("device")

few = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def clean(device):
    yield
    if hasattr(device, "forget"):
        device.forget()


def both(labels, iterations, t_lm, probability=None, other="c", **options):
    return (
        mp_nms(labels, iterations, t_lm, probability, backend="cuda", **options),
        mp_nms(labels, iterations, t_lm, probability, backend=other, **options),
    )


@st.composite
def volumes(draw, most=(20, 15, 70)):
    """Blobs and dust, larger than a brick along any axis or smaller than a cell."""
    shape = tuple(draw(st.integers(1, top)) for top in most)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.sampled_from([1, 2, 5, 255]))
    filled = draw(st.sampled_from([0.001, 0.02, 0.3, 1.0]))
    labels = (rng.random(shape) < filled) * rng.integers(1, classes + 1, shape)
    if draw(st.booleans()):  # solid bodies: long runs, equal sums, ties
        edge = draw(st.integers(1, 7))
        coarse = [np.arange(n) // edge for n in shape]
        labels = labels[np.ix_(*coarse)]
    return labels.astype(np.uint8), rng


@few
@given(data=st.data(), volume=volumes())
def test_it_equals_the_reference(brute_force, data, volume):
    labels, rng = volume
    joint = data.draw(st.booleans())
    n = data.draw(st.sampled_from([1, 2, 3, 6, 7, 13]))
    iterations = n
    if not joint and labels.max() <= 5 and data.draw(st.booleans()):
        iterations = [data.draw(st.integers(1, 13)) for _ in range(5)]
    probability = data.draw(
        st.sampled_from(
            [
                None,
                rng.integers(0, 256, labels.shape).astype(np.uint8),
                rng.random(labels.shape).astype(np.float32),
                np.zeros(labels.shape, np.uint8),
            ]
        )
    )
    z0 = data.draw(st.integers(0, labels.shape[0]))
    z1 = data.draw(st.integers(z0, labels.shape[0]))
    options = {
        "joint": joint,
        "refine": data.draw(st.booleans()),
        "core": data.draw(st.sampled_from([None, (z0, z1)])),
        "z_origin": data.draw(st.sampled_from([0, -7, 2**31 - 200])),
    }
    t_lm = data.draw(st.sampled_from([1e-12, 0.01, 0.3, 1.0]))
    other = "reference" if labels.size < 3000 else "c"
    brute_force.same(*both(labels, iterations, t_lm, probability, other, **options))


@pytest.mark.parametrize("n", [1, 6, 7, 13])
@pytest.mark.parametrize("joint", [True, False])
def test_a_full_volume_reaches_the_largest_sums(brute_force, n, joint):
    """Wider than 2 n + 1 on all sides, S is 27^n: the type must hold it."""
    labels = np.full((2 * n + 3, 2 * n + 4, 2 * n + 5), 3, np.uint8)
    probability = np.full(labels.shape, 255, np.uint8)
    found, expected = both(labels, n, 0.5, probability, joint=joint)
    brute_force.same(found, expected)
    assert found.value.max() == 1.0
    assert found.score.max() == 1.0


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 0, 4), (4, 4, 0)])
def test_no_voxels_no_candidates(shape):
    assert len(mp_nms(np.zeros(shape, np.uint8), 3, 0.1, backend="cuda")) == 0


def test_a_class_that_is_not_listed_is_an_error_wherever_it_is():
    labels = np.zeros((20, 9, 9), np.uint8)
    labels[0, 0, 0], labels[19, 8, 8], labels[10, 4, 4] = 1, 3, 4
    for core in (None, (5, 6), (5, 5)):
        with pytest.raises(ValueError, match=r"hold class 3, but .* list only 2"):
            mp_nms(labels, [2, 2], 0.1, core=core, backend="cuda")


def test_more_candidates_than_there_is_room_for(brute_force, monkeypatch):
    monkeypatch.setattr("dep.kernels.cuda.nms.ROOM", 2)
    labels = np.zeros((18, 18, 18), np.uint8)
    labels[1::4, 1::4, 1::4] = 1
    found, expected = both(labels, 1, 0.01)
    assert len(found) == 5**3
    brute_force.same(found, expected)


@few
@given(seed=st.integers(0, 2**32 - 1), joint=st.booleans())
@example(seed=4, joint=True)
def test_rivals_just_beyond_the_core_count(brute_force, seed, joint):
    """Their sums reach one voxel further than those of the core itself."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(10, 30)), *rng.integers(1, 24, 2))
    labels = (rng.random(shape) < rng.choice([0.05, 0.3])) * rng.integers(1, 3, shape)
    begin = int(rng.integers(0, shape[0] - 3))
    core = begin, begin + int(rng.integers(1, 4))
    n = int(rng.integers(1, 5))
    options = {"joint": joint, "core": core}
    brute_force.same(*both(labels.astype(np.uint8), n, 0.01, **options))


def test_slabs_give_what_the_whole_gives(brute_force):
    rng = np.random.default_rng(2)
    labels = (rng.random((30, 12, 40)) < 0.02).astype(np.uint8) * 2
    whole = mp_nms(labels, 3, 0.01, backend="cuda")
    parts = []
    for z0 in range(0, 30, 7):
        z1 = min(z0 + 7, 30)
        low, high = max(z0 - 4, 0), min(z1 + 4, 30)
        parts.append(
            mp_nms(
                labels[low:high],
                3,
                0.01,
                core=(z0 - low, z1 - low),
                z_origin=low,
                backend="cuda",
            )
        )
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in vars(whole)
    }
    brute_force.same(whole, joined)


@few
@example(seed=0)
@given(seed=st.integers(0, 2**32 - 1))
def test_votes_and_scores_need_more_than_64_bits(brute_force, seed):
    """At n = 13 a sum of weight times byte goes beyond 2^64."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 3, (9, 9, 9)).astype(np.uint8)
    probability = rng.integers(250, 256, labels.shape).astype(np.uint8)
    brute_force.same(*both(labels, 13, 1e-9, probability, joint=True))


def test_the_table_of_weights_is_the_reference_s():
    table = trinomials()
    for n in range(14):
        assert trinomial(n)[n:] == table[n, : n + 1].tolist()
        assert not table[n, n + 1 :].any()


class Foreign:
    """An array that another library holds on the device."""

    def __init__(self, device, array, **told):
        self.kept = array if hasattr(device, "forget") else device.upload(array)
        address = getattr(self.kept, "data", None)
        pointer = array.ctypes.data if self.kept is array else address.ptr
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (pointer, False),
            "version": 3,
        } | told


@pytest.mark.parametrize("joint", [True, False])
def test_arrays_of_other_libraries_stay_on_the_device(device, brute_force, joint):
    rng = np.random.default_rng(1)
    labels = (rng.random((9, 20, 40)) < 0.1).astype(np.uint8) * 3
    probability = rng.integers(0, 256, labels.shape, dtype=np.uint8)
    there = Foreign(device, labels), Foreign(device, probability)
    options = {"joint": joint, "core": (1, 7), "z_origin": 5}
    found = mp_nms(there[0], 2, 0.05, there[1], **options)
    brute_force.same(found, mp_nms(labels, 2, 0.05, probability, **options))
    alone = mp_nms(there[0], 2, 0.05, joint=joint)
    brute_force.same(alone, mp_nms(labels, 2, 0.05, joint=joint))
    nothing = Foreign(device, np.zeros((0, 4, 4), np.uint8))
    assert len(mp_nms(nothing, 2, 0.05)) == 0


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        ({"typestr": "<f4"}, TypeError, "must be a uint8 array .* float32"),
        ({"shape": (6, 6)}, ValueError, "three axes z, y, x"),
        ({"strides": (1, 6, 36)}, ValueError, "C-contiguous, found strides"),
    ],
)
def test_what_they_must_be_is_said(device, told, error, words):
    labels = Foreign(device, np.ones((6, 6, 6), np.uint8), **told)
    with pytest.raises(error, match=words):
        mp_nms(labels, 2, 0.05)


def test_they_and_the_probabilities_are_in_one_place(device):
    labels = Foreign(device, np.ones((6, 6, 6), np.uint8))
    with pytest.raises(TypeError, match="probability must be on the device"):
        mp_nms(labels, 2, 0.05, np.ones((6, 6, 6), np.uint8))
    with pytest.raises(ValueError, match="labels are on a CUDA device"):
        mp_nms(labels, 2, 0.05, backend="c")
    with pytest.raises(ValueError, match="iterations list only 1 classes"):
        mp_nms(Foreign(device, np.full((6, 6, 6), 2, np.uint8)), [2], 0.05)
