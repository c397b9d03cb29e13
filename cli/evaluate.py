"""`dep evaluate`: compare picks with the truth."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dep.cli.failure import UsageError, guarded
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from dep.engine import Picks
    from dep.engine.metrics import Evaluation, Rates
    from dep.engine.truth import Truth


@guarded
def evaluate(
    picks: Annotated[
        Path,
        typer.Argument(
            metavar="PICKS", help="Coordinates: .star, .csv, .coords.", readable=False
        ),
    ],
    truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH", help="The same of what is really there.", readable=False
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Take class table and diameters from this model "
            "(default: the picks' own or the STAR file's beside them, else the "
            "bundled model's).",
            readable=False,
        ),
    ] = None,
    tomogram: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which one, where files hold several."),
    ] = None,
    voxel_size: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM", help="Of the tomogram (default: the picks' or model's)."
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Size of the tomogram in voxels, for RELION 5 files that lack it.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON document.")
    ] = False,
) -> None:
    """Score picks against the truth of a tomogram.

    A pick hits a particle when it lies within the particle's radius; one pick per
    particle, nearest pairs first. Classes of the truth that the model does not know
    (such as vesicles and gold beads) are left out.
    """
    from dep.engine.truth import evaluate_picks, read_truth

    size = _size(shape)
    found, source = _read(picks, model, tomogram, size, voxel_size)
    true = read_truth(
        truth,
        found.classes,
        tomogram=tomogram,
        shape=size or found.shape,
        voxel_size=found.voxel_size,
    )
    result = evaluate_picks(found, true)
    if as_json:
        document = {
            **result.to_dict(),
            "voxel_size": found.voxel_size,
            "class_table": source,
            "left_out": true.ignored,
        }
        print_json(document)
        return
    from rich.console import Console

    _show(result, true, source, Console(highlight=False))


def _size(words: str | None) -> tuple[int, int, int] | None:
    """Read X,Y,Z as a shape (z, y, x).

    Raises
    ------
    UsageError
        Not three whole numbers above 0.
    """
    if words is None:
        return None
    numbers = [word.strip() for word in words.split(",")]
    if len(numbers) != 3 or not all(
        one.isascii() and one.isdigit() and int(one) > 0 for one in numbers
    ):
        message = (
            "--shape: expected the tomogram's size in voxels as X,Y,Z (such as "
            f"928,960,300), found {words!r}"
        )
        raise UsageError(message)
    x, y, z = (int(one) for one in numbers)
    return z, y, x


def _read(
    path: Path,
    model: Path | None,
    tomogram: str | None,
    shape: tuple[int, int, int] | None,
    voxel_size: float | None,
) -> tuple["Picks", str]:
    """Read picks with a class table that knows diameters; say where it is from."""
    from dep.engine import DepError, Picks, read_card
    from dep.engine.bundled import model_path

    if model is None:
        own = Picks.read(path, tomogram=tomogram, shape=shape, voxel_size=voxel_size)
        if own.voxel_size and all(one.diameter > 0 for one in own.classes):
            return own, str(path)
        star = path.with_suffix(".star")
        if star != path and star.is_file():
            # Written by the same `dep pick`: the same picks, and their class table.
            twin = None
            with contextlib.suppress(DepError):  # then it is not ours: do without it
                twin = Picks.read(star, tomogram=tomogram, shape=shape)
            if (
                twin is not None
                and twin.voxel_size
                and all(one.diameter > 0 for one in twin.classes)
            ):
                found = Picks.read(
                    path,
                    tomogram=tomogram,
                    classes=twin.classes,
                    shape=shape or twin.shape,
                    voxel_size=voxel_size or twin.voxel_size,
                )
                return found, str(star)
    card = read_card(model_path(model))
    found = Picks.read(
        path,
        tomogram=tomogram,
        classes=card.classes,
        shape=shape,
        voxel_size=voxel_size,
    )
    if found.voxel_size is None:
        found = replace(found, voxel_size=card.voxel_size)
    hint = "" if model else ", the bundled one; if another picked, name it with --model"
    return found, f"model {card.name}{hint}"


def _show(result: "Evaluation", true: "Truth", source: str, console: "Console") -> None:
    from rich.markup import escape

    from dep.cli.tables import plain_table

    table = plain_table("", "precision", "recall", "F1", "hits", "picks", "particles")
    table.add_row("[bold]localisation[/bold]", *_cells(result.localisation))
    for name, rates in zip(result.classes, result.per_class, strict=True):
        table.add_row(name, *_cells(rates))
    console.print(table)
    console.print()
    if result.localisation.hits:
        console.print(f"mean distance of hits  {result.mean_distance:.2f} voxels")
    console.print(f"mean class F1          {result.mean_class_f1:.3f}")
    if true.ignored:
        words = ", ".join(f"{name} ({n})" for name, n in true.ignored.items())
        console.print(f"left out of the truth, not in the class table: {words}")
    console.print(f"[dim]diameters from {escape(source)}[/dim]", soft_wrap=True)


def _cells(rates: "Rates") -> tuple[str, ...]:
    counts = (rates.hits, rates.picks, rates.particles)
    shares = (rates.precision, rates.recall, rates.f1)
    return (*(f"{share:.3f}" for share in shares), *(str(count) for count in counts))
