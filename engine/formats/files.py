"""Write and read coordinate files of any format in the table."""

import codecs
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from dep.engine.atomic import atomic_paths
from dep.engine.card import ClassInfo
from dep.engine.errors import PicksError, UseError
from dep.engine.formats.format import Conventions, Files
from dep.engine.formats.frame import Centre, Frame
from dep.engine.formats.registry import (
    FORMATS,
    check_many,
    format_of,
    format_to_read,
    losses_of,
)
from dep.engine.formats.table import Table

if TYPE_CHECKING:
    from dep.engine.picks import Picks


class LossWarning(UserWarning):
    """A format has no place for some of what picks hold."""


def write_picks(
    picks: Sequence["Picks"],
    path: Path,
    form: str | None = None,
    how: Conventions | None = None,
) -> list[str]:
    """Write picks of one or more tomograms into one file or folder.

    Parameters
    ----------
    picks
        Of tomograms with names of their own.
    path
        Missing folders are made.
    form
        A name in `FORMATS`. Default: by the suffix.
    how
        What the format's convention needs.

    Returns
    -------
    list of str
        What was lost because the format has no place for it, for people.

    Raises
    ------
    PicksError
        An unknown format, several tomograms in a format that holds one, something that
        the format needs is unknown, or a file that cannot be written.
    """
    # Whole in memory first: a format that refuses leaves no trace on the disk.
    files, losses = compose(picks, path, format_of(path, form), how)
    write_files(files)
    return losses


def compose(
    picks: Sequence["Picks"], path: Path, form: str, how: Conventions | None = None
) -> tuple[Files, list[str]]:
    """Give what files are to hold, those beside `path` included, and what is lost.

    Nothing is written. Parameters and errors are those of `write_picks`.
    """
    check_many(picks, path, form)
    picks = with_one_class_table(picks)
    files = FORMATS[form].write(picks, path, how or Conventions())
    return files, losses_of(picks, form)


def write_files(files: Files) -> None:
    """Write files that belong together, all of them or none.

    Raises
    ------
    PicksError
        One cannot be written.
    """
    with atomic_paths(list(files)) as parts:
        for part, content in zip(parts, files.values(), strict=True):
            if isinstance(content, bytes):
                part.write_bytes(content)
            else:
                part.write_text(content, encoding="utf-8", newline="\n")


def write_stream(
    picks: Sequence["Picks"],
    stream: BinaryIO,
    form: str,
    how: Conventions | None = None,
) -> list[str]:
    """Write picks of one or more tomograms to standard output, a pipe or a device.

    As `write_picks`; an optimisation set is not written.

    Raises
    ------
    UseError
        The format writes several files.
    """
    name = Path("-")
    if FORMATS[form].folder:
        message = f"{form} writes a folder of files: name one, not a stream"
        raise UseError(message)
    how = replace(how or Conventions(), tomograms_star=None)
    files, losses = compose(picks, name, form, how)
    if len(files) > 1:
        beside = ", ".join(f"NAME{one.suffix}" for one in files if one != name)
        message = f"{form} writes {beside} too: name a file, not a stream"
        raise UseError(message)
    (content,) = files.values()
    stream.write(content if isinstance(content, bytes) else content.encode())
    stream.flush()
    return losses


def write_one(
    picks: "Picks", path: Path, form: str | None, how: Conventions | None = None
) -> Path:
    """Write the picks of one tomogram, and warn of losses; see `Picks.write`."""
    for loss in write_picks([picks], path, form, how):
        warnings.warn(f"{path}: {loss}", LossWarning, stacklevel=3)
    return path


def with_one_class_table(picks: Sequence["Picks"]) -> list["Picks"]:
    """Give all picks the union of their class tables; classes are told by name."""
    tables = dict.fromkeys(one.classes for one in picks)
    if len(tables) < 2:
        return list(picks)
    union: dict[str, ClassInfo] = {}
    for table in tables:
        for kind in table:
            if kind.name not in union or not union[kind.name].diameter:
                union[kind.name] = kind
    number = {name: k for k, name in enumerate(union, start=1)}
    mapped = []
    for one in picks:
        numbers = np.array([0, *(number[c.name] for c in one.classes)], np.int32)
        mapped.append(
            replace(one, class_id=numbers[one.class_id], classes=tuple(union.values()))
        )
    return mapped


def read_rows(
    path: Path, chosen: str | None = None, frame: Frame | None = None
) -> Table:
    """Read the rows of a coordinate file as it counts them.

    So a file of many tomograms is read once, and each one's rows are turned into its
    voxels with `Table.in_voxels`.

    Raises
    ------
    PicksError
        A missing, unreadable or malformed file.
    """
    try:
        one = FORMATS[format_to_read(path, chosen)]
        table = one.read(path, frame or Frame())
    except FileNotFoundError as error:
        message = f"{error.filename or path}: no such file"
        raise PicksError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror or error})"
        raise PicksError(message) from error
    except UnicodeDecodeError as error:
        other = error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        hint = "; it is UTF-16: save it as UTF-8" if other else ""
        message = f"{path}: not a text file in UTF-8 (byte {error.start}){hint}"
        raise PicksError(message) from error
    return table if table.name else replace(table, name=one.name_of(path))


def read_table(
    path: Path,
    chosen: str | None = None,
    frame: Frame | None = None,
    centre: Centre = "half",
) -> Table:
    """Read the rows of a coordinate file, of however many tomograms, in voxels.

    Raises
    ------
    PicksError
        A missing, unreadable or malformed file, or coordinates that need a shape or
        voxel size that is unknown.
    """
    return read_rows(path, chosen, frame).in_voxels(path, centre)


def read_picks(
    path: Path,
    chosen: str | None,
    *,
    tomogram: str | None,
    classes: Sequence[ClassInfo] | None,
    frame: Frame,
    centre: Centre = "half",
) -> "Picks":
    """Read picks of one tomogram; see `Picks.read`."""
    table = read_rows(path, chosen, frame)
    _, rows = table.of_tomogram(path, tomogram)
    return rows.in_voxels(path, centre).picks(
        path, tomogram, None if classes is None else tuple(classes)
    )
