"""Open a tomogram's file, or say why that is not possible."""

import os
from pathlib import Path
from typing import IO

from dep.engine.errors import TomogramError


def is_file(path: Path) -> bool:
    """Say whether a file is there; no, where that may not be known.

    `Path.is_file` raises where a folder may not be searched.
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Say whether a folder is there; no, where that may not be known."""
    return os.path.isdir(path)  # noqa: PTH112


def open_file(path: Path) -> IO[bytes]:
    """Open a file for reading.

    Raises
    ------
    TomogramError
        No such file, no permission, a directory, a pipe or a device.
    """
    try:
        if is_folder(path):
            message = (
                f"{path}: is a directory, expected a tomogram: a file, or the folder "
                "of an OME-Zarr image"
            )
            raise TomogramError(message)
        if not is_file(path) and os.path.exists(path):  # noqa: PTH110 - never raises
            # Not opened: a pipe waits for someone to write into it.
            message = (
                f"{path}: is a pipe or a device, expected a file: tomograms are read "
                "more than once. Write it to a file first"
            )
            raise TomogramError(message)
        return path.open("rb")
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise TomogramError(message) from error
    except PermissionError as error:
        message = f"{path}: no permission to read this file"
        raise TomogramError(message) from error
    except OSError as error:
        message = f"{path}: cannot be opened ({error.strerror})"
        raise TomogramError(message) from error
