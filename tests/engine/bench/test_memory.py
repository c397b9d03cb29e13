"""The memory that is told is what was taken while it was watched."""

import sys

import numpy as np
import pytest

from dep.engine.bench import memory
from dep.engine.bench.memory import Memory, MemoryWatch

MB = 10**6


def take(megabytes):
    """Touch so much memory, and let it go."""
    block = np.ones(megabytes * MB, np.uint8)
    return int(block[-1])


def test_what_is_taken_while_watched_is_told():
    if not memory.reset_peak():
        pytest.skip("this system cannot forget its peak")
    take(300)
    watch = MemoryWatch()
    take(100)
    told = watch.ended()
    assert told.source == "picking"
    assert told.opening >= 300 * MB
    # The 300 MB of before are forgotten.
    assert 95 * MB < told.above < 200 * MB
    assert told.peak == told.opened + told.above


def test_where_linux_is_not_the_process_is_told(monkeypatch, tmp_path):
    pytest.importorskip("resource")
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none")
    assert memory.resident() is None
    assert not memory.reset_peak()
    told = MemoryWatch().ended()
    assert told.source == "process"
    assert told.opened == told.opening
    assert told.peak > 10 * MB  # Python and NumPy are not smaller; bytes, not KiB


def test_where_the_peak_cannot_be_reset_the_process_is_told(monkeypatch, tmp_path):
    if memory.resident() is None:
        pytest.skip("this system has no /proc/self/status")
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "none" / "clear_refs")
    told = MemoryWatch().ended()
    assert told.source == "process"
    assert told.peak >= told.opened


def test_where_nothing_is_told_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none")
    monkeypatch.setattr(memory, "find_spec", lambda _: None)
    told = MemoryWatch().ended()
    assert told == Memory()
    assert told.above is None
    assert told.to_dict()["above_opened"] is None


def test_macs_count_in_bytes(monkeypatch, tmp_path):
    pytest.importorskip("resource")
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none")
    kibibytes = memory.peak()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.peak() == pytest.approx(kibibytes / 1024, rel=0.2)
