"""Keep `run.json`: what was picked with what, and how it ended, per tomogram."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dep import __version__
from dep.cli.failure import UsageError
from dep.cli.wording import to_json
from dep.engine.atomic import atomic_text
from dep.engine.formats.relion_set import RECORDED, combined_in

NAME = "run.json"
VERSION = 1

Entry = dict[str, Any]
RunStatus = Literal["running", "complete", "failed", "interrupted"]


@dataclass
class RunLog:
    """The record of a folder of picks; every change is on disk before it returns.

    Several processes may pick into one folder: each change re-reads the file and
    replaces only this run's entries, under a lock on the folder where the file system
    offers one.

    Attributes
    ----------
    path
        Of `run.json`.
    command
        The command line of this run.
    models
        Cards of the models that picked in this run, by the digest of their weights.
    combined
        Files of the folder that hold the picks of all tomograms; None: as it was.
    """

    path: Path
    command: tuple[str, ...]
    started: str = field(default_factory=lambda: now())
    mine: dict[str, Entry] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    combined: list[str] | None = None

    def entries(self) -> dict[str, Entry]:
        """Read what the folder's runs have recorded so far, by output name.

        Raises
        ------
        UsageError
            When the file there cannot be read or is not a record of ours.
        """
        return self._read()[0]

    def _read(self) -> tuple[dict[str, Entry], dict[str, Any]]:
        """Give the entries by output name, and the cards of the models."""
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            entries = dict(document["tomograms"])
            models = dict(document.get("models", {}))
        except FileNotFoundError:
            return {}, {}
        except OSError as error:
            message = f"{self.path}: cannot be read ({error.strerror or error})"
            raise UsageError(message) from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._foreign(str(error)) from error
        for name, entry in entries.items():
            if not isinstance(entry, dict) or not isinstance(entry.get("status"), str):
                why = f"the entry {name!r} has no status"
                raise self._foreign(why)
        return entries, models

    def _foreign(self, why: str) -> UsageError:
        return UsageError(
            f"{self.path}: not a record of dep's ({why}). "
            "Move it away or take another folder with -o."
        )

    def record(self, entries: dict[str, Entry], status: RunStatus = "running") -> None:
        """Add or replace entries of this run and say how the run stands."""
        self.mine.update(entries)
        with _lock(self.path.parent):
            document = self.document(status)
            entries, models = self._read()
            document["tomograms"] = {**entries, **self.mine}
            document["models"] = {**models, **self.models}
            if self.combined is None and (before := combined_in(self.path.parent)):
                document[RECORDED] = before
            text = to_json(document, indent=1, encoding="utf-8") + "\n"
            with atomic_text(self.path) as stream:
                stream.write(text)

    def document(self, status: RunStatus) -> dict[str, Any]:
        """Give this run's own record as JSON holds it."""
        return {
            "run_version": VERSION,
            "software": f"dep {__version__}",
            "command": list(self.command),
            "started": self.started,
            "ended": None if status == "running" else now(),
            "status": status,
            "models": self.models,
            **({} if self.combined is None else {RECORDED: self.combined}),
            "tomograms": self.mine,
        }

    @contextlib.contextmanager
    def held(self) -> Iterator[dict[str, Entry]]:
        """Give the entries of all runs, which no other process changes meanwhile."""
        with _lock(self.path.parent):
            yield self.entries()


def now() -> str:
    """Say the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes, where the system can."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
