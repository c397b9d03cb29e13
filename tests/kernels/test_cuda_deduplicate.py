"""Deduplication in parallel rounds ends with the sequential greedy choice."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dep.kernels import deduplicate

pytestmark = pytest.mark.usefixtures("device")

few = settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def clean(device):
    yield
    if hasattr(device, "forget"):
        device.forget()


def check(xyz, score, t_dist, class_id=None, other="reference"):
    found = deduplicate(xyz, score, t_dist, class_id, backend="cuda")
    expected = deduplicate(xyz, score, t_dist, class_id, backend=other)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    return found


@few
@given(
    st.integers(0, 150),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.5, 1.0, np.sqrt(3.0), 4.0, 1e9]),
    st.sampled_from(["spread", "grid", "heap", "huge"]),
    st.booleans(),
    st.booleans(),
)
def test_it_equals_the_reference(n, seed, t_dist, kind, coarse, by_class):
    rng = np.random.default_rng(seed)
    xyz = rng.uniform(-12, 12, (n, 3))
    if kind == "grid":  # distances that are exactly t_dist, duplicates
        xyz = np.round(xyz / 4)
    elif kind == "heap":
        xyz = xyz * 0.01
    elif kind == "huge":
        xyz = xyz * 1e36
    score = np.round(rng.random(n), 1) if coarse else rng.random(n)
    class_id = rng.integers(-2, 2, n) if by_class else None
    check(xyz.astype(np.float32), score, t_dist, class_id)


@pytest.mark.parametrize("step", [1, -1])
def test_a_chain_takes_as_many_rounds_as_it_is_long(step):
    """Each waits for the one before: every second one stays."""
    n = 101
    xyz = np.zeros((n, 3), np.float32)
    xyz[:, 0] = np.arange(n)
    kept = check(xyz, np.arange(n)[::step].astype(float), 1.5)
    assert len(kept) == 51


def test_zero_and_minus_zero_are_one_number():
    xyz = np.array([[0.0, 0, 9], [-0.0, 0, 9], [0, 0, 0], [0, -0.0, 0]], np.float32)
    check(xyz, [0.0, -0.0, -0.0, 0.0], 0.0)
    check(xyz, [0.0, -0.0, -0.0, 0.0], 1.0)


def test_coordinates_that_are_denormal_are_told_apart():
    xyz = np.array([[1e-40, 0, 0], [3e-40, 0, 0], [0, 0, 0]], np.float32)
    assert len(check(xyz, [3.0, 2.0, 1.0], 1.5e-40)) == 2
    assert len(check(xyz, [1.0, 1.0, 1.0], 0.0)) == 3


def test_many():
    rng = np.random.default_rng(1)
    xyz = rng.uniform(0, 60, (5000, 3)).astype(np.float32)
    kept = check(xyz, rng.random(5000), 3.0, other="c")
    assert 1000 < len(kept) < 5000
