"""A run that is killed, or stopped by Ctrl-C, goes on as if nothing had been."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from dep.train import load_checkpoint, load_config, train, watch
from dep.train.history import History
from dep.train.stopping import Interruption

PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from dep.cli.main import app
app()
"""
LONG = """
steps = 30
save_every = 3
validate_every = 12
"""


def press_ctrl_c():
    """Do what Python does when the signal comes.

    Real signals go to processes of their own above. In this one, where other tests left
    a small alternative signal stack and libraries wide vector registers, the kernel
    cannot deliver any.
    """
    signal.getsignal(signal.SIGINT)(signal.SIGINT, None)


def start(*words):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "train", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for_step(process, last, step):
    end = time.monotonic() + 120
    while not (last.exists() and load_checkpoint(last).step >= step):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_killed_and_stopped_runs_end_bit_for_bit_as_an_unbroken_one(
    run_files, tmp_path
):
    text = run_files.config.read_text().replace("steps = 6", LONG)
    run_files.config.write_text(text.replace("save_every = 3\n", ""))
    config = load_config(run_files.config)
    broken, last = tmp_path / "broken", tmp_path / "broken/last.ckpt"

    process = start(run_files.config, "-o", broken)
    wait_for_step(process, last, 3)
    process.kill()
    process.communicate()
    killed_at = load_checkpoint(last).step
    assert 3 <= killed_at < 30

    process = start(run_files.config, "-o", broken, "--resume")
    wait_for_step(process, last, killed_at + 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert err.endswith("dep: stopped\n")
    again = f"dep train {run_files.config} -o {broken} --resume"
    assert f"dep: what is saved goes on with: {again}\n" in err
    assert "Lightning" not in err
    assert "Traceback" not in err
    stopped_at = load_checkpoint(last).step
    assert killed_at < stopped_at < 30
    assert not list(broken.rglob("*.part"))

    resumed = load_checkpoint(train(config, broken, resume=True))
    whole = load_checkpoint(train(config, tmp_path / "whole"))
    assert resumed.step == whole.step
    ends = [
        load_checkpoint(tmp_path / name / "last.ckpt") for name in ("broken", "whole")
    ]
    for a, b in ((resumed, whole), ends):
        expected = b.network.state_dict()
        for key, value in a.network.state_dict().items():
            assert torch.equal(value, expected[key]), key
    a, b = (History.from_dict(end.training["history"]) for end in ends)
    assert a == b
    names = [
        sorted(p.name for p in (tmp_path / n / "best").iterdir())
        for n in ("broken", "whole")
    ]
    assert names[0] == names[1]
    assert len(names[0]) == 3  # validated at 12, 24 and 30
    steps = [
        line.split(",")[0] for line in (broken / "metrics.csv").read_text().split()
    ]
    assert len(set(steps)) == len(steps)


def test_an_interrupted_validation_is_made_up_for(run_files, tmp_path, monkeypatch):
    config = load_config(run_files.config)
    config = config.model_copy(
        update={"training": config.training.model_copy(update={"validate_every": 2})}
    )
    calls = []
    original = watch.validate

    def stop_in_the_second(*arguments):
        calls.append(1)
        if len(calls) == 2:
            press_ctrl_c()
        return original(*arguments)

    monkeypatch.setattr("dep.train.watch.validate", stop_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    kept = load_checkpoint(tmp_path / "run/last.ckpt")
    assert (kept.step, kept.training["history"]["validated"]) == (4, 2)
    train(config, tmp_path / "run", resume=True)
    assert len(calls) == 4
    rows = (tmp_path / "run/metrics.csv").read_text().splitlines()[1:]
    validated = [int(row.split(",")[0]) for row in rows if row.split(",")[9]]
    assert validated == [2, 4, 6]


def test_a_second_ctrl_c_is_not_held_back():
    with Interruption() as interruption:
        interruption.listen()
        interruption.hold()
        press_ctrl_c()
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
        interruption.release()
        with pytest.raises(KeyboardInterrupt):
            interruption.deliver()
        assert not interruption.asked
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nobody_listens_for_sigterm_where_nobody_did():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with Interruption() as interruption:
            interruption.listen()
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
