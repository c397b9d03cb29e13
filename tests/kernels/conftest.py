"""MP-NMS from its definition, voxel by voxel in Python integers: the judge."""

import importlib.util
from fractions import Fraction
from itertools import product
from math import factorial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest


def weight(n, d):
    """Coefficient of x^d in (1/x + 1 + x)^n, by counting the ways."""
    d = abs(d)
    return sum(
        factorial(n) // (factorial(j) * factorial(j + d) * factorial(n - 2 * j - d))
        for j in range((n - d) // 2 + 1)
    )


def weight3(n, a, b):
    """How much a mask voxel at b adds to S at a."""
    if max(abs(p - q) for p, q in zip(a, b, strict=True)) > n:
        return 0
    result = 1
    for p, q in zip(a, b, strict=True):
        result *= weight(n, p - q)
    return result


def as_byte(p):
    if isinstance(p, np.float32):
        return int(np.floor(p * np.float32(255) + np.float32(0.5)))
    return int(p)


def one_mask(members, voxels, labels, probability, n, t_lm, joint):
    """Candidates of one mask; `members` are its voxels (z, y, x)."""
    sums = {v: sum(weight3(n, v, m) for m in members) for v in voxels}
    for number, v in enumerate(voxels):
        s = sums[v]
        if s == 0 or s / 27**n < t_lm:
            continue
        around = [
            u
            for u in (
                tuple(a + d for a, d in zip(v, step, strict=True))
                for step in product((-1, 0, 1), repeat=3)
            )
            if u in sums
        ]
        rivals = [(sums[u], -voxels.index(u)) for u in around if u != v]
        if any(r > (s, -number) for r in rivals):
            continue

        votes = {}
        for m in members:
            w = weight3(n, v, m)
            if w:
                byte = 1 if probability is None else as_byte(probability[m])
                votes[labels[m]] = votes.get(labels[m], 0) + w * byte
        most = max(votes.values())
        winner = min(c for c, count in votes.items() if count == most)
        score = s / 27**n
        if probability is not None:
            score = float(Fraction(sum(votes.values()), 255 * s))

        low = min(sums[u] for u in around)
        mass = sum(sums[u] - low for u in around)
        shift = [
            float(Fraction(sum((u[k] - v[k]) * (sums[u] - low) for u in around), mass))
            if mass
            else 0.0
            for k in (2, 1, 0)
        ]
        yield {
            "number": number,
            "voxel": v[::-1],
            "class_id": int(winner if joint else labels[members[0]]),
            "value": s / 27**n,
            "score": np.float32(score),
            "xyz": [np.float32(p + d) for p, d in zip(v[::-1], shift, strict=True)],
        }


def find(labels, iterations, t_lm, probability=None, *, joint=False):
    """Like dep.kernels.mp_nms; returns the five arrays in a dictionary."""
    voxels = list(product(*(range(size) for size in labels.shape)))
    classes = sorted({int(labels[v]) for v in voxels} - {0})
    groups = [classes] if joint else [[c] for c in classes]
    found = []
    for group in groups:
        members = [v for v in voxels if labels[v] in group]
        if not members:
            continue
        n = iterations if isinstance(iterations, int) else iterations[group[0] - 1]
        found += one_mask(members, voxels, labels, probability, n, t_lm, joint)
    found.sort(key=lambda c: (c["number"], c["class_id"]))

    def column(name, dtype, *shape):
        return np.array([c[name] for c in found], dtype=dtype).reshape(-1, *shape)

    return {
        "xyz": column("xyz", np.float32, 3),
        "voxel": column("voxel", np.int32, 3),
        "class_id": column("class_id", np.int32),
        "value": column("value", np.float64),
        "score": column("score", np.float32),
    }


def same(candidates, expected):
    """Whether two sets of candidates agree to the last bit in every field."""
    if not isinstance(expected, dict):
        expected = vars(expected)
    for name, want in expected.items():
        got = getattr(candidates, name)
        assert got.dtype == want.dtype, name
        np.testing.assert_array_equal(got, want, err_msg=name)


@pytest.fixture(scope="session")
def brute_force():
    return SimpleNamespace(find=find, weight=weight, same=same)


@pytest.fixture(scope="session")
def ball():
    """Make a ball of voxels with |v| < radius, (z, y, x) bool."""

    def make(radius):
        r = int(np.ceil(radius))
        z, y, x = np.ogrid[-r : r + 1, -r : r + 1, -r : r + 1]
        return z * z + y * y + x * x < radius * radius

    return make


@pytest.fixture(scope="session")
def place():
    """Write a label where a mask centred at (z, y, x) is, cut off at the faces."""

    def put(volume, mask, centre, label):
        r = mask.shape[0] // 2
        for offset in np.argwhere(mask):
            at = tuple(int(c + o - r) for c, o in zip(centre, offset, strict=True))
            if all(0 <= a < s for a, s in zip(at, volume.shape, strict=True)):
                volume[at] = label

    return put


@pytest.fixture(scope="session")
def shim():
    """Give the module that runs CUDA kernels on the processor."""
    path = Path(__file__).parent / "shim" / "shim_device.py"
    spec = importlib.util.spec_from_file_location("shim_device", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shim_libraries(shim, tmp_path_factory):
    """Give the kernels as they stand, compiled for the shim."""
    return shim.compile_kernels(tmp_path_factory.mktemp("shim"))


@pytest.fixture(
    scope="module", params=["shim", pytest.param("gpu", marks=pytest.mark.gpu)]
)
def device(request):
    """Make a device, and let `backend="cuda"` mean it: the shim, and a GPU if any."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "shim":
            shim = request.getfixturevalue("shim")
            made = shim.ShimDevice(request.getfixturevalue("shim_libraries"))
            # A thousand blocks with nothing to do take long on a processor; few blocks
            # that take many turns show more besides.
            patch.setattr("dep.kernels.cuda.nms.SEARCHERS", 5)
        else:
            from dep.kernels.cuda.cupy_device import default_device

            made = default_device()
        patch.setattr("dep.kernels.backends.cuda_device", lambda: made)
        yield made
