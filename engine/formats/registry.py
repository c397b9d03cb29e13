"""The table of coordinate formats, and how to choose one.

How a format is added:

A module of this package for each format, ``NAME.py``, whose docstring states the
convention (origin, centre, units, base, binning) and its source, and which ends in

    FORMAT = Format(
        title="Dynamo table", pattern="{name}.tbl",
        holds=Holds.SCORE | Holds.CLASS | Holds.SEVERAL, write=write, read=read)

and one line in `FORMATS` below. The first format of a suffix is the one that is written
where the user names none.

**Inside** coordinates are x, y, z in voxels of the tomogram that was picked in, the
centre of the first voxel is 0.

**A writer**, ``write(picks: Sequence[Picks], path: Path, how: Conventions) -> Files``,
computes and touches no file. It is given the picks of one or more tomograms (of one
only, unless the format ``holds`` `Holds.SEVERAL`), all with the same class table and
each with its own name, and returns what each file is to hold: text or bytes by path,
`path` itself the last of them (a companion file, ``path.with_suffix(".doc")``, comes
before the file that needs it). They are all written before the first takes its name.
Of a folder (``folder=True``) `path` is the root, and all files lie in it. Picks may be
none. What is known of a tomogram is ``how.frame_of(one)``: shape, voxel size, unbinned
pixel size, any of them None. What the format cannot do without is asked of it:
`Frame.need_...` raise a `PicksError` that says how to give it. What the format cannot
hold is left out without a word: the registry tells the user, from `Holds`.
Options of one format alone become fields of `Conventions`.

**A reader**, ``read(path: Path, frame: Frame) -> Table``, opens the file (or folder)
itself. `frame` is what the user says: it goes before what the file says
(``frame.or_else(own)``) and into the `Table`, as ``frame`` or, of several tomograms, by
name as ``frames``. The class table in it is only for files that cannot be read without.
Rows stay in the file's order. Fixed offsets (counting from 1) are taken away by the
reader; what needs shape or voxel size is declared as the table's ``counting``
(ångström, unbinned pixels, from the centre) and done later. Labels are class names, or
numbers from 1 with ``numbered=True``; the class table that the file holds, if any, is
``frame.classes``. ``tomogram`` is "" where the file does not say. Scores are 1 where
there are none. Every defect of the file raises `PicksError` that begins with the path
and names line, row or field (`fields.number`, `fields.whole`); `OSError` and
`UnicodeDecodeError` are turned into one by the registry.

**Which format a file has** follows from its ending (`Format.suffix`, `suffixes`); among
several with that ending the first whose ``recognise(head: bytes)`` says so, else the
first. Folders are read by the first folder format that has ``is_root(path)``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dep.engine.errors import UseError
from dep.engine.formats import (
    cbox,
    cmm,
    coords,
    copick,
    csv,
    deepfinder,
    dynamo,
    eman2,
    imod,
    portal,
    relion4,
    relion5,
    star,
    stopgap,
)
from dep.engine.formats.format import Format, Holds
from dep.engine.formats.tomogram_numbers import tomogram_numbers

if TYPE_CHECKING:
    from dep.engine.picks import Picks

HEAD = 65536  # bytes of a file by which its format is told
COMMON = (".json", ".xml")  # endings of files of many kinds besides

FORMATS: dict[str, Format] = {
    "relion5": relion5.FORMAT,
    "star": star.FORMAT,
    "csv": csv.FORMAT,
    "coords": coords.FORMAT,
    "relion4": relion4.FORMAT,
    "warp": star.WARP,
    "stopgap": stopgap.FORMAT,
    "cbox": cbox.FORMAT,
    "dynamo": dynamo.FORMAT,
    "eman2": eman2.FORMAT,
    "imod": imod.FORMAT,
    "deepfinder": deepfinder.FORMAT,
    "copick": copick.FORMAT,
    "portal": portal.FORMAT,
    "cmm": cmm.FORMAT,
}


def format_of(path: Path, chosen: str | None = None) -> str:
    """Name the format to write: the one chosen, or the first of the file's ending.

    Raises
    ------
    UseError
        An unknown format or ending; lists those there are.
    """
    if chosen is not None:
        if chosen not in FORMATS:
            message = (
                f"{path}: unknown format {chosen!r}; expected one of "
                f"{', '.join(FORMATS)}"
            )
            raise UseError(message)
        return chosen
    fitting = _of_ending(path)
    if not fitting:
        message = (
            f"{path}: no coordinate format goes with the suffix {path.suffix!r}; "
            f"expected {', '.join(endings())}, or a format by name "
            f"({', '.join(FORMATS)})"
        )
        raise UseError(message)
    return fitting[0]


def format_to_read(path: Path, chosen: str | None = None) -> str:
    """Name the format of a file or folder that is there, by its content if need be.

    Raises
    ------
    UseError
        As `format_of`.
    OSError
        The file cannot be read.
    """
    if chosen is not None:
        return format_of(path, chosen)
    if path.is_dir():
        for name, one in FORMATS.items():
            if one.is_root is not None and one.is_root(path):
                return name
    fitting = _of_ending(path)
    if len(fitting) < 2 or path.is_dir():
        return format_of(path)
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    for name in fitting:
        recognise = FORMATS[name].recognise
        if recognise is None or recognise(head):
            return name
    return fitting[0]


def endings() -> tuple[str, ...]:
    """List the endings of files of coordinates, each once."""
    return tuple(
        dict.fromkeys(ending for one in FORMATS.values() for ending in one.endings)
    )


def may_hold_coordinates(path: Path) -> bool:
    """Tell files that are worth reading from what else lies in a folder.

    By their ending; of those that files of all kinds have, by what they hold.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    fitting = _of_ending(path)
    if path.suffix.lower() not in COMMON:
        return bool(fitting)
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    known = (FORMATS[name].recognise for name in fitting)
    return any(recognise is not None and recognise(head) for recognise in known)


def _of_ending(path: Path) -> list[str]:
    """Name the formats whose ending a file has, those of the longest ending first."""
    name = path.name.lower()
    fitting = {
        form: max(map(len, matched))
        for form, one in FORMATS.items()
        if (matched := [end for end in one.endings if name.endswith(end)])
    }
    return sorted(fitting, key=lambda form: -fitting[form])


PLACES = {
    "scores": Holds.SCORE,
    "classes": Holds.CLASS,
    "class names": Holds.CLASS_NAME,
    "tomogram names": Holds.TOMOGRAM,
    "several tomograms": Holds.SEVERAL,
}


def lacks(form: str) -> list[str]:
    """Say what a format has no place for: "scores", "class names" ..."""
    holds = FORMATS[form].holds
    missing = [words for words, what in PLACES.items() if what not in holds]
    if "classes" in missing and "class names" in missing:
        missing.remove("class names")
    return missing


def losses_of(picks: Iterable["Picks"], form: str) -> list[str]:
    """Say what a format has no place for, though these picks have it."""
    picks = list(picks)
    missing = lacks(form)
    lost = []
    if "scores" in missing and any((one.score != 1).any() for one in picks):
        lost.append(f"{form} has no place for scores")
    used = {name for one in picks for name, many in one.counts().items() if many}
    table = picks[0].classes if picks else ()
    if "classes" in missing and len(used) > 1:
        named = ", ".join(one.name for one in table if one.name in used)
        lost.append(f"{form} has no place for classes ({named})")
    if "class names" in missing and used:
        numbers = {str(k): one.name for k, one in enumerate(table, start=1)}
        if any(number != name for number, name in numbers.items()):
            said = ", ".join(f"{number} = {name}" for number, name in numbers.items())
            lost.append(f"{form} holds classes by number only ({said})")
    if "tomogram names" in missing and len(picks) > 1:
        by_name = tomogram_numbers([one.tomogram for one in picks])
        said = ", ".join(f"{number} = {name}" for name, number in by_name.items())
        lost.append(f"{form} holds tomograms by number only ({said})")
    return lost


def check_many(picks: Sequence["Picks"], path: Path, form: str) -> None:
    """Refuse several tomograms for a format that holds one.

    Raises
    ------
    UseError
        Says to write a file for each.
    """
    if len(picks) > 1 and Holds.SEVERAL not in FORMATS[form].holds:
        message = (
            f"{path}: {form} holds one tomogram a file, and there are {len(picks)}; "
            "write a file for each"
        )
        raise UseError(message)
