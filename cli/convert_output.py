"""What `dep convert` writes: files, or a stream; and what it says of them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dep.cli.failure import UsageError, say

if TYPE_CHECKING:
    from dep.engine import Picks
    from dep.engine.formats.format import Conventions


def is_stream(out: Path) -> bool:
    """Tell standard output, pipes and devices from files and folders to write."""
    if str(out) in ("-", "/dev/stdout", "/dev/stderr") or str(out.parent) == "/dev/fd":
        return True
    return out.is_fifo() or out.is_char_device()


def write_to_stream(
    picks: "list[Picks]", out: Path, form: str, how: "Conventions"
) -> list[dict[str, Any]]:
    """Write to a stream. Nothing else is said there."""
    from dep.engine.formats.files import write_stream

    if str(out) in ("-", "/dev/stdout"):
        sys.stdout.flush()
        losses = write_stream(picks, sys.stdout.buffer, form, how)
    else:
        with out.open("wb") as stream:
            losses = write_stream(picks, stream, form, how)
    for loss in losses:
        say(loss)
    return []


def write_to_files(
    plan: "dict[Path, list[Picks]]", form: str, how: "Conventions", *, overwrite: bool
) -> list[dict[str, Any]]:
    """Write files, none of which may be there unless they are to be replaced.

    Those that a format writes beside a file included.

    Raises
    ------
    UsageError
        One is there.
    """
    from dep.engine.formats.files import compose, write_files

    composed = {path: compose(picks, path, form, how) for path, picks in plan.items()}
    every = [file for files, _ in composed.values() for file in files]
    existing = [file for file in every if file.exists() and not file.is_dir()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        message = f"{existing[0]}{more}: exists already; replace with --overwrite"
        raise UsageError(message)
    written: list[dict[str, Any]] = []
    told: set[str] = set()
    for path, (files, losses) in composed.items():
        write_files(files)
        for loss in losses:
            if loss not in told:
                say(loss)
        told.update(losses)
        written.append(
            {
                "path": str(path),
                "picks": sum(len(one) for one in plan[path]),
                "tomograms": len(plan[path]),
                "losses": losses,
            }
        )
    return written
