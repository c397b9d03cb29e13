"""Measure what only a new process can tell: the cold start, and the memory it takes.

The process is this Python; it opens the model, computes the first tiles, and picks the
tomogram once. It is told what to do as JSON on standard input and answers in JSON.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from dep.engine.bench.contender import Contender
from dep.engine.bench.measure import tile_calls
from dep.engine.bench.memory import Memory, MemoryWatch
from dep.engine.bench.subject import Subject
from dep.engine.bundled import model_path
from dep.engine.errors import DepError
from dep.engine.model_file import read_card
from dep.engine.runtime import onnxruntime_api, openvino_cpu

# Imports what picking imports; how long that takes is part of the answer.
_PROGRAM = """
import time; born = time.time(); start = time.perf_counter()
import dep.engine
import sys; imported = time.perf_counter() - start
from dep.engine.bench import fresh
sys.stdout.write("\\n" + fresh.answer(sys.stdin.read(), born, imported))
"""
# How a runtime that has a name of its own is loaded without opening a model.
_LOAD: dict[str, Callable[[], str | None]] = {
    "openvino": openvino_cpu.version,
    "onnxruntime": onnxruntime_api.version,
}


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Seconds from nothing to the first scores, in the order of their passing.

    All files were read before: the disk has no part in it.

    Attributes
    ----------
    python : float
        Until Python runs.
    imports : float
        Importing `dep.engine`.
    load : float
        Loading the runtime's library.
    open : float
        Reading the model's card.
    compile : float
        Reading the network and compiling it; with the library where it is loaded here.
    first : float
        The first batch of tiles.
    second : float or None
        The next batch, for comparison; no part of the start. None where there is none.
    """

    python: float
    imports: float
    load: float
    open: float
    compile: float
    first: float
    second: float | None

    @property
    def total(self) -> float:
        """Until the first scores are there."""
        return (
            self.python
            + self.imports
            + self.load
            + self.open
            + self.compile
            + self.first
        )

    def to_dict(self) -> dict[str, float | None]:
        """Give plain values that JSON can hold."""
        return {**asdict(self), "total": self.total}


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a new process has told."""

    cold_start: ColdStart
    memory: Memory


def measure_fresh(contender: Contender, subject: Subject, library: str) -> Fresh:
    """Have a new process open a contender's model and pick the tomogram once.

    Parameters
    ----------
    contender, subject
        What is picked with what.
    library : str
        Name of the runtime that the contender is known to get, such as ``openvino``.

    Raises
    ------
    DepError
        The process failed; says why.
    """
    order = {
        "contender": contender.options(),
        "subject": {**asdict(subject), "path": str(subject.path)},
        "library": library,
        "sent": time.time(),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
    )
    answer = _parsed(done.stdout) if done.returncode == 0 else None
    if answer is None:
        message = f"{subject.path}: a new process could not pick it: {_why(done)}"
        raise DepError(message)
    if "error" in answer:
        raise DepError(answer["error"])
    return Fresh(ColdStart(**answer["cold_start"]), Memory(**answer["memory"]))


def _parsed(words: str) -> dict[str, Any] | None:
    """Read the last line: libraries may have written others before it."""
    try:
        answer: dict[str, Any] = json.loads(words.rpartition("\n")[2])
    except ValueError:
        return None
    return answer


def _why(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        hint = "; was there memory enough?" if name == "SIGKILL" else ""
        return f"it was ended by {name}{hint}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with status {done.returncode}"


def answer(order: str, born: float, imported: float) -> str:
    """Do in the new process what it was started for.

    Parameters
    ----------
    order : str
        As `measure_fresh` writes it.
    born : float
        When the process began with Python, `time.time`.
    imported : float
        Seconds of importing `dep.engine`.

    Returns
    -------
    str
        JSON in one line: what was measured, or the error.
    """
    told = json.loads(order)
    subject = told["subject"]
    try:
        cold_start, memory = _start_and_pick(
            Contender(**told["contender"]),
            Subject(**{**subject, "path": Path(subject["path"])}),
            told["library"],
        )
    except DepError as error:
        return json.dumps({"error": str(error)})
    python = max(0.0, born - told["sent"])
    cold_start |= {"python": python, "imports": imported}
    return json.dumps({"cold_start": cold_start, "memory": asdict(memory)})


def _start_and_pick(
    contender: Contender, subject: Subject, library: str
) -> tuple[dict[str, float | None], Memory]:
    start = perf_counter()
    read_card(model_path(contender.model))
    opened = perf_counter()
    _LOAD.get(library, lambda: None)()
    loaded = perf_counter()
    with contender.open() as picker:
        compiled = perf_counter()
        # Before the first tiles: what a runtime keeps for computing is picking's.
        watch = MemoryWatch()
        first, *second = tile_calls(picker, subject, 2)
        subject.pick(picker)
        memory = watch.ended()
    return {
        "open": opened - start,
        "load": loaded - opened,
        "compile": compiled - loaded,
        "first": first,
        "second": second[0] if second else None,
    }, memory
