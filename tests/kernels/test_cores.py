"""The number of cores respects affinity and the quotas of control groups."""

import math
import os

import pytest

from dep.kernels import available_threads
from dep.kernels.cores import cgroup_quota


def test_affinity_is_respected():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no processor affinity")
    allowed = os.sched_getaffinity(0)
    assert 1 <= available_threads() <= len(allowed)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("files", "membership", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"cpu.max": "max 100000\n"}, "0::/\n", math.inf),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 50000"}, "0::/a/b\n", 4.0),
        ({"a/cpu.max": "50000 100000", "cpu.max": "100000 100000"}, "0::/a\n", 0.5),
        ({"cpu.max": "100000 100000"}, "0::/host/path/not/here\n", 1.0),
        (
            {"cpu/j/cpu.cfs_quota_us": "300000", "cpu/j/cpu.cfs_period_us": "100000"},
            "5:memory:/m\n4:cpu,cpuacct:/j\n",
            3.0,
        ),
        (
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            "4:cpu,cpuacct:/\n",
            math.inf,
        ),
        ({}, "0::/\n", math.inf),
        ({}, None, math.inf),
    ],
)
def test_quotas_are_read(tmp_path, files, membership, cores):
    for name, text in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    assert cgroup_quota(tmp_path / "membership", tmp_path / "mount") == cores
