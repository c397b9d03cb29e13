"""Which files hold coordinates, of files and folders that are named to be read."""

from collections.abc import Iterable
from pathlib import Path

from dep.engine.errors import PicksError, UseError
from dep.engine.formats import relion_set
from dep.engine.formats.registry import (
    FORMATS,
    endings,
    format_to_read,
    may_hold_coordinates,
)


def find_files(words: Iterable[Path], form: str | None) -> list[Path]:
    """Turn files and folders into files; folders of a format of folders are kept.

    What is named twice counts once.

    Raises
    ------
    PicksError
        No such file or folder.
    UseError
        A folder without coordinates, or with several formats and none chosen.
    """
    found: list[Path] = []
    for word in words:
        if not word.exists():
            message = f"{word}: no such file or folder"
            raise PicksError(message)
        if not word.is_dir():
            found.append(word)
            continue
        inside = _inside(word, form)
        kinds = sorted({path.suffix.lower() for path in inside})
        if _is_root(word, form):
            kinds.append("a folder of picks")
            inside = [word]
        if len(kinds) > 1 and not (form and FORMATS[form].folder):
            message = (
                f"{word}: holds {', '.join(kinds)}, maybe the same picks several "
                "times; say which to read (--from), or name the files"
            )
            raise UseError(message)
        if not inside:
            wanted = FORMATS[form].endings if form else endings()
            message = f"{word}: no coordinates ({' '.join(wanted)}) in this folder"
            raise UseError(message)
        found += inside
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]


def _inside(folder: Path, form: str | None) -> list[Path]:
    """List the files of a format, or of any, in a folder."""
    wanted = FORMATS[form].endings if form else endings()
    inside = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file()
        and not path.name.startswith(".")
        and path.name.lower().endswith(wanted)
        and path.name != relion_set.RECORD
    ]
    again = relion_set.repeating([path for path in inside if path.suffix == ".star"])
    inside = [path for path in inside if path not in again]
    if form is None:
        return [path for path in inside if may_hold_coordinates(path)]
    # Files of other formats have the same ending.
    return [path for path in inside if format_to_read(path) == form] or inside


def _is_root(path: Path, form: str | None) -> bool:
    some = [FORMATS[form]] if form else FORMATS.values()
    return any(one.is_root is not None and one.is_root(path) for one in some)
