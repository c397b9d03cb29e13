"""Options that both baselines share; others are those of `dep pick`."""

from typing import Annotated

import typer

from dep.cli.pick_options import DATA_OPTIONS, OUTPUT_OPTIONS

METHOD_OPTIONS = "Method"

Tomograms = Annotated[
    list[str],
    typer.Argument(
        metavar="TOMOGRAM...",
        help="MRC files, or folders of them.",
        show_default=False,
    ),
]
Number = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="At most so many picks of a tomogram, the best, whatever their score.",
        rich_help_panel=METHOD_OPTIONS,
    ),
]
Nearest = Annotated[
    float | None,
    typer.Option(
        "--t-dist",
        help="Least distance of two picks, voxels.",
        rich_help_panel=METHOD_OPTIONS,
    ),
]
Invert = Annotated[
    bool,
    typer.Option(
        "--invert",
        help="Particles are bright (default: dark).",
        rich_help_panel=DATA_OPTIONS,
    ),
]
Robust = Annotated[
    bool,
    typer.Option(
        "--robust",
        help="Normalise by median and quartiles, and limit gold and hot voxels.",
        rich_help_panel=DATA_OPTIONS,
    ),
]
Memory = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="MIB",
        help="Memory that the work on a block may take.",
        rich_help_panel=DATA_OPTIONS,
    ),
]
Formats = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        metavar="NAME,...",
        help="As for dep pick; several with commas.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Skip what run.json says was picked with these settings.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
