"""A tomogram in slabs gives what the whole gives, on any number of threads."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.kernels import Candidates, halo, mp_nms


def in_slabs(labels, probability, iterations, height, twin, joint):
    """Hand over slabs of `height` planes with just the halo that is asked for."""
    depth, context = len(labels), halo(iterations)
    parts = []
    for z0 in range(0, depth, height):
        z1 = min(z0 + height, depth)
        first, last = max(z0 - context, 0), min(z1 + context, depth)
        parts.append(
            mp_nms(
                labels[first:last],
                iterations,
                0.02,
                probability[first:last],
                joint=joint,
                backend=twin,
                core=(z0 - first, z1 - first),
                z_origin=first,
            )
        )
    names = Candidates.__dataclass_fields__
    return {n: np.concatenate([getattr(p, n) for p in parts]) for n in names}


@pytest.mark.parametrize("twin", ["c", "reference"])
@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12)),
    height=st.integers(1, 40),
    iterations=st.one_of(
        st.integers(1, 13), st.tuples(*[st.integers(1, 13)] * 3).map(list)
    ),
    joint=st.booleans(),
    density=st.sampled_from([0.01, 0.2, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_slabs_equal_the_whole(
    brute_force, twin, shape, height, iterations, joint, density, seed
):
    joint = joint and isinstance(iterations, int)
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 4, shape).astype(np.uint8)
    labels[rng.random(shape) >= density] = 0
    probability = rng.integers(0, 256, shape).astype(np.uint8)
    whole = mp_nms(labels, iterations, 0.02, probability, joint=joint, backend=twin)
    parts = in_slabs(labels, probability, iterations, height, twin, joint)
    brute_force.same(whole, parts)


@pytest.mark.parametrize("twin", ["c", "reference"])
def test_a_plane_less_than_the_halo_would_show(twin):
    # The wide mask of plane 1 lifts S of plane 4 above the peak in plane 5: seen only
    # by a slab that reaches from plane 5 down to plane 1.
    labels = np.zeros((12, 3, 3), np.uint8)
    labels[5, 1, 1] = 1
    labels[1] = 1
    for context, peaks in ((halo(3), 0), (halo(3) - 1, 1)):
        first = 5 - context
        found = mp_nms(
            labels[first:], 3, 1e-9, core=(context, 12 - first), backend=twin
        )
        assert len(found) == peaks


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("n", [2, 5, 9])
def test_the_number_of_threads_leaves_no_trace(brute_force, n, joint):
    rng = np.random.default_rng(n)
    labels = rng.integers(1, 7, (70, 66, 130)).astype(np.uint8)
    labels[rng.random(labels.shape) >= 0.01] = 0
    probability = rng.integers(0, 256, labels.shape).astype(np.uint8)
    single = mp_nms(labels, n, 1e-3, probability, joint=joint, threads=1)
    assert len(single) > 100
    for threads in (2, 3, 16, 1000):
        found = mp_nms(labels, n, 1e-3, probability, joint=joint, threads=threads)
        brute_force.same(found, single)


MEMORY = """
import resource
import numpy as np
from dep.kernels import mp_nms

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

labels = np.full((64, 512, 1024), 3, np.uint8)  # 32 MiB, every voxel labelled
mp_nms(labels[:1, :9, :9], 3, 0.1)
before = peak()
found = mp_nms(labels, {n}, 0.1, threads=2)
assert len(found) == 1
print((peak() - before) / labels.size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's peak memory")
@pytest.mark.parametrize("n", [3, 13])
def test_a_dense_volume_takes_little_memory(n):
    # A sixteenth of a byte per voxel for the cells, and some MB for each thread.
    run = subprocess.run(
        [sys.executable, "-c", MEMORY.replace("{n}", str(n))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 1 / 4


def test_candidates_come_by_index_then_class():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (40, 70, 90)).astype(np.uint8)
    found = mp_nms(labels, 1, 0.2)
    x, y, z = found.voxel.T.astype(np.int64)
    key = ((z * 70 + y) * 90 + x) * 256 + found.class_id
    assert len(found) > 1000
    assert (np.diff(key) > 0).all()
