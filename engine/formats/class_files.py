"""Formats with a file for each class: class names as parts of file names."""

import re
from collections.abc import Iterable
from pathlib import Path

from dep.engine.card import ClassInfo
from dep.engine.errors import PicksError


def file_names(
    path: Path, classes: Iterable[ClassInfo], forbidden: str, instead: str
) -> dict[str, str]:
    """Give each class the name that a format allows its file.

    Parameters
    ----------
    path
        To be written, for messages.
    classes
        The class table.
    forbidden
        A regular expression of the characters that are not allowed.
    instead
        What stands in their place.

    Returns
    -------
    dict of str to str
        The allowed name by the class's own.

    Raises
    ------
    PicksError
        Nothing is left of a name, or two classes would share a file.
    """
    allowed: dict[str, str] = {}
    for one in classes:
        name = re.sub(forbidden, instead, one.name).strip(instead)
        if name.strip(".") == "":
            message = f"{path}: class {one.name!r} leaves nothing for a file's name"
            raise PicksError(message)
        for other, taken in allowed.items():
            if taken == name:
                message = (
                    f"{path}: classes {other!r} and {one.name!r} would share a file, "
                    f"{name!r}: the format allows fewer characters in names"
                )
                raise PicksError(message)
        allowed[one.name] = name
    return allowed


def folder_name(path: Path, tomogram: str) -> str:
    """Give a tomogram's name, where a folder can be called so.

    Raises
    ------
    PicksError
        It cannot.
    """
    if re.search(r"[/\x00-\x1f]", tomogram) or tomogram in ("", ".", ".."):
        message = f"{path}: the tomogram's name {tomogram[:60]!r} cannot be a folder's"
        raise PicksError(message)
    return tomogram


def refuse_suffix(path: Path, suffix: str) -> None:
    """Refuse the name of one file where a folder of several is to be written.

    Raises
    ------
    PicksError
        Says to give a folder.
    """
    if path.suffix.lower() == suffix:
        message = (
            f"{path}: the format has a file for each class; give the folder to write "
            "them into"
        )
        raise PicksError(message)


def find(path: Path, patterns: Iterable[str]) -> list[Path]:
    """List the files of a folder that match the first pattern that any match.

    Raises
    ------
    PicksError
        There are none.
    """
    for pattern in patterns:
        files = [one for one in path.glob(pattern) if one.is_file()]
        if files:
            return sorted(files, key=_in_words_and_numbers)
    message = f"{path}: no files of picks in this folder (looked for {pattern})"
    raise PicksError(message)


def _in_words_and_numbers(path: Path) -> list[str | int]:
    """Sort class 2 before class 10."""
    parts: list[str | int] = list(re.split(r"([0-9]+)", str(path)))
    parts[1::2] = [int(part) for part in parts[1::2]]
    return parts


def refuse_twins(
    path: Path, before: dict[tuple[str, str], Path], one: tuple[str, str], file: Path
) -> None:
    """Note the file of a tomogram's class; a second one may hold the same particles.

    Raises
    ------
    PicksError
        There was one before; says to choose.
    """
    if one in before:
        message = (
            f"{path}: {before[one]} and {file} both hold {one[1]!r} of "
            f"{one[0] or path}; give one of the files, or move the other away"
        )
        raise PicksError(message)
    before[one] = file
