"""`dep compare`: what sets of picks share, and what only one of them holds."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dep.cli.evaluate_options import shape_of
from dep.cli.failure import UsageError, guarded
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from dep.engine.comparison.comparison import Comparison, Distance

BAR = 40  # characters of the longest bar
MOST_ROWS, MOST_COLUMNS = 30, 6  # classes shown on a terminal
_DISTANCE = re.compile(r"\s*([0-9.eE+-]+)\s*(Å|A|a|angstrom|voxels?|vx|px|pixels?)?\s*")


@guarded
def compare(
    sets: Annotated[
        list[Path],
        typer.Argument(
            metavar="A B [C...]",
            help="Sets of picks, each a file or a folder: of one tomogram or of many.",
            readable=False,
        ),
    ],
    t_dist: Annotated[
        str,
        typer.Option(
            metavar="D",
            help="Picks within D are one particle: 12 (voxels) or 120A (ångström).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            *("-o", "--out"),
            metavar="DIR",
            help="Write intersection and difference sets as pick files, and tables.",
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(help="Of the pick files (default: the first set's)."),
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...", help="Names of the sets (default: after the files)."
        ),
    ] = None,
    by_class: Annotated[
        bool,
        typer.Option(
            "--by-class", help="Only picks of one class can be the same particle."
        ),
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Names classes in files that only number them, after this model.",
            readable=False,
        ),
    ] = None,
    tomogram: Annotated[
        str | None, typer.Option(metavar="NAME", help="Take only this one.")
    ] = None,
    common: Annotated[
        bool,
        typer.Option(
            "--common",
            help="Leave out tomograms that are not in all sets "
            "(default: a set without them found nothing there).",
        ),
    ] = False,
    voxel_size: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM", help="Of the tomogram, where no file says it."
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Size of the tomogram in voxels, for RELION 5 files that lack it.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON document.")
    ] = False,
) -> None:
    """Compare sets of picks: what all hold, what only some do, how near they are.

    Picks of different sets within D are paired one to one, nearest first. Of
    more than two sets any two picks of one particle lie within D, and it is
    told which combination of sets holds how many.
    """
    from dep.engine import read_card
    from dep.engine.comparison.comparison import compare as put_together
    from dep.engine.comparison.outputs import outputs, write
    from dep.engine.comparison.sources import names_of, read_sets
    from dep.engine.errors import MissingFactError
    from dep.engine.evaluation.coordinate_files import coordinate_files
    from dep.engine.formats import FORMATS, format_of

    distance = _distance(t_dist)
    labels = _names(names, len(sets)) if names is not None else names_of(sets)
    if len(sets) < 2:
        message = f"expected two or more sets of picks, found {len(sets)}"
        raise UsageError(message)
    if voxel_size is not None and not 0 < voxel_size < math.inf:
        message = f"--voxel-size: expected a number above 0, found {voxel_size}"
        raise UsageError(message)
    if format is not None and format not in FORMATS:
        message = f"--format: expected one of {', '.join(FORMATS)}, found {format}"
        raise UsageError(message)
    if out is not None and out.exists() and not out.is_dir():
        message = f"{out}: is a file, expected a folder for the outputs (-o)"
        raise UsageError(message)
    read, notes = read_sets(
        sets,
        labels,
        classes=read_card(model).classes if model is not None else None,
        tomogram=tomogram,
        shape=shape_of(shape),
        voxel_size=voxel_size,
        common=common,
    )
    result = put_together(read, distance, by_class=by_class)
    written: list[Path] = []
    if out is not None:
        form = format or format_of(coordinate_files(sets[0])[0])
        there = [path for path in outputs(result, out, form) if path.exists()]
        if there and not overwrite:
            message = (
                f"{out}: holds {', '.join(path.name for path in there)} already; "
                "--overwrite replaces them"
            )
            raise UsageError(message)
        try:
            written, losses = write(result, out, form)
        except MissingFactError as error:
            if format is not None:
                raise
            message = f"{error}; or write another --format, such as csv"
            raise UsageError(message) from error
        notes += losses
    if as_json:
        document = {
            **result.to_dict(),
            "read": dict(zip(result.names, map(str, sets), strict=True)),
            "notes": notes,
            "written": [str(path) for path in written],
        }
        print_json(document)
        return
    from rich.console import Console

    console = Console(highlight=False)
    _show(result, sets, console)
    for note in notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    for path in written:
        console.print(f"wrote {path}", markup=False, soft_wrap=True)


def _distance(words: str) -> "Distance":
    """Read "12", "12 voxels", "120A" or "120Å".

    Raises
    ------
    UsageError
        Other words, or a number not above 0.
    """
    from dep.engine.comparison.comparison import Distance
    from dep.engine.errors import SettingError

    match = _DISTANCE.fullmatch(words)
    try:
        if match is None:
            raise ValueError  # noqa: TRY301 - said once, below
        in_angstrom = (match[2] or "").lower() in ("å", "a", "angstrom")
        return Distance(float(match[1]), "Å" if in_angstrom else "voxels")
    except (ValueError, SettingError) as error:
        message = (
            "--t-dist: expected a distance above 0 in voxels (12) or in ångström "
            f"(120A), found {words!r}"
        )
        raise UsageError(message) from error


def _names(words: str, many: int) -> list[str]:
    names = [word.strip() for word in words.split(",")]
    if len(names) != many or not all(names) or len(set(names)) < many:
        message = f"--names: expected {many} different names, found {words!r}"
        raise UsageError(message)
    return names


def _show(result: "Comparison", sets: list[Path], console: "Console") -> None:
    from rich.markup import escape

    from dep.cli.tables import plain_table

    several = len(result.names) > 2
    kinds = result.by_kind()
    # Of more than two sets classes are columns, and a terminal is only so wide.
    shown = list(kinds) if several and 1 < len(kinds) <= MOST_COLUMNS else []
    heads = [escape(name) for name in result.names] if several else []
    table = plain_table("", *heads, "particles", *map(escape, shown))
    for some, count in result.combinations().items():
        marks = ["x" if at in some else "." for at in range(len(result.names))]
        cells = [str(count), *(str(kinds[kind][some]) for kind in shown)]
        label = "" if several else escape(result.label(some))
        table.add_row(label, *(marks if several else []), *cells)
    for name, size, path in zip(result.names, result.sizes, sets, strict=True):
        console.print(f"{name}: {size} picks ({path})", markup=False, soft_wrap=True)
    console.print(
        f"same particle within {result.t_dist.value:g} {result.t_dist.unit}"
        + (" and of one class" if result.by_class else "")
        + (f"; {len(result.each)} tomograms" if len(result.each) > 1 else "")
    )
    console.print()
    console.print(table)
    console.print()
    if several:
        _show_pairs(result, console)
    else:
        _show_distances(result, console)
        if len(kinds) > 1:
            console.print()
            _show_kinds(result, console)
    if len(kinds) > MOST_ROWS or (several and len(kinds) > MOST_COLUMNS):
        console.print("[dim]all classes: --json, or -o and combinations.csv[/dim]")


def _show_kinds(result: "Comparison", console: "Console") -> None:
    from rich.markup import escape

    from dep.cli.tables import plain_table

    table = plain_table("class", *map(escape, map(result.label, result.combinations())))
    counted = sorted(
        result.by_kind().items(), key=lambda one: (-sum(one[1].values()), one[0])
    )
    for kind, counts in counted[:MOST_ROWS]:
        table.add_row(escape(kind), *(str(count) for count in counts.values()))
    console.print(table)


def _show_pairs(result: "Comparison", console: "Console") -> None:
    from rich.markup import escape

    from dep.cli.tables import plain_table

    table = plain_table("pair", "both", "Jaccard", f"mean ({result.t_dist.unit})")
    for pair in result.to_dict()["pairs"]:
        mean, share = pair["mean_distance"], pair["jaccard"]
        table.add_row(
            escape(" and ".join(pair["sets"])),
            str(pair["both"]),
            "-" if share is None else f"{share:.3f}",
            "-" if mean is None else f"{mean:.2f}",
        )
    console.print(table)


def _show_distances(result: "Comparison", console: "Console") -> None:
    (pair,) = result.to_dict()["pairs"]
    if pair["jaccard"] is not None:
        console.print(f"shared of all (Jaccard)  {pair['jaccard']:.3f}")
    if not pair["both"]:
        return
    unit = result.t_dist.unit
    console.print(
        f"mean distance            {pair['mean_distance']:.2f} {unit} "
        f"(median {pair['median_distance']:.2f})"
    )
    counts, edges = pair["histogram"]["counts"], pair["histogram"]["edges"]
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        bar = "#" * round(BAR * count / max(counts))
        console.print(f"{low:8.2f} to {high:8.2f}  {count:6d}  {bar}", markup=False)
