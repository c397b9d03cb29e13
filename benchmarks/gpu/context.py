"""Takes a part's results down, line by line: a crash loses none that was there."""

import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# How a part ended, as its own process knows it; the others are the schedule's words.
DONE, NOT_RUN, FAILED = "done", "not run", "failed"


class NotRunError(Exception):
    """A part cannot run here; the message says why."""


@dataclass
class Context:
    """What a part is given.

    Attributes
    ----------
    lines
        The file that results go to.
    scratch
        A folder for all parts, gone afterwards.
    root
        The checkout.
    seconds
        After which the part is stopped.
    models
        A folder of model files that were brought along.
    """

    lines: Path
    scratch: Path
    root: Path
    seconds: float
    models: Path | None = None
    began: float = field(default_factory=time.monotonic)
    faults: list[str] = field(default_factory=list)

    def left(self) -> float:
        """Seconds until the part is stopped, less one to end in good order."""
        return self.began + self.seconds - 1 - time.monotonic()

    def row(self, table: str, **cells: object) -> None:
        """Add a row to one of the part's tables."""
        self._write({"table": table, "row": cells})

    def value(self, name: str, value: object) -> None:
        """Note a single result; the last one of a name counts."""
        self._write({"name": name, "value": value})

    def fault(self, words: str) -> None:
        """Note that something is wrong: the part goes on, and has failed."""
        self.faults.append(words)
        self._write({"fault": words})

    def end(self, state: str, why: str = "") -> None:
        """Note how the part ended."""
        self._write({"end": state, "why": why})

    def _write(self, line: dict[str, object]) -> None:
        # One write each, at the end of the file: the pieces of two processes never mix.
        with self.lines.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(plain(line), allow_nan=False) + "\n")


def plain(value: object) -> object:
    """Give what JSON can hold; a number that is none becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    try:
        number = float(value)  # type: ignore[arg-type]  # NumPy's too
    except (TypeError, ValueError):
        return str(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def read(lines: Iterable[str]) -> dict[str, Any]:
    """Collect what a part took down; lines that are not its own are counted.

    Returns
    -------
    dict
        "values", "tables", "faults", and, where the part came to its end, "end" and
        "why".
    """
    found: dict[str, Any] = {"values": {}, "tables": {}, "faults": []}
    strange = 0
    for line in lines:
        try:
            entry = json.loads(line)
            if "table" in entry:
                table = found["tables"].setdefault(entry["table"], [])
                table.append(dict(entry["row"]))
            elif "name" in entry:
                found["values"][entry["name"]] = entry["value"]
            elif "fault" in entry:
                found["faults"].append(str(entry["fault"]))
            else:
                found["end"], found["why"] = entry["end"], str(entry["why"])
        except (ValueError, KeyError, TypeError, AttributeError):
            strange += bool(line.strip())
    if strange:
        found["strange_lines"] = strange
    return found
