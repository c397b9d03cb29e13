"""The command line of `gpu_check`, from the options to the exit status."""

import argparse
import datetime
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from gpu import checkout, report, schedule
from gpu.parts import PARTS, Part, choose

ROOT = Path(__file__).resolve().parent.parent.parent
BUDGET = 465.0  # seconds, all in all: some are left of eight minutes
WRONG_USE = 2


def main(words: Sequence[str] | None = None, parts: tuple[Part, ...] = PARTS) -> int:
    """Run the check.

    Returns
    -------
    int
        0 all is well; 1 a part failed, crashed or was stopped; 2 wrong use; 3 nothing
        could be checked, for want of a GPU or of what it needs; 130, 143 stopped from
        outside, with what was found so far in the report.
    """
    began = time.monotonic()
    options = _options(words)
    try:
        chosen = choose(options.only, parts)
        out = options.out or _default_out()
        out.parent.mkdir(parents=True, exist_ok=True)
        wheels, models = (_folder(one) for one in (options.wheels, options.models))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"gpu_check: {error}\n")
        return WRONG_USE
    document: dict[str, Any] = {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "finished": False,
        "budget_s": options.budget,
        "seconds": 0.0,
        "setup": {},
        "parts": {},
    }

    def changed() -> None:
        document["seconds"] = round(time.monotonic() - began, 2)
        report.write(out, document)

    scratch = Path(tempfile.mkdtemp(prefix="gpu_check-"))
    handlers = {
        number: signal.signal(number, _stop)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        changed()
        place = schedule.Place(
            ROOT,
            scratch,
            checkout.prepare(ROOT, scratch, wheels, document["setup"]),
            models,
        )
        deadline = began + options.budget
        schedule.run(chosen, place, deadline, document["parts"], changed)
        document["finished"] = True
        result = report.status(document["parts"])
    except _StoppedError as stop:
        for part in document["parts"].values():
            if part["state"] in (schedule.RUNNING, schedule.WAITING):
                part |= {"state": schedule.STOPPED, "why": str(stop)}
        result = 128 + stop.number
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        shutil.rmtree(scratch, ignore_errors=True)
    changed()
    sys.stdout.write(report.text(document) + f"\n\nreport: {out}\n")
    return result


class _StoppedError(Exception):
    """A signal came."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"gpu_check was stopped by {signal.Signals(number).name}")


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    raise _StoppedError(number)


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="gpu_check",
        description="Checks and times dep on a machine with a GPU; see docs/gpu.md.",
        epilog="parts: " + ", ".join(part.name for part in PARTS),
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the report, JSON")
    parser.add_argument("--only", metavar="PARTS", help="comma-separated parts to run")
    parser.add_argument(
        "--budget", type=float, default=BUDGET, metavar="S", help="seconds, all in all"
    )
    parser.add_argument(
        "--wheels",
        type=Path,
        metavar="FOLDER",
        help="wheels to install for the check alone, none of what they need",
    )
    parser.add_argument(
        "--models",
        type=Path,
        metavar="FOLDER",
        help=".onnx and .plan files with their cards, to be timed as well",
    )
    return parser.parse_args(words)


def _folder(named: Path | None) -> Path | None:
    """Give a folder's path from the root: parts run in folders of their own."""
    if named is None:
        return None
    if not named.is_dir():
        message = f"{named}: is not a folder"
        raise ValueError(message)
    return named.resolve()


def _default_out() -> Path:
    """Name the report after the GPU and the day."""
    name = "none"
    if shutil.which("nvidia-smi"):
        try:
            said = subprocess.run(
                ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
                capture_output=True,
                text=True,
                check=True,
                timeout=20,
            ).stdout.splitlines()
            name = re.sub(r"[^A-Za-z0-9]+", "-", said[0] if said else name).strip("-")
        except (OSError, subprocess.SubprocessError):
            name = "unknown"
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    return ROOT / "benchmarks" / "results" / f"gpu_{name.lower()}_{day}.json"
