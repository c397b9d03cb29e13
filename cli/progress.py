"""Show how far long work has come: a bar on a terminal, JSON lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from dep.cli.wording import to_json

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 10.0  # seconds between two JSON lines of one piece of work


class Reporter(Protocol):
    """Told what happens; decides what of it is shown, and how.

    One piece may begin before the one before it is done: its outputs are being written.
    Only one thread may tell at a time.
    """

    def begin(self, name: str, number: int, of: int) -> None:
        """Start on one piece of work, the `number`-th (from 1) `of` so many."""

    def advance(self, done: int, total: int, **facts: float) -> None:
        """Say how much of the piece begun last is done, and figures worth watching."""

    def done(self, name: str, **facts: object) -> None:
        """End a piece of work that succeeded; `facts` are worth a record."""

    def failed(self, name: str, message: str) -> None:
        """End a piece of work that failed; `message` is for people."""


class Silent:
    """Shows failures only, as plain lines."""

    def begin(self, name: str, number: int, of: int) -> None:
        """Show nothing."""

    def advance(self, done: int, total: int, **facts: float) -> None:
        """Show nothing."""

    def done(self, name: str, **facts: object) -> None:
        """Show nothing."""

    def failed(self, name: str, message: str) -> None:  # noqa: ARG002 - the message names it
        """Write the message."""
        sys.stderr.write(f"dep: {message}\n")


class Lines:
    """One JSON object a line: what programs and log files read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._name = ""
        self._started = self._spoken = time.monotonic()
        self._first: tuple[float, int] | None = None

    def begin(self, name: str, number: int, of: int) -> None:
        """Write a `begin` line."""
        self._name = name
        self._started = self._spoken = time.monotonic()
        self._first = None
        self._write("begin", name=name, number=number, of=of)

    def advance(self, done: int, total: int, **facts: float) -> None:
        """Write a `progress` line with the seconds left, now and then."""
        now = time.monotonic()
        if now - self._spoken < EVERY or not done:
            return
        self._spoken = now
        # What a resumed run had done before it began says nothing of its pace.
        since, before = self._first or (self._started, 0)
        if self._first is None:
            self._first = (now, done)
        left = (now - since) * (total - done) / max(done - before, 1)
        where = {"done": done, "total": total, "seconds_left": round(left)}
        self._write("progress", name=self._name, **where, **facts)

    def done(self, name: str, **facts: object) -> None:
        """Write a `done` line."""
        self._write("done", name=name, **facts)

    def failed(self, name: str, message: str) -> None:
        """Write a `failed` line."""
        self._write("failed", name=name, error=message)

    def _write(self, event: str, **facts: object) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        line = to_json({"event": event, **facts}, encoding=encoding)
        self._stream.write(line + "\n")
        self._stream.flush()


class Bars:
    """A bar with the time left, for people at a terminal."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._name = ""
        self._task: TaskID | None = None

    def begin(self, name: str, number: int, of: int) -> None:
        """Start a bar in the place of the one there is."""
        self._clear(self._name)
        self._name = name
        words = f"{name} ({number}/{of})" if of > 1 else name
        self._task = self._progress.add_task(words, total=None, facts="")

    def advance(self, done: int, total: int, **facts: float) -> None:
        """Move the bar and show the figures behind it."""
        if self._task is not None:
            words = "  ".join(f"{name} {value:.4g}" for name, value in facts.items())
            self._progress.update(self._task, completed=done, total=total, facts=words)

    def done(self, name: str, **facts: object) -> None:  # noqa: ARG002 - tables say the rest
        """Take the bar away, unless another piece has begun."""
        self._clear(name)

    def failed(self, name: str, message: str) -> None:
        """Take the bar away as `done` does and write the message above what follows."""
        self._clear(name)
        self._progress.console.print(
            f"[red]dep:[/red] {_plain(message)}", highlight=False, soft_wrap=True
        )

    def _clear(self, name: str) -> None:
        if self._task is not None and name == self._name:
            self._progress.remove_task(self._task)
            self._task = None


def _plain(message: str) -> str:
    """Keep rich from reading file names such as ``a[1].mrc`` as markup."""
    from rich.markup import escape

    return escape(message)


@contextmanager
def reporting(quiet: bool) -> Iterator[Reporter]:
    """Choose the reporter for where stderr goes: bars, JSON lines, or failures only."""
    if quiet:
        yield Silent()
        return
    if not sys.stderr.isatty():
        yield Lines(sys.stderr)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.fields[facts]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bars(progress)
