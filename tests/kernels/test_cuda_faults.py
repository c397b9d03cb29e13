"""The suite sees what is wrong: faults planted in the kernels do not go unnoticed.

Each fault is a change of one place in a source. The kernels are compiled with it, and
the comparisons of the other tests are made: at least one must fail.
"""

import numpy as np
import pytest

from dep.kernels import deduplicate, mp_nms, reference
from dep.kernels.cuda.assemble import assemble

FAULTS = {
    "no barrier between the pass along x and that along y": (
        "nms.cu",
        "        __syncthreads();\n        V sum = 0;",
        "        V sum = 0;",
    ),
    "no barrier before sums are compared": (
        "nms.cu",
        "    __syncthreads();\n    if (inside && tx >= 1",
        "    if (inside && tx >= 1",
    ),
    "no barrier before a cell's labels are written out": (
        "nms.cu",
        "    __syncthreads();\n    if (t >= ACROSS * WORDS",
        "    if (t >= ACROSS * WORDS",
    ),
    "a barrier that only some threads reach": (
        "nms.cu",
        "    __syncthreads();\n    if (inside && tx >= 1",
        "    if (ty > 0) __syncthreads();\n    if (inside && tx >= 1",
    ),
    "sums of a row too far": (
        "nms.cu",
        "rows[(ty + d) * WIDE + tx]",
        "rows[(ty + d + 1) * WIDE + tx]",
    ),
    "a plane too few": (
        "nms.cu",
        "min(b.z - 1 + DEEP + n, v.depth)",
        "min(b.z - 2 + DEEP + n, v.depth)",
    ),
    "a later voxel wins a tie": (
        "nms.cu",
        "i < NEIGHBOURS / 2 ? rival < *here : rival <= *here",
        "i > NEIGHBOURS / 2 ? rival < *here : rival <= *here",
    ),
    "a rim of the brick left out": (
        "nms.cu",
        "tx <= BRICK_X",
        "tx < BRICK_X",
    ),
    "a write past the last cell": (
        "nms.cu",
        "if (t >= ACROSS * WORDS || blockIdx.x * ACROSS + t / WORDS >= cells_x)",
        "if (t >= ACROSS * WORDS)",
    ),
    "a layer of cells passed over": (
        "nms.cu",
        "layers >> (z / CELL - lowest) & 1",
        "layers >> (z / CELL - lowest + 1) & 1",
    ),
    "rivals around the brick without what reaches only them": (
        "nms.cu",
        "const int reach = most + 1;",
        "const int reach = most;",
    ),
    "half a word taken for the whole": (
        "nms.cu",
        "*(const u64 *)(row + low) == 0",
        "*(const u32 *)(row + low) == 0",
    ),
    "a mask that was not cleared": (
        "nms.cu",
        "low[l] = high[l] = 0;",
        "low[l] = 0;",
    ),
    "votes that lose the carry": (
        "nms.cu",
        "const u128 carry = {high[l] << 32, high[l] >> 32};",
        "const u128 carry = {high[l] << 32, 0};",
    ),
    "the larger class on a tie of votes": (
        "nms.cu",
        "less(most, sum)",
        "!less(sum, most)",
    ),
    "a quotient cut off": (
        "exact.cuh",
        "        quotient |= 1;\n    return",
        "    return",
    ),
    "the larger class on a tie of scores": (
        "assemble.cu",
        "above(p[i], c[i].best)",
        "p[i] >= c[i].best",
    ),
    "a core one voxel too wide": (
        "assemble.cu",
        "if (i >= count)",
        "if (i > count)",
    ),
    "a worse candidate drops a better one": (
        "deduplicate.cu",
        "|| !better(p, j, i))",
        ")",
    ),
    "candidates at exactly the distance": (
        "deduplicate.cu",
        "dz * dz < t2",
        "dz * dz <= t2",
    ),
    "only the cell's own bucket": (
        "deduplicate.cu",
        "high.x = cell_of(widened(xyz[3 * i]) + t_dist, t_dist)",
        "high.x = low.x",
    ),
    "kept too early": ("deduplicate.cu", "waits = true;", ""),
}


def nms_cases():
    rng = np.random.default_rng(5)
    for shape, filled, n in (((19, 14, 67), 0.03, 2), ((12, 9, 33), 0.3, 7)):
        labels = (rng.random(shape) < filled) * rng.integers(1, 4, shape)
        yield labels.astype(np.uint8), n
    flat = np.zeros((9, 8, 64), np.uint8)
    flat[2:7, 2:6, 3:60] = 2  # a plateau: ties
    flat[2:7, 2:6, 31:] = 1
    yield flat, 1
    yield np.full((9, 9, 9), 1, np.uint8), 13
    # Its values need the last bit of the long division.
    sparse = np.random.default_rng(0).random((20, 24, 40)) < 0.002
    yield (sparse * 7).astype(np.uint8), 12
    lonely = np.zeros((12, 12, 40), np.uint8)
    lonely[5, 5, 5], lonely[11, 9, 35] = 9, 200
    yield lonely, 1
    lonely = np.zeros((3, 3, 32), np.uint8)
    lonely[1, 1, 29] = 3  # in the second half of its eight
    yield lonely, 1
    even = np.zeros((7, 7, 7), np.uint8)
    even[3, 3, 2], even[3, 3, 4] = 5, 2  # as many votes for both, between the two
    yield even, 3


def check_nms():
    for labels, n in nms_cases():
        probability = np.full(labels.shape, 255, np.uint8)
        probability[::2] = 251
        for joint in (False, True):
            found, expected = (
                mp_nms(labels, n, 1e-9, probability, joint=joint, backend=backend)
                for backend in ("cuda", "c")
            )
            for name, want in vars(expected).items():
                np.testing.assert_array_equal(getattr(found, name), want)
    labels = (np.random.default_rng(8).random((24, 12, 20)) < 0.1).astype(np.uint8)
    for core in ((9, 12), (10, 15)):  # a cell begins at 8, where the pooling ends
        found, expected = (
            mp_nms(labels, 1, 1e-9, core=core, backend=backend)
            for backend in ("cuda", "c")
        )
        np.testing.assert_array_equal(found.voxel, expected.voxel)


def check_assembly(device):
    rng = np.random.default_rng(6)
    scores = np.round(rng.random((1, 4, 8, 8, 8)).astype(np.float32) * 4) / 4
    for joint in (False, True):
        there = [device.zeros((8, 8, 8), np.uint8) for _ in range(2)]
        place = ((1, 1, 0), (0, 0, 1), (7, 6, 6))
        options = {"t_seg": 0.4, "joint": joint, "background": True}
        assemble(device, device.upload(scores), "f32", *there, [place], **options)
        want = reference.assemble(
            scores[0][:, 1:8, 1:7, 0:6],
            np.float32(0.4),
            joint=joint,
            background=True,
        )
        for found, expected in zip(there, want, strict=True):
            whole = np.zeros((8, 8, 8), np.uint8)
            whole[0:7, 0:6, 1:7] = expected
            np.testing.assert_array_equal(device.download(found), whole)


def check_deduplication():
    rng = np.random.default_rng(7)
    xyz = np.round(rng.uniform(0, 30, (600, 3)) * 2) / 2
    score = np.round(rng.random(600), 1)
    found, expected = (
        deduplicate(xyz, score, 3.0, backend=backend) for backend in ("cuda", "c")
    )
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def check(shim, monkeypatch):
    monkeypatch.setattr("dep.kernels.cuda.nms.SEARCHERS", 5)

    def make(libraries):
        device = shim.ShimDevice(libraries)
        monkeypatch.setattr("dep.kernels.backends.cuda_device", lambda: device)
        check_nms()
        check_assembly(device)
        check_deduplication()

    return make


def test_the_kernels_as_they_stand_pass(check, shim_libraries):
    check(shim_libraries)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(shim, check, shim_libraries, tmp_path, fault):
    name, old, new = FAULTS[fault]
    changed = []

    def change(file, text):
        if file == name:
            assert text.count(old) == 1, f"{old!r} is in {name} {text.count(old)} times"
            changed.append(name)
            return text.replace(old, new)
        return text

    libraries = {
        **shim_libraries,
        **shim.compile_kernels(tmp_path, change=change, only=name),
    }
    assert changed == [name]
    # The shim's errors are AssertionErrors, too.
    with pytest.raises((AssertionError, RuntimeError)) as caught:
        check(libraries)
    if "some threads" in fault:
        assert "barrier of line" in str(caught.value)
    if "past the last" in fault:
        assert "beyond an array" in str(caught.value)
