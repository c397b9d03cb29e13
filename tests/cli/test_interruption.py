"""`dep pick` stopped half-way: nothing partial stays; run.json says what is done."""

import itertools
import json
import signal
import time
from pathlib import Path

import pytest

from dep.cli import batch
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
    assert run["status"] == "interrupted"
    ended = {name: entry["status"] for name, entry in run["tomograms"].items()}
    assert ended == {"long": "interrupted", "next": "waiting"}


@pytest.mark.parametrize("place", ["begin", "done", "_start", "record", "replace"])
def test_a_stop_between_tomograms_is_recorded(
    dep, tiny_model, make_tomogram, tmp_path, monkeypatch, place
):
    # Ctrl-C may come anywhere: here around the second of three tomograms.
    for number in (1, 2, 3):
        make_tomogram(tmp_path / f"TS_0{number}.mrc")
    out = tmp_path / "out"
    words = ("pick", tmp_path, "--engine", tiny_model, "-o", out)
    owner = {"_start": batch, "record": RunLog, "replace": Path}.get(place, Lines)
    call = getattr(owner, place)
    # Called once for each, and before that for the list of those that wait.
    stop_at = {"_start": 5, "record": 3, "replace": 6}.get(place, 2)
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
    assert {name: entry["status"] for name, entry in run["tomograms"].items()} == {
        "TS_01": "picked",
        "TS_02": second.get(place, "picked"),
        "TS_03": "waiting",
    }
    monkeypatch.undo()
    assert dep(*words, "--resume").status == 0
    states = {entry["status"] for entry in read_run(out)["tomograms"].values()}
    assert states == {"picked"}
