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
