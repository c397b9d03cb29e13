"""Start one process for each device and watch over them: one stops, all stop."""

import json
import math
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from dep.engine.errors import DepError
from dep.train.checkpoint import CheckpointError
from dep.train.config import ConfigError, TrainConfig, config_values
from dep.train.metrics_file import Progress
from dep.train.ranks import LOOPBACK, Ranks
from dep.train.state import TrainingError
from dep.train.validate import Validation

ERRORS = {one.__name__: one for one in (CheckpointError, ConfigError, TrainingError)}
COMMAND = (sys.executable, "-m", "dep.train.rank_main")
Lines = queue.Queue[tuple[int, dict[str, Any] | None]]


def launch(
    config: TrainConfig,
    out: Path,
    devices: int,
    resume: bool,
    init: str | Path | None,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Train in `devices` processes, and return when all have ended.

    Parameters are those of `dep.train.fit.train`. Ctrl-C is passed on to the
    processes, which end together after a step and save.

    Raises
    ------
    ConfigError, CheckpointError, TrainingError
        What the first process to fail said; the others are ended.
    KeyboardInterrupt
        After the processes have ended.
    """
    port = _free_port()
    # Whether there is a [network] decides what --init and --resume take.
    unset = {"network"} - config.model_fields_set
    values = {k: v for k, v in config_values(config).items() if k not in unset}
    lines: Lines = queue.Queue()
    processes: list[subprocess.Popen[str]] = []
    try:
        for rank in range(devices):
            ranks = Ranks(rank, devices, rank, devices, LOOPBACK, port)
            task = {
                "ranks": asdict(ranks),
                "config": values,
                "out": str(out),
                "resume": resume,
                "init": None if init is None else str(init),
            }
            processes.append(_start(task, rank, lines))
        _listen(processes, lines, progress)
    except KeyboardInterrupt:
        _ask_to_stop(processes, progress)
        raise
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _start(task: Mapping[str, Any], rank: int, lines: Lines) -> "subprocess.Popen[str]":
    """Start a process, whose lines arrive in the queue; None follows the last."""
    process = subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C on a terminal reaches the whole group: it is passed on from here.
        start_new_session=True,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None and stdout is not None  # noqa: PT018 - asked for above
    stdin.write(json.dumps(task) + "\n")
    stdin.flush()  # left open: its end tells the process that this one is gone

    threading.Thread(
        target=_read, args=(stdout, rank, lines), name=f"dep-rank-{rank}", daemon=True
    ).start()
    return process


def _read(stdout: IO[str], rank: int, lines: Lines) -> None:
    """Put a process's lines into the queue, and None after the last."""
    try:
        with stdout:
            for line in stdout:
                try:
                    said = json.loads(line)
                except ValueError:  # none of ours
                    sys.stderr.write(line)
                    continue
                lines.put((rank, said))
    finally:
        lines.put((rank, None))


def _listen(
    processes: list["subprocess.Popen[str]"],
    lines: Lines,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Pass reports on until all processes have ended well, or one has not."""
    left = len(processes)
    while left:
        rank, line = lines.get()
        if line is None:
            status = processes[rank].wait()
            if status:
                raise TrainingError(_ended(rank, status))
            left -= 1
        elif "error" in line:
            kind = ERRORS.get(line["error"], DepError)
            raise kind(line["message"])
        elif progress is not None:
            progress(decode(line))


def _ask_to_stop(
    processes: list["subprocess.Popen[str]"],
    progress: Callable[[Progress], None] | None,
) -> None:
    """Tell the processes to save and end; a second Ctrl-C ends them at once.

    A step or a validation takes as long as it takes: they are not hurried.
    """
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    if progress is not None:
        note = "stops after this step or validation; Ctrl-C again stops at once"
        progress(Progress(0, 0, math.nan, 0.0, 0.0, 0.0, None, note))
    for process in processes:
        process.wait()


def _ended(rank: int, status: int) -> str:
    how = f"with status {status}"
    if status < 0:
        how = f"by signal {signal.Signals(-status).name}"
    advice = ""
    if status == -signal.SIGKILL:
        advice = (
            "; the system does so when memory runs out: lower training.batch or "
            "training.patch"
        )
    return (
        f"the process of device {rank} ended {how}{advice}. The run goes on from its "
        "last checkpoint with --resume"
    )


def encode(report: Progress) -> dict[str, Any]:
    """Return a report as plain values that JSON can hold."""
    return _without_nan(asdict(report))


def decode(values: Mapping[str, Any]) -> Progress:
    """Build a report from what `encode` gave."""
    scores = values["validation"]
    known: dict[str, Any] = {k: math.nan if v is None else v for k, v in values.items()}
    known["validation"] = None
    if scores is not None:
        scores = {k: math.nan if v is None else v for k, v in scores.items()}
        known["validation"] = Validation(**scores)
    return Progress(**known)


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            plain[key] = _without_nan(value)
        else:
            nan = isinstance(value, float) and not math.isfinite(value)
            plain[key] = None if nan else value
    return plain


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
