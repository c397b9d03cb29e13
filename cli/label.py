"""`dep label`: write the weak labels of a training, to look at."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dep.cli.failure import (
    WRONG_USE,
    UsageError,
    fail,
    guarded,
    listen_for_termination,
    need,
    say,
    words_of,
)
from dep.cli.named import named_numbers
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from dep.train.label_files import LabelPlan


DIAMETER = 7  # voxels, of labels (Liu et al. 2024)


@guarded
def label(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.toml|TOMOGRAM",
            help="A training configuration; or a tomogram, with --coordinates.",
            readable=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="For TOMOGRAM.mrc.", readable=False
        ),
    ],
    coordinates: Annotated[
        Path | None,
        typer.Option(
            "--coordinates",
            "-c",
            metavar="FILE",
            help="Centres of a tomogram's particles: .csv, .star, .coords.",
            readable=False,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="cubic, ball or tball (default: the configuration's; else tball)."
        ),
    ] = None,
    diameter: Annotated[
        list[str] | None,
        typer.Option(
            "--diameter",
            "-d",
            metavar="VOXELS",
            help="Odd, of all labels, or of one class: NAME=VOXELS; may be repeated "
            "(default: the configuration's; else 7).",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON document.")
    ] = False,
) -> None:
    """Write the weak labels that a network is trained on, as MRC.

    One volume for each tomogram, on its grid: 1 is the first class, and so on, 0 what
    is labelled with none. Where labels overlap, a voxel goes to the nearer centre.
    Needs the extra `train`.
    """
    need(("pydantic",), "train", "painting labels")
    plan = _plan(source, coordinates, kind, diameter or [])
    names = Counter(one.name for _, one in plan.tomograms)
    doubled = [name for name, many in names.items() if many > 1]
    if doubled:
        fail(
            f"several tomograms are called {', '.join(doubled)}, and each would be "
            "written under its name; rename them",
            WRONG_USE,
        )
    paths = {one.name: out / f"{one.name}.mrc" for _, one in plan.tomograms}
    inputs = {one.path.resolve() for _, one in plan.tomograms}
    for path in paths.values():
        if path.resolve() in inputs:
            fail(f"{path} is the tomogram itself; choose another folder", WRONG_USE)
        if os.path.lexists(path) and not overwrite:
            fail(f"{path} exists already; replace it with --overwrite", WRONG_USE)
    listen_for_termination()
    for warning in plan.warnings:
        say(f"note: {warning}")
    voxels = {one.name: plan.write(one, paths[one.name]) for _, one in plan.tomograms}
    _show(plan, paths, voxels, as_json)


def _plan(
    source: Path, coordinates: Path | None, kind: str | None, diameter: list[str]
) -> "LabelPlan":
    """Find out what is to be painted."""
    from dataclasses import replace

    from dep.train.config import ConfigError, load_config
    from dep.train.label_files import plan_of_config, plan_of_files
    from dep.train.labels import KINDS

    chosen = next((one for one in KINDS if one == kind), None)
    if kind is not None and chosen is None:
        message = f"--kind {kind}: expected {', '.join(KINDS)}"
        raise UsageError(message)
    common, named = named_numbers(diameter, "--diameter")
    of_all = None if common is None else _odd(common)
    of_some = {name: _odd(value) for name, value in named.items()}
    is_config = source.suffix == ".toml"
    if is_config and coordinates is not None:
        message = "--coordinates goes with a tomogram; a configuration names its own"
        raise UsageError(message)
    if not is_config and coordinates is None:
        message = (
            f"{source}: expected a training configuration (.toml), or a tomogram and "
            "--coordinates FILE"
        )
        raise UsageError(message)
    try:
        if coordinates is None:
            # What is left out with --init comes from the weights, and labels need none.
            config = load_config(source, network={"coordinates": False})
            plan = plan_of_config(config)
        else:
            plan = plan_of_files(source, coordinates, DIAMETER, "tball")
        if chosen is not None:
            plan = replace(plan, kind=chosen)
        return plan.with_diameters(of_all, of_some)
    except ConfigError as error:
        fail(words_of(error), WRONG_USE)


def _odd(value: float) -> int:
    """Read a label's diameter in voxels.

    Raises
    ------
    UsageError
        Not an odd whole number of 3 or more.
    """
    if value != int(value) or value < 3 or value % 2 == 0:
        message = (
            f"--diameter: a label has an odd number of voxels, 3 or more; found "
            f"{value:g}"
        )
        raise UsageError(message)
    return int(value)


def _show(
    plan: "LabelPlan", paths: dict[str, Path], voxels: dict[str, int], as_json: bool
) -> None:
    if as_json:
        table = zip(plan.classes, plan.diameters, strict=True)
        print_json(
            {
                "kind": plan.kind,
                "classes": [{"name": n, "label_diameter": d} for n, d in table],
                "tomograms": [
                    {
                        "tomogram": str(one.path),
                        "part": part,
                        "labels": str(paths[one.name]),
                        "particles": len(one.xyz),
                        "labelled_voxels": voxels[one.name],
                    }
                    for part, one in plan.tomograms
                ],
            }
        )
        return
    from rich.console import Console
    from rich.markup import escape

    from dep.cli.tables import plain_table

    console = Console(highlight=False)
    classes = plain_table("class", "value", "label diameter")
    for number, (name, one_diameter) in enumerate(
        zip(plan.classes, plan.diameters, strict=True), start=1
    ):
        classes.add_row(
            escape(name), str(number), f"{one_diameter} voxels, {plan.kind}"
        )
    console.print(classes)
    console.print()
    written = plain_table("tomogram", "particles", "labelled voxels", "")
    for part, one in plan.tomograms:
        counts = (str(len(one.xyz)), str(voxels[one.name]))
        written.add_row(escape(one.name), *counts, part)
    console.print(written)
    console.print(f"labels: {escape(str(paths[plan.tomograms[0][1].name].parent))}")
