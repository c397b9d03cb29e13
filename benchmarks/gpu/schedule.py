"""Runs the parts in turn, each in a process of its own that is ended in time."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu.context import DONE, FAILED, NOT_RUN, read
from gpu.parts import Part

STOPPED, CRASHED, RUNNING, WAITING = "stopped", "crashed", "running", "waiting"
LEAST = 2.0  # seconds with which a part is begun
GLANCE = 0.5  # seconds between looks at what a part has taken down
TAIL = 4000  # characters kept of what a part printed


@dataclass(frozen=True)
class Place:
    """Where parts run.

    Attributes
    ----------
    root
        The checkout.
    scratch
        A folder for what they write.
    environment
        Their environment variables.
    models
        A folder of model files that were brought along.
    """

    root: Path
    scratch: Path
    environment: Mapping[str, str]
    models: Path | None = None


def limit_of(part: Part, after: Sequence[Part], left: float) -> float:
    """Share the time that is left among a part and those after it."""
    shares = part.share + sum(other.share for other in after)
    return left * part.share / shares


def run(
    parts: Sequence[Part],
    place: Place,
    deadline: float,
    results: dict[str, Any],
    changed: Callable[[], None],
) -> None:
    """Run parts.

    Parameters
    ----------
    parts, place
        Which, and where.
    deadline
        `time.monotonic` at which the last is ended.
    results
        Gets an entry for each part; see `one`.
    changed
        Called whenever `results` has changed.
    """
    for part in parts:
        results[part.name] = {"state": WAITING, "why": "", "seconds": 0.0}
    changed()
    for number, part in enumerate(parts):
        left = deadline - time.monotonic()
        limit = limit_of(part, parts[number + 1 :], left)
        if limit < LEAST:
            why = f"no time was left: {max(limit, 0):.1f} s"
            results[part.name] |= {"state": NOT_RUN, "why": why}
            changed()
            continue
        one(part, place, limit, results[part.name], changed)


def one(
    part: Part,
    place: Place,
    limit: float,
    result: dict[str, Any],
    changed: Callable[[], None],
) -> None:
    """Run a part; whatever becomes of it, `result` says what and why."""
    lines = place.scratch / f"{part.name}.jsonl"
    printed = place.scratch / f"{part.name}.out"
    lines.touch()
    settings = {
        "lines": str(lines),
        "scratch": str(place.scratch),
        "root": str(place.root),
        "seconds": limit,
        "models": str(place.models) if place.models else None,
    }
    result |= {"state": RUNNING, "limit_s": round(limit, 1)}
    began = time.monotonic()
    with printed.open("wb") as output:
        process = subprocess.Popen(
            # -P: neither this folder nor the current one hides installed modules.
            [sys.executable, "-P", "-m", "gpu.worker", part.call, json.dumps(settings)],
            cwd=place.scratch,
            env=dict(place.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, to be ended as a whole
        )
    seen = 0
    try:
        while process.poll() is None and time.monotonic() - began < limit:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(min(GLANCE, max(0.01, began + limit - time.monotonic())))
            size = lines.stat().st_size
            if size != seen:
                seen = size
                result |= _taken_down(lines)
                changed()
    finally:
        in_time = process.poll() is not None
        _end(process)
    result |= _taken_down(lines)
    state, why = outcome(result, process.returncode, limit if not in_time else None)
    result.pop("end", None)
    result |= {"state": state, "why": why}
    result["seconds"] = round(time.monotonic() - began, 2)
    if state not in (DONE, NOT_RUN):
        result["output_tail"] = _tail(printed)
    changed()


def outcome(
    found: Mapping[str, Any], status: int | None, limit: float | None
) -> tuple[str, str]:
    """Say how a part ended.

    Parameters
    ----------
    found
        What it took down.
    status
        Of its process.
    limit
        The seconds at which it was stopped; None if it ended by itself.
    """
    if limit is not None:
        return STOPPED, f"it was stopped after {limit:.0f} s, its limit"
    if "end" in found:
        why = found["why"]
        if status is not None and status < 0:
            why = f"{why}; after its end {_signal(-status)}".removeprefix("; ")
        return found["end"], why
    if status is not None and status < 0:
        return CRASHED, _signal(-status)
    return FAILED, f"its process ended with status {status} before its end"


def _signal(number: int) -> str:
    try:
        return f"its process was ended by {signal.Signals(number).name}"
    except ValueError:
        return f"its process was ended by signal {number}"


def _taken_down(lines: Path) -> dict[str, Any]:
    with lines.open(encoding="utf-8", errors="replace") as stream:
        return read(stream)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # One that waits for a hung driver cannot be ended: the others need not wait too.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)


def _tail(printed: Path) -> str:
    text = printed.read_bytes()[-TAIL:].decode(errors="replace")
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text)
