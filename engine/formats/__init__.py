"""Coordinate files: which formats there are, and how to choose one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from dep.engine.atomic import atomic_text
from dep.engine.card import ClassInfo
from dep.engine.errors import PicksError
from dep.engine.formats import coords, csv, relion5, star, star_reader
from dep.engine.formats.table import Frame, Table

if TYPE_CHECKING:
    from dep.engine.picks import Picks

__all__ = [
    "FORMATS",
    "format_of",
    "in_voxels",
    "read_picks",
    "read_rows",
    "read_table",
    "write_picks",
]


@dataclass(frozen=True, slots=True)
class Format:
    """One coordinate format: its suffix, writer and reader."""

    suffix: str
    write: "Callable[[Picks, TextIO], None]"
    read: Callable[[Path, Frame], Table]


# The first format of a suffix is the one written by default.
FORMATS = {
    "relion5": Format(".star", relion5.write, star_reader.read),
    "star": Format(".star", star.write, star_reader.read),
    "csv": Format(".csv", csv.write, csv.read),
    "coords": Format(".coords", coords.write, coords.read),
}


def format_of(path: Path, chosen: str | None = None) -> str:
    """Name the format of a file: the one chosen, or the suffix's.

    Raises
    ------
    PicksError
        An unknown format or suffix; lists those there are.
    """
    if chosen is not None:
        if chosen not in FORMATS:
            message = (
                f"{path}: unknown format {chosen!r}; expected one of "
                f"{', '.join(FORMATS)}"
            )
            raise PicksError(message)
        return chosen
    for name, one in FORMATS.items():
        if path.suffix.lower() == one.suffix:
            return name
    endings = ", ".join(dict.fromkeys(one.suffix for one in FORMATS.values()))
    message = (
        f"{path}: no coordinate format goes with the suffix {path.suffix!r}; expected "
        f"{endings}, or a format by name ({', '.join(FORMATS)})"
    )
    raise PicksError(message)


def write_picks(picks: "Picks", path: Path, chosen: str | None) -> Path:
    """Write picks in a format; see `Picks.write`."""
    name = format_of(path, chosen)
    # Whole in memory first: a format that refuses leaves no trace on the disk.
    text = StringIO()
    FORMATS[name].write(picks, text)
    with atomic_text(path) as stream:
        stream.write(text.getvalue())
    return path


def read_table(
    path: Path, chosen: str | None = None, frame: Frame | None = None
) -> Table:
    """Read the rows of a coordinate file, of however many tomograms, in voxels.

    Raises
    ------
    PicksError
        A missing, unreadable or malformed file, or RELION 5 coordinates of a tomogram
        whose shape or voxel size is unknown.
    """
    return in_voxels(path, read_rows(path, chosen, frame))


def in_voxels(path: Path, table: Table) -> Table:
    """Turn RELION 5's centred ångström into voxels of the table's frame.

    Raises
    ------
    PicksError
        The frame's shape or voxel size is unknown.
    """
    if not table.centred:
        return table
    xyz = relion5.to_voxels(path, table.xyz, table.frame)
    return replace(table, xyz=xyz, centred=False)


def read_rows(
    path: Path, chosen: str | None = None, frame: Frame | None = None
) -> Table:
    """Read the rows of a coordinate file as it counts them.

    So a file of many tomograms is read once, and each one's rows are turned into its
    voxels with `in_voxels`.

    Raises
    ------
    PicksError
        A missing, unreadable or malformed file.
    """
    name = format_of(path, chosen)
    try:
        return FORMATS[name].read(path, frame or Frame())
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise PicksError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror or error})"
        raise PicksError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: not a text file in UTF-8 (byte {error.start})"
        raise PicksError(message) from error


def read_picks(
    path: Path,
    chosen: str | None,
    *,
    tomogram: str | None,
    classes: Sequence[ClassInfo] | None,
    shape: tuple[int, int, int] | None,
    voxel_size: float | None,
) -> "Picks":
    """Read picks of one tomogram; see `Picks.read`."""
    table = read_table(path, chosen, Frame(shape, voxel_size))
    return table.picks(path, tomogram, None if classes is None else tuple(classes))
