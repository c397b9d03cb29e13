"""Write files that appear whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
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
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            message = f"{path}: is a directory, expected a file to write"
            raise PicksError(message)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        stream = part.open("x", encoding="utf-8", newline="\n")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _unwritable(path: Path, error: OSError) -> PicksError:
    return PicksError(f"{path}: cannot be written ({error.strerror or error})")
