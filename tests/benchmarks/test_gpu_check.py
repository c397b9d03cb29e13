"""gpu_check ends in time, whatever its parts do, and loses nothing they found."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

MISBEHAVING = """
import os, sys, time

def good(context):
    context.value("found", 7)
    context.row("times", what="a", ms=1.25)

def aborts(context):
    context.row("times", what="before the crash", ms=float("nan"))
    os.abort()

def hangs(context):
    context.value("began", True)
    time.sleep(600)

def prints_garbage(context):
    sys.stdout.buffer.write(bytes(range(256)) * 50)
    with context.lines.open("ab") as stream:
        stream.write(bytes([255, 0, 13, 10]) + b'{"table": 1}\\nnull\\n[]\\n"end"\\n')
    context.value("found", 8)

def raises(context):
    raise ValueError("a name is missing")

def exits(context):
    os._exit(5)

def is_wrong(context):
    context.fault("3 candidates differ")

def leaves_a_child(context):
    import subprocess
    child = subprocess.Popen(["sleep", "600"])
    context.value("child", child.pid)
    time.sleep(600)
"""


@pytest.fixture
def run_parts(gpu, root, tmp_path):
    """Give a function that runs functions of MISBEHAVING as parts."""
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = os.pathsep.join((str(root / "benchmarks"), str(tmp_path)))
    place = gpu.schedule.Place(root, scratch, {**os.environ, "PYTHONPATH": path})

    def run(*names, seconds=60.0):
        parts = [gpu.parts.Part(name, 1, f"misbehaving:{name}") for name in names]
        results = {}
        began = time.monotonic()
        gpu.schedule.run(parts, place, began + seconds, results, lambda: None)
        return results, time.monotonic() - began

    return run


def test_a_part_that_fails_in_any_way_does_not_stop_the_next(run_parts):
    names = ("aborts", "raises", "exits", "prints_garbage", "is_wrong", "good")
    results, _ = run_parts(*names)
    assert {name: results[name]["state"] for name in names} == {
        "aborts": "crashed",
        "raises": "failed",
        "exits": "failed",
        "prints_garbage": "done",
        "is_wrong": "failed",
        "good": "done",
    }
    assert "SIGABRT" in results["aborts"]["why"]
    assert results["aborts"]["tables"]["times"] == [
        {"what": "before the crash", "ms": None}
    ]
    assert results["raises"]["why"] == "ValueError: a name is missing"
    assert "Traceback" in results["raises"]["output_tail"]
    assert "status 5" in results["exits"]["why"]
    assert results["prints_garbage"]["values"] == {"found": 8}
    assert results["prints_garbage"]["strange_lines"] > 0
    assert results["is_wrong"]["why"] == "3 candidates differ"
    assert results["good"]["tables"]["times"] == [{"what": "a", "ms": 1.25}]


def test_what_hangs_is_ended_with_all_it_started_and_keeps_the_budget(run_parts):
    results, took = run_parts("leaves_a_child", "hangs", seconds=4.5)
    assert took < 7
    assert results["hangs"]["state"] == "stopped"
    assert results["hangs"]["values"] == {"began": True}
    child = results["leaves_a_child"]["values"]["child"]
    for _ in range(50):  # until whoever inherited it has taken note
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(child)], capture_output=True, text=True
        )
        assert state.stdout.strip().startswith("Z")


def test_without_time_a_part_is_not_begun(run_parts):
    results, took = run_parts("good", seconds=0.5)
    assert took < 1
    assert results["good"]["state"] == "not run"
    assert "no time" in results["good"]["why"]


def test_what_a_part_leaves_over_goes_to_the_others(gpu):
    short, long = gpu.parts.Part("a", 1, ""), gpu.parts.Part("b", 3, "")
    assert gpu.schedule.limit_of(short, [long], 40) == 10
    assert gpu.schedule.limit_of(long, [], 39) == 39


@pytest.fixture(scope="module")
def without_gpu(root, tmp_path_factory):
    """Run the command itself, as on a machine without a GPU."""
    sys.path.insert(0, str(root / "benchmarks"))
    try:
        from gpu.machine import gpu_missing

        if not gpu_missing():
            pytest.skip("here is a GPU, and the check would take minutes")
    finally:
        sys.path.remove(str(root / "benchmarks"))
    out = tmp_path_factory.mktemp("report") / "new" / "report.json"
    done = subprocess.run(
        [sys.executable, root / "benchmarks" / "gpu_check", "--out", out],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return SimpleNamespace(
        status=done.returncode, text=done.stdout, words=done.stderr, out=out
    )


def test_without_a_gpu_every_part_says_why_it_did_not_run(gpu, without_gpu):
    assert without_gpu.status == 3, without_gpu.words
    document = json.loads(without_gpu.out.read_text())
    assert document["finished"] is True
    parts = document["parts"]
    assert list(parts) == [part.name for part in gpu.parts.PARTS]
    assert parts.pop("environment")["state"] == "done"
    for name, part in parts.items():
        assert part["state"] == "not run", name
        assert "NVIDIA" in part["why"], name
        assert f"== {name}: not run: {part['why']}" in without_gpu.text
    assert [one.name for one in without_gpu.out.parent.iterdir()] == ["report.json"]


def test_the_environment_is_told_all_the_same(without_gpu):
    document = json.loads(without_gpu.out.read_text())
    values = document["parts"]["environment"]["values"]
    assert values["cores"] >= 1
    installed = document["parts"]["environment"]["tables"]["installed"]
    assert "numpy" in {row["distribution"] for row in installed}
    assert document["setup"]["compiled core"] == "there"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "kernel"], "no part 'kernel'; the parts are environment, kernels"),
        (["--only", ","], "found none"),
        (["--wheels", "/no/such/folder"], "/no/such/folder: is not a folder"),
        (["--out", "/proc/no/report.json"], "/proc/no"),
    ],
)
def test_wrong_use_is_told_before_anything_runs(gpu, tmp_path, capsys, words, told):
    out = [] if "--out" in words else ["--out", str(tmp_path / "report.json")]
    assert gpu.command.main([*out, *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "report.json").exists()


def test_folders_are_found_wherever_it_is_called_from(gpu, tmp_path, monkeypatch):
    """Preparing and the parts run in folders of their own."""
    prepare, run = Mock(return_value={}), Mock()
    monkeypatch.setattr(gpu.command.checkout, "prepare", prepare)
    monkeypatch.setattr(gpu.command.schedule, "run", run)
    monkeypatch.chdir(tmp_path)
    for name in ("wheels", "models"):
        (tmp_path / name).mkdir()
    words = ["--out", "report.json", "--wheels", "wheels", "--models", "models"]
    gpu.command.main(words)
    assert prepare.call_args.args[2] == tmp_path / "wheels"
    assert run.call_args.args[1].models == tmp_path / "models"


def test_some_parts_can_be_chosen(gpu):
    names = [part.name for part in gpu.parts.choose("kernels,network")]
    assert names == [
        "kernels",
        "network-torch",
        "network-compiled",
        "network-onnxruntime",
        "network-onnxruntime-options",
        "network-tensorrt",
    ]


def test_stopped_from_outside_it_reports_what_it_has(root, tmp_path):
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    out = tmp_path / "report.json"
    program = (
        "import sys; from gpu import command, parts;"
        "P = parts.Part;"
        "sys.exit(command.main(['--out', sys.argv[1]],"
        " (P('good', 1, 'misbehaving:good'), P('hangs', 9, 'misbehaving:hangs'))))"
    )
    path = os.pathsep.join((str(root / "benchmarks"), str(tmp_path)))
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, str(out)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            time.sleep(0.1)
            if out.exists():
                parts = json.loads(out.read_text())["parts"]  # whole at any time
                if parts.get("hangs", {}).get("values"):
                    break
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    finally:
        process.kill()
    document = json.loads(out.read_text())
    assert document["finished"] is False
    assert document["parts"]["good"]["state"] == "done"
    assert document["parts"]["hangs"]["state"] == "stopped"
    assert "SIGTERM" in document["parts"]["hangs"]["why"]


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ({"environment": "done", "kernels": "not run"}, 3),
        ({"environment": "done", "kernels": "done", "models": "not run"}, 0),
        ({"environment": "done", "kernels": "crashed"}, 1),
        ({"environment": "done", "kernels": "stopped", "tests": "done"}, 1),
    ],
)
def test_the_exit_status_says_what_came_of_it(gpu, states, status):
    parts = {name: {"state": state} for name, state in states.items()}
    assert gpu.report.status(parts) == status
