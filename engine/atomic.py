"""Write files that appear whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from dep.engine.errors import PicksError


@contextlib.contextmanager
def atomic_text(path: Path | str) -> Iterator[TextIO]:
    """Open a text file for writing that takes its name only once it is complete.

    It is written beside its final name, flushed to the disk and renamed; whatever
    fails before, an interruption included, leaves what was there before. Missing
    folders are made.

    Raises
    ------
    PicksError
        It cannot be written; says why.
    """
    with (
        atomic_path(path) as part,
        part.open("x", encoding="utf-8", newline="\n") as stream,
    ):
        yield stream


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a name to write a file to, which takes its own name once it is complete.

    For writers that open their file themselves; otherwise as `atomic_text`.

    Raises
    ------
    PicksError
        It cannot be written; says why.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            message = f"{path}: is a directory, expected a file to write"
            raise PicksError(message)
    except OSError as error:
        raise _unwritable(path, error) from error
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        # Written in here: an interruption may come as soon as the file exists.
        yield part
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        _remove(part)
        raise _unwritable(path, error) from error
    except BaseException:
        _remove(part)
        raise


@contextlib.contextmanager
def atomic_paths(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Give names for files that belong together: all are complete before any appears.

    They take their names in the order given, one right after the other.

    Raises
    ------
    PicksError
        One cannot be written; says why.
    """
    with contextlib.ExitStack() as stack:
        # The stack is left in reverse: the first named is renamed first.
        parts = [stack.enter_context(atomic_path(path)) for path in reversed(paths)]
        yield parts[::-1]


def _remove(part: Path) -> None:
    with contextlib.suppress(OSError):  # what went wrong before is what matters
        part.unlink()


def _unwritable(path: Path, error: OSError) -> PicksError:
    return PicksError(f"{path}: cannot be written ({error.strerror or error})")
