"""Unpack a gzip or bzip2 file into a temporary one, so that it can be mapped."""

import bz2
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from dep.engine.errors import TomogramError

GZIP_MAGIC, BZIP2_MAGIC = b"\x1f\x8b", b"BZh"
PIECE = 4 << 20  # bytes unpacked at once
UNREADABLE = (OSError, EOFError, zlib.error)  # what damaged data raises

Opener = Callable[[IO[bytes]], IO[bytes]]


def compression_of(stream: IO[bytes]) -> tuple[str, Opener | None]:
    """Tell compression by the first bytes, whatever the file's name."""
    magic = stream.read(3)
    stream.seek(0)
    if magic.startswith(GZIP_MAGIC):
        return "gzip", lambda raw: gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if magic.startswith(BZIP2_MAGIC):
        return "bzip2", bz2.BZ2File
    return "", None


def damaged(path: Path, compression: str, error: BaseException) -> TomogramError:
    """Say that compressed data cannot be read to its end."""
    return TomogramError(
        f"{path}: the {compression} data is damaged or cut short ({error}). "
        "Copy the file again."
    )


def unpack(
    path: Path,
    stream: IO[bytes],
    compression: str,
    opener: Opener,
    size: Callable[[bytes], int],
) -> IO[bytes]:
    """Unpack into a temporary file without a name, in pieces.

    Parameters
    ----------
    path, stream
        The file, and what it holds; `path` is for messages.
    compression, opener
        As `compression_of` gives them.
    size : callable
        Says by the first bytes how many there must be. Room is asked for before any
        are written, and a file that unpacks to more is not followed to its end.

    Raises
    ------
    TomogramError
        Damaged data, or no room in TMPDIR; what `size` raises.
    """
    plain: IO[bytes] = tempfile.TemporaryFile(prefix="dep-")  # noqa: SIM115 - given back
    try:
        with opener(stream) as packed:
            wanted = written = 0
            while True:
                try:
                    piece = packed.read(PIECE)
                except UNREADABLE as error:
                    raise damaged(path, compression, error) from error
                if not piece:
                    break
                if not written:
                    wanted = size(piece)
                    _check_room(path, wanted)
                plain.write(piece)
                written += len(piece)
                if written > wanted:
                    break
        plain.flush()
    except OSError as error:
        plain.close()
        raise _no_room(path, error.strerror) from error
    except BaseException:
        plain.close()
        raise
    return plain


def _check_room(path: Path, wanted: int) -> None:
    if wanted > shutil.disk_usage(tempfile.gettempdir()).free:
        raise _no_room(path, f"{wanted >> 20} MiB needed")


def _no_room(path: Path, reason: str | None) -> TomogramError:
    room = shutil.disk_usage(tempfile.gettempdir()).free >> 20
    return TomogramError(
        f"{path}: cannot be unpacked into {tempfile.gettempdir()} "
        f"({reason}; {room} MiB free there). "
        "Set TMPDIR to a folder with room, or unpack the file yourself."
    )
