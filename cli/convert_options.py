"""The words of `dep convert` turned into what the engine understands."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dep.cli.failure import UsageError

if TYPE_CHECKING:
    from dep.engine import ClassInfo, Picks
    from dep.engine.formats.convert import Changes, Reading
    from dep.engine.formats.format import Conventions, Optics
    from dep.engine.formats.tomograms_star import TomogramSet


def check_format(name: str | None) -> str | None:
    """Refuse a format that there is not."""
    from dep.engine.formats import FORMATS

    if name is None or name.lower() in FORMATS:
        return name and name.lower()
    message = f"unknown format {name!r}; expected one of {', '.join(FORMATS)}"
    raise UsageError(message)


def list_formats() -> None:
    """Print the table of formats: name, whose, file, and what has no place there."""
    from dep.engine.formats import FORMATS, lacks

    rows = []
    for name, one in FORMATS.items():
        missing = lacks(name)
        without = f"without {', '.join(missing)}" if missing else ""
        file = one.pattern.replace("{name}", "NAME")
        rows.append((name, one.title, file, without))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        typer.echo("  ".join([*cells, row[3]]).rstrip())


def classes_of(words: str | None) -> "tuple[ClassInfo, ...] | None":
    """Read NAME or NAME=DIAMETER, with commas.

    Raises
    ------
    UsageError
        A diameter that is none, or a name given twice.
    """
    from dep.engine import ClassInfo

    if words is None:
        return None
    table: dict[str, ClassInfo] = {}
    for word in words.split(","):
        name, equals, diameter = (part.strip() for part in word.partition("="))
        try:
            size = float(diameter) if equals else 0.0
        except ValueError:
            size = -1.0
        if not name or name in table or not 0 <= size < math.inf:
            message = (
                "--classes: expected NAME or NAME=DIAMETER in Å, with commas, each "
                f"name once, found {word!r}"
            )
            raise UsageError(message)
        table[name] = ClassInfo(name, size)
    return tuple(table.values())


def optics_of(words: str | None) -> "Optics | None":
    """Read voltage, spherical aberration and amplitude contrast.

    Raises
    ------
    UsageError
        Not three numbers that make sense.
    """
    from dep.engine.formats.format import Optics

    if words is None:
        return None
    try:
        voltage, aberration, contrast = (float(word) for word in words.split(","))
    except ValueError:
        voltage = aberration = contrast = math.nan
    if not (0 < voltage < math.inf and 0 <= aberration < 100 and 0 <= contrast <= 1):
        message = (
            "--optics: expected voltage (kV), spherical aberration (mm) and amplitude "
            f"contrast (a fraction), such as 300,2.7,0.1, found {words!r}"
        )
        raise UsageError(message)
    return Optics(voltage, aberration, contrast)


def _centre(option: str, words: str) -> Any:  # noqa: ANN401 - a literal type
    from dep.engine.formats.frame import CENTRES

    if words not in CENTRES:
        message = f"{option}: expected {', '.join(CENTRES)}, found {words!r}"
        raise UsageError(message)
    return words


def reading_of(
    form: str | None,
    tomogram: str | None,
    shape: tuple[int, int, int] | None,
    voxel_size: float | None,
    pixel_size: float | None,
    centre: str,
    known: "TomogramSet | None",
) -> "Reading":
    """Say how files are read."""
    from dep.engine.formats.convert import Reading
    from dep.engine.formats.frame import Frame

    return Reading(
        form=form,
        frame=Frame(shape, voxel_size, None, pixel_size),
        frames=known.frames if known else {},
        centre=_centre("--from-centre", centre),
        tomogram=tomogram,
    )


def renamed(
    reading: "Reading",
    rules: list[str] | None,
    table: Path | None,
    known: "TomogramSet | None",
) -> "Reading":
    """Say which names tomograms get."""
    from dep.engine.formats.tomogram_names import renaming_of

    asked = renaming_of(rules or (), table)
    # A file that RELION reconstructed goes by the tomogram's name in RELION.
    own = known.volumes if known else {}
    return replace(reading, renaming=replace(asked, otherwise=own))


def changes_of(
    swap_yz: bool,
    flip: str,
    voxel_size: float | None,
    keep: str | None,
    min_score: float | None,
) -> "Changes":
    """Say what is changed, and refuse axes that there are not."""
    from dep.engine.formats.convert import AXES, Changes

    axes = [word.strip().lower() for word in flip.split(",") if word.strip()]
    if not set(axes) <= set(AXES) or len(set(axes)) < len(axes):
        message = f"--flip: expected some of x, y, z with commas, found {flip!r}"
        raise UsageError(message)
    if min_score is not None and not math.isfinite(min_score):
        message = f"--min-score: expected a number, found {min_score}"
        raise UsageError(message)
    kept = [word.strip() for word in (keep or "").split(",") if word.strip()]
    return Changes(
        swap_yz=swap_yz,
        flip="".join(axes),
        voxel_size=voxel_size,
        keep=tuple(kept),
        min_score=min_score,
    )


def conventions_of(
    picks: "list[Picks]",
    pixel_size: float | None,
    binning: float | None,
    centre: str,
    optics: str | None,
    box: int | None,
    known: "TomogramSet | None",
) -> "Conventions":
    """Say what the writers are told."""
    from dep.engine.formats.format import Conventions
    from dep.engine.formats.frame import Frame

    frames = dict(known.frames) if known else {}
    if binning is not None and pixel_size is None:
        frames |= {
            one.tomogram: Frame(
                pixel_size=one.voxel_size / binning if one.voxel_size else None
            ).or_else(frames.get(one.tomogram, Frame()))
            for one in picks
        }
    given = optics_of(optics)
    return Conventions(
        pixel_size=pixel_size,
        centre=_centre("--centre", centre),
        frames=frames,
        tomograms_star=known.star if known else None,
        optics=given,
        optics_of=known.optics_of(given) if known else {},
        box=box,
    )
