"""`dep pick` stopped half-way: nothing partial stays; run.json says what is done."""

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dep.cli import course
from dep.cli.ending import ending_soon
from dep.cli.progress import Lines
from dep.cli.run_log import RunLog


def read_run(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.mark.parametrize(
    ("kind", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_stopped_run_leaves_nothing_partial(
    dep_process, make_model, make_tomogram, tmp_path, kind, status
):
    # Cores of two voxels make many tiles: picking takes long enough to be stopped.
    slow = make_model(tmp_path / "slow.onnx", tile=26, margin=12)
    make_tomogram(tmp_path / "long.mrc", shape=(64, 96, 96))
    make_tomogram(tmp_path / "next.mrc")
    out = tmp_path / "out"
    process = dep_process(
        "pick",
        tmp_path / "long.mrc",
        tmp_path / "next.mrc",
        "--engine",
        slow,
        "-o",
        out,
        "--picture",
    )
    line = process.stderr.readline()
    assert json.loads(line)["event"] == "begin", line
    time.sleep(0.5)
    process.send_signal(kind)
    _, err = process.communicate(timeout=30)
    assert process.returncode == status, err
    assert "Traceback" not in err
    assert [path.name for path in out.iterdir()] == ["run.json"]
    run = read_run(out)
    ended = {name: entry["status"] for name, entry in run["tomograms"].items()}
    assert ended["next"] == "waiting"
    if run["status"] == "running":
        # A machine so busy that the process had to be ended before it could say so.
        assert err.endswith("dep: stopped\n")
        assert ended["long"] == "waiting"
    else:
        assert run["status"] == ended["long"] == "interrupted"


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("kind", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_slow_network_is_stopped_soon(
    dep_process, slow_model, make_tomogram, tmp_path, kind, status, name
):
    """A tile of this network would take half a minute."""
    pytest.importorskip(name)
    for number in (1, 2):
        make_tomogram(tmp_path / f"TS_0{number}.mrc")
    out = tmp_path / "out"
    words = ("pick", tmp_path, "--engine", slow_model, "--runtime", name, "-o", out)
    process = dep_process(*words)
    assert json.loads(process.stderr.readline())["event"] == "begin"
    time.sleep(1)
    start = time.perf_counter()
    process.send_signal(kind)
    process.send_signal(kind)  # impatience changes nothing
    _, err = process.communicate(timeout=60)
    assert time.perf_counter() - start < 5
    assert (process.returncode, err) == (status, "dep: stopped\n")
    assert [path.name for path in out.iterdir()] == ["run.json"]
    run = read_run(out)
    assert run["status"] == "interrupted"
    ended = {name: entry["status"] for name, entry in run["tomograms"].items()}
    assert ended == {"TS_01": "interrupted", "TS_02": "waiting"}


STUCK = """
import hashlib, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from dep.cli.ending import ending_soon
with ending_soon() as writing:
    if sys.argv[1] == "writing":
        with writing:
            print("go", flush=True)
            try:
                time.sleep(60)
            except KeyboardInterrupt:  # a file that is nearly whole
                time.sleep(2)
            print("whole", flush=True)
    else:
        print("go", flush=True)
    # No Python runs in the main thread until this returns, in minutes.
    hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("kind", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
@pytest.mark.parametrize("work", ["computing", "writing"])
def test_what_lets_no_signal_in_is_ended_all_the_same(kind, status, work):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, work],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "go\n"
    time.sleep(0.3)
    start = time.perf_counter()
    process.send_signal(kind)
    said, err = process.communicate(timeout=60)
    assert time.perf_counter() - start < 8
    assert (process.returncode, err) == (status, "dep: stopped\n")
    assert said == ("whole\n" if work == "writing" else "")


def test_signals_are_handled_as_before_when_it_is_over():
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with ending_soon():
        pass
    with pytest.raises(KeyError), ending_soon():
        raise KeyError
    after = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert after == before
    assert signal.set_wakeup_fd(-1) == -1
    assert "dep-ending" not in {one.name for one in threading.enumerate()}


@pytest.mark.parametrize("place", ["begin", "done", "_start", "record", "replace"])
def test_a_stop_between_tomograms_is_recorded(
    dep, tiny_model, make_tomogram, tmp_path, monkeypatch, place
):
    # Ctrl-C may come anywhere: here around the second of three tomograms.
    for number in (1, 2, 3):
        make_tomogram(tmp_path / f"TS_0{number}.mrc")
    out = tmp_path / "out"
    words = ("pick", tmp_path, "--engine", tiny_model, "-o", out)
    owner = {"_start": course, "record": RunLog, "replace": Path}.get(place, Lines)
    call = getattr(owner, place)
    # The list of those that wait is recorded before, and run.json is replaced as well.
    stop_at = {"record": 3, "replace": 6}.get(place, 2)
    calls = itertools.count(1)

    def stop(*args, **kwargs):
        if next(calls) == stop_at:
            raise KeyboardInterrupt
        return call(*args, **kwargs)

    monkeypatch.setattr(owner, place, stop)
    assert dep(*words).status == 130
    run = read_run(out)
    assert run["status"] == "interrupted"
    assert run["ended"] is not None
    second = {"begin": "interrupted", "_start": "waiting", "replace": "interrupted"}
    ended = {name: entry["status"] for name, entry in run["tomograms"].items()}
    # The network may have begun on the third while the second's outputs are written.
    assert ended.pop("TS_03") in ("waiting", "interrupted")
    assert ended == {"TS_01": "picked", "TS_02": second.get(place, "picked")}
    monkeypatch.undo()
    assert dep(*words, "--resume").status == 0
    states = {entry["status"] for entry in read_run(out)["tomograms"].values()}
    assert states == {"picked"}
