"""Unpack a tomogram into a temporary file, so that it can be mapped."""

import bz2
import gzip
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from dep.engine.errors import TomogramError

GZIP_MAGIC, BZIP2_MAGIC = b"\x1f\x8b", b"BZh"
MIB = 1 << 20
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


def scratch_file(label: str, size: int) -> IO[bytes]:
    """Make a temporary file without a name, of so many bytes that are there to be had.

    Parameters
    ----------
    label : str
        What messages call the tomogram that it is for.
    size : int
        Bytes. Room is asked for first and then reserved: a write through a map to a
        disk that is full would kill the process.

    Raises
    ------
    TomogramError
        No room in TMPDIR.
    """
    _check_room(label, size)
    file: IO[bytes] = tempfile.TemporaryFile(prefix="dep-")  # noqa: SIM115 - given back
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
    except OSError as error:
        file.close()
        raise _no_room(label, error.strerror) from error
    return file


def _check_room(label: Path | str, wanted: int) -> None:
    if wanted > shutil.disk_usage(tempfile.gettempdir()).free:
        raise _no_room(label, f"{wanted / MIB:.1f} MiB needed")


def _no_room(label: Path | str, reason: str | None) -> TomogramError:
    room = shutil.disk_usage(tempfile.gettempdir()).free / MIB
    return TomogramError(
        f"{label}: cannot be unpacked into {tempfile.gettempdir()} "
        f"({reason}; {room:.1f} MiB free there). "
        "Set TMPDIR to a folder with room, or unpack the file yourself."
    )
