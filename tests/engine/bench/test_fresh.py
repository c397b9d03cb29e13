"""What `dep bench` measures in processes of their own: starts, memory, products."""

import os
import subprocess

import pytest

from dep.engine import DepError
from dep.engine.bench import Contender, matmul
from dep.engine.bench.fresh import measure_fresh


def test_a_new_process_tells_its_start_and_its_memory(tiny_model, subject):
    pytest.importorskip("openvino")
    contender = Contender(model=tiny_model, runtime="openvino", threads=1)
    told = measure_fresh(contender, subject, "openvino")
    start = told.cold_start
    parts = start.to_dict()
    assert all(seconds >= 0 for seconds in parts.values())
    assert start.load > 0.001  # OpenVINO is not loaded in less
    assert start.total == pytest.approx(
        sum(parts.values()) - parts["second"] - parts["total"]
    )
    memory = told.memory
    if memory.source == "picking":
        assert 0 < memory.opened <= memory.peak
        assert memory.above == memory.peak - memory.opened


def test_what_fails_there_is_told_here(tmp_path, subject):
    missing = Contender(model=tmp_path / "none.onnx")
    with pytest.raises(DepError, match=r"none\.onnx: no such model file"):
        measure_fresh(missing, subject, "openvino")


@pytest.mark.parametrize(
    ("status", "err", "words"),
    [
        (-9, "", "SIGKILL; was there memory enough"),
        (-15, "", "SIGTERM"),
        (1, "Traceback\nImportError: no\n\n", "ImportError: no"),
        (3, "", "ended with status 3"),
        (0, "it says\nnothing", "nothing"),
    ],
)
def test_a_process_that_dies_is_an_error(status, err, words, subject, monkeypatch):
    done = subprocess.CompletedProcess([], status, "not JSON", err)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(DepError, match=words):
        measure_fresh(Contender(), subject, "openvino")


def test_matrix_products_have_the_threads_they_are_given(monkeypatch):
    seen = {}

    def fake(words, env, **_):
        seen.update(env)
        return subprocess.CompletedProcess(words, 0, "2.5e9", "")

    monkeypatch.setattr(subprocess, "run", fake)
    assert matmul.matmul_rate(3) == 2.5e9
    assert {seen[name] for name in matmul.THREADS} == {"3"}
    assert "PATH" in seen or "PATH" not in os.environ


@pytest.mark.parametrize(("status", "out"), [(1, "1"), (0, ""), (0, "?")])
def test_a_rate_that_cannot_be_had_is_none(status, out, monkeypatch):
    done = subprocess.CompletedProcess([], status, out, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert matmul.matmul_rate(1) is None


def test_a_product_is_two_operations_for_each_multiply_add(monkeypatch):
    clock = iter([0, 4, 10, 11, 20, 22, 30, 32])  # the best of 4, 1 and 2 seconds
    monkeypatch.setattr(matmul, "EDGE", 8)
    monkeypatch.setattr(matmul, "perf_counter", lambda: next(clock))
    assert matmul.fastest() == 2 * 8**3 / 1
