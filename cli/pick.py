"""`dep pick`: tomograms and a model in, coordinates out."""

import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dep.cli.failure import (
    FAILED,
    UsageError,
    guarded,
    listen_for_termination,
    need,
)

if TYPE_CHECKING:
    from dep.cli.batch import Job
    from dep.engine import Picker, Picks
    from dep.engine.choices import Device, RuntimeName, RuntimePrecision

PICTURE = "picture"
MODEL_OPTIONS = "Model"
DATA_OPTIONS = "Tomogram"
METHOD_OPTIONS = "Thresholds (default: the model's own)"
OUTPUT_OPTIONS = "Output"


@guarded
def pick(
    tomograms: Annotated[
        list[Path],
        typer.Argument(
            metavar="TOMOGRAM...",
            help="MRC files, or folders of them.",
            show_default=False,
        ),
    ],
    engine: Annotated[
        Path | None,
        typer.Option(
            "--engine",
            metavar="MODEL",
            help="Model file (default: the bundled one).",
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
            help="auto, openvino or onnxruntime.", rich_help_panel=MODEL_OPTIONS
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
    voxel_size: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Voxel size, overruling the headers.",
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
    invert: Annotated[
        bool,
        typer.Option(
            "--invert",
            help="Swap dark and bright before picking.",
            rich_help_panel=DATA_OPTIONS,
        ),
    ] = False,
    t_seg: Annotated[
        float | None,
        typer.Option(
            help="Least score of a particle's voxel.", rich_help_panel=METHOD_OPTIONS
        ),
    ] = None,
    t_lm: Annotated[
        float | None,
        typer.Option(
            help="Least pooled value of a local maximum.",
            rich_help_panel=METHOD_OPTIONS,
        ),
    ] = None,
    t_dist: Annotated[
        float | None,
        typer.Option(
            help="Least distance of two picks, voxels.", rich_help_panel=METHOD_OPTIONS
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder of the outputs.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = Path("picks"),
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME,...",
            help="relion5, star, csv, coords; several with commas.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = "relion5,csv",
    picture: Annotated[
        bool,
        typer.Option(
            "--picture",
            help="Draw slices with the picks circled, as PNG.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace outputs that exist.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Skip what run.json says was picked with this model and settings.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = False,
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
            help="Show failures only.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Show model, settings and times of each tomogram.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = False,
) -> None:
    """Pick the particles of one or more tomograms.

    Writes DIR/NAME.star, DIR/NAME.csv and the like for every tomogram NAME, and
    DIR/run.json, which says what was picked with what and how it ended. A tomogram
    that fails is reported, and the others are picked.

    Exit status: 0 all picked, 1 some failed, 2 wrong use, 130 stopped.
    """
    from dep.cli.batch import find_tomograms, pick_all, plan, remaining
    from dep.cli.progress import reporting
    from dep.cli.run_log import NAME, RunLog

    if overwrite and resume:
        message = "--overwrite and --resume exclude each other"
        raise UsageError(message)
    if quiet and verbose:
        message = "--quiet and --verbose exclude each other"
        raise UsageError(message)
    listen_for_termination()
    suffixes = _suffixes(formats, picture)
    jobs = plan(find_tomograms(tomograms), out, suffixes)
    record = RunLog(_folder(out) / NAME, ("dep", *sys.argv[1:]))
    choices: dict[str, Any] = {
        "voxel_size": voxel_size,
        "rescale": rescale,
        "ignore_voxel_size": ignore_voxel_size,
        "invert": invert,
        "t_seg": t_seg,
        "t_lm": t_lm,
        "t_dist": t_dist,
    }
    with _open(engine, device, precision, runtime, threads) as picker:
        identity = _identity(picker, choices)
        todo = remaining(
            jobs, record.entries(), identity, overwrite=overwrite, resume=resume
        )

        def pick_one(job: "Job", advance: Callable[[int, int], None]) -> "Picks":
            picks = picker.pick(
                job.tomogram,
                progress=lambda done, total, _stage: advance(done, total),
                **choices,
            )
            _write(picks, job)
            return picks

        with reporting(quiet) as reporter:
            failures = pick_all(todo, pick_one, record, identity, reporter)
        skipped = len(jobs) - len(todo)
        entries = record.mine

    if as_json:
        document = {
            **record.document("failed" if failures else "complete"),
            "skipped": skipped,
        }
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))
    elif not quiet:
        from rich.console import Console

        from dep.cli.tables import show_run

        show_run(Console(highlight=False), entries, skipped, verbose)
    if failures:
        raise typer.Exit(FAILED)


def _suffixes(formats: str, picture: bool) -> dict[str, str]:
    """Name the file ending of each format asked for, in that order."""
    from dep.engine.formats import FORMATS

    names = [name.strip().lower() for name in formats.split(",") if name.strip()]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        found = ", ".join(unknown) or "nothing"
        message = f"--format: expected {', '.join(FORMATS)}, found {found}"
        raise UsageError(message)
    suffixes = {name: FORMATS[name].suffix for name in names}
    if picture:
        need(("PIL",), "picture", "--picture")
        suffixes[PICTURE] = ".png"
    return suffixes


def _open(
    engine: Path | None,
    device: str,
    precision: str,
    runtime: str,
    threads: int | None,
) -> "Picker":
    """Open the model; what is wrong with it or its words is wrong use."""
    from dep.engine import DepError, Picker

    try:
        return Picker(
            engine,
            cast("Device", device),
            precision=cast("RuntimePrecision", precision),
            runtime=cast("RuntimeName", runtime),
            threads=threads,
        )
    except DepError as error:
        raise UsageError(str(error)) from error


def _identity(picker: "Picker", choices: dict[str, Any]) -> dict[str, Any]:
    """Say which model picks with which settings, the model's own filled in.

    Raises
    ------
    UsageError
        Settings out of range.
    """
    from dep.engine import SettingError
    from dep.engine.settings import PickSettings

    names = ("t_seg", "t_lm", "t_dist", "invert", "rescale")
    try:
        settings = PickSettings.of(
            picker.card, **{name: choices[name] for name in names}
        )
    except SettingError as error:
        raise UsageError(str(error)) from error
    size = choices["voxel_size"]
    if size is not None and not 0 < size < math.inf:
        message = f"--voxel-size: expected a number of ångström above 0, found {size}"
        raise UsageError(message)
    everything = {
        **asdict(settings),
        "voxel_size": size,
        "ignore_voxel_size": choices["ignore_voxel_size"],
        "precision": picker.runtime.precision,
    }
    # As JSON gives it back: lists, not tuples.
    words = json.dumps({"model": asdict(picker.model), "settings": everything})
    identity: dict[str, Any] = json.loads(words)
    return identity


def _folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = (
            f"{out}: cannot be used as the folder of the outputs ({error.strerror})"
        )
        raise UsageError(message) from error
    if not os.access(out, os.W_OK | os.X_OK):
        message = (
            f"{out}: no permission to write into this folder; choose another with -o"
        )
        raise UsageError(message)
    return out


def _write(picks: "Picks", job: "Job") -> None:
    """Write all outputs of one tomogram."""
    for form, path in job.outputs.items():
        if form != PICTURE:
            picks.write(path, form)
    if PICTURE in job.outputs:
        from dep.engine.picture import draw_picture
        from dep.engine.volume import open_volume

        with open_volume(job.tomogram, picks.voxel_size) as volume:
            draw_picture(volume, picks, job.outputs[PICTURE])
