"""Counts the processor cores that this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_threads() -> int:
    """Count the cores this process may use: affinity and control-group quota.

    Returns
    -------
    int
        At least 1. A quota of 1.5 cores counts as 2.

    Notes
    -----
    Quotas are `cpu.max` (cgroup v2) and `cpu.cfs_quota_us` / `cpu.cfs_period_us` (v1),
    of the process's group and all groups above it: see cgroups(7).
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cgroup_quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return max(1, math.ceil(min(cores, quota)))


def cgroup_quota(membership: Path, mount: Path) -> float:
    """Read the strictest CPU quota of the groups listed in `membership`, in cores.

    Parameters
    ----------
    membership
        A file of lines `id:controllers:path`, as /proc/self/cgroup.
    mount
        Where the control groups are mounted.

    Returns
    -------
    float
        Infinity where no quota is set or none can be read.
    """
    strictest = math.inf
    for line in _text(membership).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mount if not controllers else mount / "cpu"
        folder = root / group.lstrip("/")
        # Inside a container the path may be the host's: then only the root is there.
        for level in (folder, *folder.parents):
            strictest = min(strictest, _quota(level, unified=not controllers))
            if level == root:
                break
    return strictest


def _quota(folder: Path, *, unified: bool) -> float:
    """Quota of one group in cores; infinity when there is none."""
    if unified:
        words = _text(folder / "cpu.max").split()
    else:
        words = [
            *_text(folder / "cpu.cfs_quota_us").split(),
            *_text(folder / "cpu.cfs_period_us").split(),
        ]
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return math.inf  # "max 100000", v1's -1, or no such file
    quota, period = (int(word) for word in words)
    return quota / period if quota > 0 and period > 0 else math.inf


def _text(path: Path) -> str:
    """Content of a small file, empty where it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""
