"""Several processes train one network: the same weights on each, in step."""

import io
import json
import subprocess
import sys

import pytest
import torch

from dep.train import (
    CheckpointError,
    TrainingError,
    load_checkpoint,
    load_config,
    train,
)
from dep.train.launch import Lines, _ask_to_stop, _listen, _read, decode, encode
from dep.train.metrics_file import Progress
from dep.train.ranks import find_ranks
from dep.train.validate import Validation

# A process of a device that keeps what it ends with.
RANK = """
import os
import signal
import sys
from dep.train.rank_main import main
from dep.train.watch import Watch, dist
import torch
conclude = Watch.conclude
def keep(self):
    state = [self.run.network.state_dict(), self.run.shipped()["state_dict"]]
    history = self.history.to_dict()
    path = self.folder.path.with_name(f"rank{self.ranks.rank}.pt")
    os.write(1, b"a library prints\\n")  # no report, and not in its way
    os.kill(os.getpid(), signal.SIGTERM)  # for the process that started this one
    torch.save([*state, history, dist.get_backend()], path)
    conclude(self)
Watch.conclude = keep
sys.exit(main())
"""

# Both processes of a training, forked from one that has imported all: they keep what
# they save, and are stopped in the third step, then go on. They take a checkpoint for a
# model file, to measure what its batch norms are to know.
STOPPED = """
import os
import signal
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from dep.train import fit, load_config
from dep.train.launch import _free_port
from dep.train.ranks import Ranks
from dep.train.run_folder import RunFolder
from dep.train.watch import Watch
import torch
import torch._dynamo

def keep(self):
    state = [[value for value in one.state_dict().values() if value.is_floating_point()]
        for one in (self.run.network, self.run.average)]
    path = self.folder.path.with_name(f"rank{self.ranks.rank}_{self.run.step}.pt")
    torch.save(state, path)
    save(self)

def stop(self, *rest):
    begin(self, *rest)
    if self.run.step == 2 and self.ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGINT)

def work(rank, port, resume):
    ranks = Ranks(rank, 2, rank, 2, port=port)
    init = None if resume else sys.argv[3]
    try:
        folder = RunFolder(Path(sys.argv[2]))
        fit.train_rank(config, folder, ranks, "cpu", resume, init, None)
    except KeyboardInterrupt:
        sys.exit(130)

load, save, begin = fit.load_initial, Watch.save, Watch.on_train_batch_start
fit.load_initial = lambda source: replace(load(source), folded=True)
Watch.save, Watch.on_train_batch_start = keep, stop
config = load_config(sys.argv[1])
fork = get_context("fork")
for resume in (False, True):
    port = _free_port()
    both = [fork.Process(target=work, args=(k, port, resume)) for k in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    print(*[one.exitcode for one in both])
"""


@pytest.fixture
def two_devices(run_files):
    text = run_files.config.read_text()
    text = text.replace('device = "cpu"', 'device = "cpu"\ndevices = 2')
    text = text.replace("steps = 6", "steps = 5\nvalidate_every = 3")
    held = '{ tomogram = "held.mrc", coordinates = "held.csv" }'
    for suffix in (".mrc", ".csv"):
        (run_files.folder / f"more{suffix}").symlink_to(f"held{suffix}")
    run_files.config.write_text(
        text.replace(
            held, held + ', { tomogram = "more.mrc", coordinates = "more.csv" }'
        )
    )
    return run_files.config


def test_two_ranks_end_with_one_network(two_devices, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONWARNINGS", "error::UserWarning")
    monkeypatch.setattr("dep.train.launch.COMMAND", (sys.executable, "-c", RANK))
    reports = []
    path = train(load_config(two_devices), tmp_path / "run", progress=reports.append)
    assert capfd.readouterr() == ("", 2 * "a library prints\n")
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in "01")
    assert str(first[2:]) == str(second[2:])  # text: a distance may be nan
    assert (first[2]["validated"], first[3]) == (5, "gloo")
    for a, b in zip(first[:2], second[:2], strict=True):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert torch.equal(value, b[key]), key

    assert path == tmp_path / "run/model.ckpt"
    kept = load_checkpoint(tmp_path / "run/last.ckpt").network.state_dict()
    assert all(torch.equal(kept[key], value) for key, value in first[1].items())
    assert [r.step for r in reports if r.validation] == [3, 5]
    versions = json.loads((tmp_path / "run/versions.json").read_text())
    assert versions["processes"] == 2


def test_ranks_that_start_from_a_model_file_are_stopped_and_go_on_as_one(
    two_devices, trained, tmp_path
):
    """From before the first step, over a Ctrl-C in one of them, to the end."""
    text = two_devices.read_text().replace("steps = 5", "steps = 4")
    two_devices.write_text(text.replace("validate_every = 3\n", ""))
    arguments = [two_devices, tmp_path / "run", trained]
    ended = subprocess.run(
        [sys.executable, "-c", STOPPED, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "130 130\n0 0\n", ended.stderr
    for step in (0, 3, 4):
        first, second = (
            torch.load(tmp_path / f"rank{rank}_{step}.pt") for rank in "01"
        )
        for a, b in zip(first, second, strict=True):
            assert all(map(torch.equal, a, b))
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["started_from"]["weights"] == "model.ckpt"


def test_what_one_process_says_ends_all():
    lines = Lines()
    lines.put((1, {"error": "CheckpointError", "message": "x.ckpt: truncated"}))
    with pytest.raises(CheckpointError, match="truncated"):
        _listen([None, None], lines, None)


def test_a_process_that_is_killed_is_explained():
    killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    killed.kill()
    lines = Lines()
    lines.put((0, None))
    with pytest.raises(TrainingError, match=r"SIGKILL.*memory.*--resume"):
        _listen([killed], lines, None)


def test_lines_that_are_no_reports_go_to_stderr(capsys):
    lines = Lines()
    _read(io.StringIO('NCCL INFO\n{"step": 1}\n\n'), 3, lines)
    assert [lines.get(), lines.get()] == [(3, {"step": 1}), (3, None)]
    assert capsys.readouterr().err == "NCCL INFO\n\n"


def test_who_is_asked_to_stop_is_waited_for():
    program = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: (time.sleep(1), sys.exit(130)))
print("ready", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    notes = []
    _ask_to_stop([process], notes.append)
    assert process.poll() == 130
    assert "Ctrl-C again stops at once" in notes[0].note
    process.stdout.close()


def test_reports_survive_the_way_between_processes():
    scores = Validation(0.5, 0.25, 1 / 3, 0.03, float("nan"), 0.2, partial=True)
    report = Progress(3, 9, 0.1, 1e-3, 2.0, 0.5, scores)
    line = json.loads(json.dumps(encode(report), allow_nan=False))
    back = decode(line)
    assert back.validation.partial
    assert str(back) == str(report)
    assert decode(encode(Progress(3, 9, 0.1, 1e-3, 2.0, 0.5))).validation is None


def test_torchrun_and_srun_tell_which_process_this_is():
    torchrun = {
        "TORCHELASTIC_RUN_ID": "1",
        "RANK": "5",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "8",
        "LOCAL_WORLD_SIZE": "4",
        "MASTER_ADDR": "node1",
        "MASTER_PORT": "4000",
    }
    ranks = find_ranks(4, 2, torchrun)
    assert (ranks.rank, ranks.local, ranks.address, ranks.port) == (5, 1, "node1", 4000)
    srun = {
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NODELIST": "gpu[07-08]",
        "SLURM_NTASKS": "8",
        "SLURM_PROCID": "6",
        "SLURM_LOCALID": "2",
        "SLURM_JOB_ID": "123456",
    }
    ranks = find_ranks(4, 2, srun)
    assert (ranks.rank, ranks.local, ranks.world, ranks.address) == (6, 2, 8, "gpu07")
    assert find_ranks(4, 1, {}) is None
    assert find_ranks(1, 1, torchrun).world == 1
    # A batch script that starts one process for two devices of its own.
    assert find_ranks(2, 1, {**srun, "SLURM_NTASKS": "1"}) is None
    with pytest.raises(TrainingError, match="8 processes were started"):
        find_ranks(2, 2, torchrun)
    with pytest.raises(TrainingError, match="torchrun"):
        find_ranks(2, 2, {})
