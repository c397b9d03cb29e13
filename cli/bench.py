"""`dep bench`: what picking takes here, stage by stage, and of which of two."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dep.cli.failure import UsageError, guarded, listen_for_termination, words_of
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from dep.engine.bench import Contender, Entrant, Subject

MODEL_OPTIONS = "Model"
AGAINST_OPTIONS = "Compare with a second one (B; what is not named is as for A)"
DATA_OPTIONS = "Tomogram"
OUTPUT_OPTIONS = "Measurement and output"
SHAPE = "256x256x128"


@guarded
def bench(
    tomogram: Annotated[
        Path | None,
        typer.Argument(
            metavar="TOMOGRAM",
            help="An MRC file (default: made-up noise).",
            show_default=False,
            readable=False,
        ),
    ] = None,
    engine: Annotated[
        Path | None,
        typer.Option(
            "--engine",
            metavar="MODEL",
            help="Model file (default: the bundled one).",
            readable=False,
            rich_help_panel=MODEL_OPTIONS,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=MODEL_OPTIONS)
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="auto, f32 or bf16 (on chips that have it).",
            rich_help_panel=MODEL_OPTIONS,
        ),
    ] = "auto",
    runtime: Annotated[
        str,
        typer.Option(
            help="auto, openvino, onnxruntime or tensorrt.",
            rich_help_panel=MODEL_OPTIONS,
        ),
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPU threads (default: the cores this process may use).",
            rich_help_panel=MODEL_OPTIONS,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tiles at once (default: 1; on a GPU the plan's own, or 4).",
            rich_help_panel=MODEL_OPTIONS,
        ),
    ] = None,
    tile: Annotated[
        str,
        typer.Option(
            metavar="auto|N|XxYxZ",
            help="Edges of the tiles, voxels (auto: what computes the fewest).",
            rich_help_panel=MODEL_OPTIONS,
        ),
    ] = "auto",
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="MODEL",
            help="Another model file.",
            readable=False,
            rich_help_panel=AGAINST_OPTIONS,
        ),
    ] = None,
    against_runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Another runtime.", rich_help_panel=AGAINST_OPTIONS
        ),
    ] = None,
    against_precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Another precision.", rich_help_panel=AGAINST_OPTIONS
        ),
    ] = None,
    against_threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Another number of CPU threads.",
            rich_help_panel=AGAINST_OPTIONS,
        ),
    ] = None,
    against_tile: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N|XxYxZ",
            help="Other tiles.",
            rich_help_panel=AGAINST_OPTIONS,
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="XxYxZ",
            help=f"Of made-up noise, in voxels (default: {SHAPE}).",
            show_default=False,
            rich_help_panel=DATA_OPTIONS,
        ),
    ] = None,
    voxel_size: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Voxel size, overruling the header.",
            rich_help_panel=DATA_OPTIONS,
        ),
    ] = None,
    rescale: Annotated[
        bool,
        typer.Option(
            "--rescale",
            help="Resample to the model's voxel size on the fly.",
            rich_help_panel=DATA_OPTIONS,
        ),
    ] = False,
    ignore_voxel_size: Annotated[
        bool,
        typer.Option(
            "--ignore-voxel-size",
            help="Pick as it is, whatever the voxel size.",
            rich_help_panel=DATA_OPTIONS,
        ),
    ] = False,
    rounds: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="How often all is measured, in turn.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = 3,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Write one JSON document on standard output.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Show no progress, only the figures.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = False,
) -> None:
    """Measure what picking takes on this machine, of one model or of two in turn.

    Says where the time goes, how fast the network is beside matrix products, what
    memory picking takes and how long a cold start. Any --against... option adds a
    second contender, B: rounds go A B, B A, A B, and ratios are medians of pairs.
    Nothing is written. Leave the machine to it: other programs make figures worse.

    Exit status: 0 measured, 1 failed, 2 wrong use, 130 stopped.
    """
    from dep.cli.picking import tile_of
    from dep.engine.bench import Contender, run

    if rescale and ignore_voxel_size:
        message = "--rescale and --ignore-voxel-size exclude each other"
        raise UsageError(message)
    listen_for_termination()
    tomogram_options = {
        "voxel_size": voxel_size,
        "rescale": rescale,
        "ignore_voxel_size": ignore_voxel_size,
    }
    size = _size(tomogram, shape, tomogram_options)
    chosen: dict[str, Any] = {
        "model": engine,
        "device": device,
        "precision": precision,
        "runtime": runtime,
        "threads": threads,
        "batch": batch,
        "tile": tile_of(tile),
    }
    changes: dict[str, Any] = {
        "model": against,
        "runtime": against_runtime,
        "precision": against_precision,
        "threads": against_threads,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if against_tile is not None:
        changes["tile"] = tile_of(against_tile)
    contenders = [Contender(**chosen)]
    if changes:
        contenders.append(Contender(**{**chosen, **changes}))
    with ExitStack() as stack:
        entrants = [_open(one, stack) for one in contenders]
        subject = _subject(tomogram, size, tomogram_options, entrants[0], stack)
        told = stack.enter_context(_progress(quiet))
        result = run(entrants, subject, rounds, told)
    if as_json:
        print_json(result.to_dict())
        return
    from rich.console import Console

    from dep.cli.bench_tables import show

    show(Console(highlight=False), result)


def _size(
    tomogram: Path | None, shape: str | None, options: dict[str, Any]
) -> tuple[int, int, int]:
    """Read X x Y x Z as a shape (z, y, x), and see that all goes together.

    Raises
    ------
    UsageError
        Not three whole numbers above 0, options that exclude each other, or no such
        tomogram.
    """
    if tomogram is not None and shape is not None:
        message = "--shape is of made-up noise: leave it out, or TOMOGRAM"
        raise UsageError(message)
    if tomogram is None and any(options.values()):
        message = "--voxel-size, --rescale and --ignore-voxel-size need a TOMOGRAM"
        raise UsageError(message)
    if tomogram is not None and not tomogram.is_file():
        reason = (
            "is a folder, expected one file" if tomogram.is_dir() else "no such file"
        )
        message = f"{tomogram}: {reason}"
        raise UsageError(message)
    words = re.split("[xX,]", shape or SHAPE)
    numbers = [int(one) for one in words if one.isascii() and one.isdigit()]
    if len(words) != 3 or len(numbers) != 3 or min(numbers) < 1:
        message = (
            f"--shape: expected a size in voxels as XxYxZ (such as {SHAPE}), found "
            f"{shape!r}"
        )
        raise UsageError(message)
    x, y, z = numbers
    return z, y, x


def _open(contender: "Contender", stack: ExitStack) -> "Entrant":
    """Open a contender's model; what is wrong with it or its words is wrong use."""
    from dep.engine import DepError
    from dep.engine.bench import Entrant

    try:
        return Entrant(contender, stack.enter_context(contender.open()))
    except DepError as error:
        raise UsageError(words_of(error)) from error


def _subject(
    tomogram: Path | None,
    size: tuple[int, int, int],
    options: dict[str, Any],
    first: "Entrant",
    stack: ExitStack,
) -> "Subject":
    from dep.engine.bench import Subject, made_up

    if tomogram is None:
        return stack.enter_context(made_up(size, first.picker.card))
    return Subject(path=tomogram, **options)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Say each step: on a terminal in one line that goes away, else as JSON lines.

    A bar that moves would take part of the time that is measured.
    """
    from dep.cli.progress import Lines

    stream = sys.stderr
    if quiet:
        yield lambda _what, _number, _of: None
    elif stream.isatty():

        def show(what: str, number: int, of: int) -> None:
            stream.write(f"\r\x1b[K{number}/{of}  {what}")
            stream.flush()

        try:
            yield show
        finally:
            stream.write("\r\x1b[K")
            stream.flush()
    else:
        yield Lines(stream).begin
