"""Fields of JSON documents, with the file and place of what is wrong."""

import json
from pathlib import Path
from typing import Any

from dep.engine.errors import PicksError
from dep.engine.formats.fields import LARGEST


def document(path: Path, text: str, where: str = "") -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path
        The file, for messages.
    text
        Of the document.
    where
        Its place in the file; of the whole file empty, and a fault's line is named.

    Raises
    ------
    PicksError
        Not JSON, or none of an object.
    """
    place = f"{path}: {where}: " if where else f"{path}: "
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        at = f"column {error.colno}" if where else f"line {error.lineno}"
        message = f"{place}{at}: not JSON ({error.msg})"
        raise PicksError(message) from error
    except (RecursionError, ValueError) as error:  # too deep; numbers too long
        message = f"{place}not JSON of coordinates ({error})"
        raise PicksError(message) from error
    if not isinstance(found, dict):
        message = f"{place}expected an object ({{...}}), found {_shown(found)}"
        raise PicksError(message)
    return found


def a_number(path: Path, where: str, found: object) -> float:
    """Read a number that float32 can hold; `bool` is none.

    Raises
    ------
    PicksError
        Something else; names the place.
    """
    if isinstance(found, int | float) and not isinstance(found, bool):
        # Compared before it becomes a float: a whole number may be too large for one.
        if -LARGEST <= found <= LARGEST:
            return float(found)
        message = (
            f"{path}: {where}: expected a number of at most {LARGEST:.3g}, found "
            f"{_shown(found)}"
        )
        raise PicksError(message)
    message = f"{path}: {where}: expected a number, found {_shown(found)}"
    raise PicksError(message)


def an_object(path: Path, where: str, found: object) -> dict[str, Any]:
    """Take an object.

    Raises
    ------
    PicksError
        Something else; names the place.
    """
    if not isinstance(found, dict):
        message = (
            f"{path}: {where}: expected an object ({{...}}), found {_shown(found)}"
        )
        raise PicksError(message)
    return found


def a_list(path: Path, where: str, found: object) -> list[Any]:
    """Take a list.

    Raises
    ------
    PicksError
        Something else; names the place.
    """
    if not isinstance(found, list):
        message = f"{path}: {where}: expected a list ([...]), found {_shown(found)}"
        raise PicksError(message)
    return found


def a_name(path: Path, where: str, found: object) -> str:
    """Take a text that can be shown and written.

    Raises
    ------
    PicksError
        Something else, or an empty text; names the place.
    """
    # Half of a surrogate pair is JSON, but no text that can be written anywhere.
    if not isinstance(found, str) or not found.strip() or not _whole(found):
        message = f"{path}: {where}: expected a name, found {_shown(found)}"
        raise PicksError(message)
    return found


def _whole(text: str) -> bool:
    return not any(0xD800 <= ord(letter) < 0xE000 for letter in text)


def location(path: Path, where: str, found: object) -> tuple[float, float, float]:
    """Read ``{"x": ..., "y": ..., "z": ...}``.

    Raises
    ------
    PicksError
        Something else; names the place.
    """
    place = an_object(path, where, found)
    x, y, z = (a_number(path, f"{where}.{axis}", place.get(axis)) for axis in "xyz")
    return x, y, z


def _shown(found: object, most: int = 60) -> str:
    if found is None:
        return "nothing"
    if isinstance(found, dict):
        return f"an object of {len(found)} fields"
    if isinstance(found, list):
        return f"a list of {len(found)}"
    text = json.dumps(found)
    return text if len(text) <= most else text[:most] + "..."
