"""The report: a JSON document that is whole at any time, and a table to read."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu.context import DONE, NOT_RUN, plain

WIDEST, WORDS_WIDEST = 60, 200  # characters of a cell, and of one in whole sentences
SENTENCES = ("note", "why", "remark", "warning")
TEXT = "text"  # a cell of many lines, which goes below the table


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document; at no time is there half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(
            json.dumps(plain(dict(document)), indent=1, allow_nan=False) + "\n",
            encoding="utf-8",
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def status(parts: Mapping[str, Mapping[str, Any]]) -> int:
    """Give the exit status: 0 all is well, 1 something failed, 3 nothing was checked.

    A part that cannot run for lack of a library is no failure; where none could but
    the one that looks around, nothing was checked.
    """
    if any(part["state"] not in (DONE, NOT_RUN) for part in parts.values()):
        return 1
    checked = [name for name, part in parts.items() if part["state"] == DONE]
    return 0 if set(checked) - {"environment"} else 3


def text(document: Mapping[str, Any]) -> str:
    """Lay the document out for reading."""
    lines = [f"gpu_check {document['made']}: {document['seconds']:.0f} s"]
    lines += [
        f"  {name}: {_cell(value, wide=True)}"
        for name, value in document["setup"].items()
    ]
    for name, part in document["parts"].items():
        why = f": {part['why']}" if part["why"] else ""
        lines += ["", f"== {name}: {part['state']}{why} ({part['seconds']:.1f} s)"]
        for fault in part.get("faults", []):
            if fault not in part["why"]:
                lines.append(f"  WRONG: {fault}")
        for key, value in part.get("values", {}).items():
            lines.append(f"  {key}: {_cell(value, wide=True)}")
        for title, rows in part.get("tables", {}).items():
            lines += ["", f"  -- {title}", *table(rows)]
            for row in rows:
                lines += [f"  | {line}" for line in str(row.get(TEXT, "")).splitlines()]
        if tail := part.get("output_tail", "").strip():
            lines += ["", "  -- what it printed last"]
            lines += [f"  | {line}" for line in tail.splitlines()[-15:]]
    return "\n".join(lines)


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lay rows out in columns; a column is there if any row has it."""
    names: list[str] = []
    for row in rows:
        names += [name for name in row if name not in names and name != TEXT]
    cells = [names] + [
        [_cell(row.get(name, ""), wide=name in SENTENCES) for name in names]
        for row in rows
    ]
    numbers = [
        all(isinstance(row.get(name, 0), int | float | None) for row in rows)
        for name in names
    ]
    widths = [max(len(line[k]) for line in cells) for k in range(len(names))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in cells
    ]


def _cell(value: object, *, wide: bool = False) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 1e4 else str(value)
    if isinstance(value, list):
        value = ", ".join(_cell(one) for one in value)
    words = " ".join(str(value).split())
    most = WORDS_WIDEST if wide else WIDEST
    return words if len(words) <= most else words[: most - 1] + "…"
