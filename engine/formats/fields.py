"""Fields of coordinate files: text to numbers, with the place of what is wrong."""

import math
from pathlib import Path

import numpy as np

from dep.engine.errors import PicksError

LARGEST = float(np.finfo(np.float32).max)  # of what picks hold


def _short(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else text[:most] + "...")


def number(path: Path, where: str, text: str) -> float:
    """Read one number.

    Raises
    ------
    PicksError
        Not a finite number that float32 can hold; names the file and the place.
    """
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not abs(value) <= LARGEST:
        limit = f" of at most {LARGEST:.3g}" if math.isfinite(value) else ""
        message = f"{path}: {where}: expected a number{limit}, found {_short(text)}"
        raise PicksError(message)
    return value


def whole(path: Path, where: str, text: str) -> int:
    """Read one whole number, ``3`` or ``3.0``.

    Raises
    ------
    PicksError
        Not a whole number; names the file and the place.
    """
    value = number(path, where, text)
    if value != int(value):
        message = f"{path}: {where}: expected a whole number, found {_short(text)}"
        raise PicksError(message)
    return int(value)
