"""`dep pick`: tomograms and a model in, coordinates out."""

import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from dep.cli.failure import FAILED, UsageError, guarded
from dep.cli.wording import print_json

MODEL_OPTIONS = "Model"
DATA_OPTIONS = "Tomogram"
METHOD_OPTIONS = "Thresholds (default: the model's own)"
OUTPUT_OPTIONS = "Output"


@guarded
def pick(
    tomograms: Annotated[
        list[str],  # a Path would make one slash of the two of an address
        typer.Argument(
            metavar="TOMOGRAM...",
            help="Tomograms (MRC, OME-Zarr, HDF5, EM, TIFF, NumPy) or folders of them.",
            show_default=False,
        ),
    ],
    engine: Annotated[
        Path | None,
        typer.Option(
            "--engine",
            metavar="MODEL",
            help="Model file, or standard or fast (default: standard).",
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
    memory: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="MIB",
            help="Memory for tiles and labels on a processor (default: 900).",
            rich_help_panel=MODEL_OPTIONS,
        ),
    ] = None,
    mirrors: Annotated[
        int,
        typer.Option(
            metavar="1|2|4|8",
            help="Average so many mirror images, at that many times the cost.",
            rich_help_panel=MODEL_OPTIONS,
        ),
    ] = 1,
    gpu_memory: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="MIB",
            help="GPU memory that may be taken (default: what there is).",
            rich_help_panel=MODEL_OPTIONS,
        ),
    ] = None,
    cuda_graph: Annotated[
        bool,
        typer.Option(
            "--cuda-graph",
            help="Record a plan's launches once and replay them.",
            rich_help_panel=MODEL_OPTIONS,
        ),
    ] = False,
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
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask",
            metavar="MASK",
            help="MRC that is not 0 where particles may be; or a folder of NAME.mrc.",
            readable=False,
            rich_help_panel=DATA_OPTIONS,
        ),
    ] = None,
    skip_empty: Annotated[
        bool,
        typer.Option(
            "--skip-empty",
            help="Do not compute tiles without any structure.",
            rich_help_panel=DATA_OPTIONS,
        ),
    ] = False,
    lowpass: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Remove shorter wavelengths first (Gaussian; default: no filter).",
            rich_help_panel=DATA_OPTIONS,
        ),
    ] = None,
    highpass: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Remove longer wavelengths first; with --lowpass a band-pass.",
            rich_help_panel=DATA_OPTIONS,
        ),
    ] = None,
    robust: Annotated[
        bool,
        typer.Option(
            "--robust",
            help="Normalise by median and quartiles (gold beads, hot voxels, edges).",
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
            readable=False,
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = Path("picks"),
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME,...",
            help="relion5, csv, star and others (dep convert --from '?' lists them), "
            "with commas.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = "relion5,csv",
    pixel_size: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Of the unbinned tilt series, for formats that count in its pixels: "
            "relion4, eman2.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = None,
    picture: Annotated[
        bool,
        typer.Option(
            "--picture",
            help="Draw slices with the picks circled, as PNG.",
            rich_help_panel=OUTPUT_OPTIONS,
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Write DIR/report.html: counts, scores, slices with picks.",
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
    from dep.cli.batch import find_tomograms, plan, remaining
    from dep.cli.course import Course
    from dep.cli.ending import ending_soon
    from dep.cli.picking import (
        check_folder,
        check_name,
        identify,
        make_folder,
        open_picker,
        patterns_of,
        say_what_is_lost,
        tile_of,
        write_outputs,
    )
    from dep.cli.progress import reporting
    from dep.cli.report import need_pictures, write_page
    from dep.cli.run_log import NAME, RunLog
    from dep.engine.formats import Conventions

    if overwrite and resume:
        message = "--overwrite and --resume exclude each other"
        raise UsageError(message)
    if rescale and ignore_voxel_size:
        message = "--rescale and --ignore-voxel-size exclude each other"
        raise UsageError(message)
    if quiet and verbose:
        message = "--quiet and --verbose exclude each other"
        raise UsageError(message)
    if report:
        need_pictures("--report")
    patterns = patterns_of(formats, picture, pixel_size)
    jobs = plan(find_tomograms(tomograms), out, patterns)
    check_folder(out)
    record = RunLog(out / NAME, ("dep", *sys.argv[1:]))
    choices: dict[str, Any] = {
        "voxel_size": voxel_size,
        "rescale": rescale,
        "ignore_voxel_size": ignore_voxel_size,
        "invert": invert,
        "statistics": "robust" if robust else "plain",
        "skip_empty": skip_empty,
        "lowpass": lowpass,
        "highpass": highpass,
        "mask": mask,
        "t_seg": t_seg,
        "t_lm": t_lm,
        "t_dist": t_dist,
    }
    chosen = {
        "device": device,
        "precision": precision,
        "runtime": runtime,
        "threads": threads,
        "batch": batch,
        "tile": tile_of(tile),
        "memory": memory,
        "mirrors": mirrors,
        "gpu_memory": gpu_memory,
        "cuda_graph": cuda_graph,
    }
    with ending_soon() as writing, open_picker(engine, chosen) as picker:
        identity = identify(
            picker, {**choices, "mirrors": mirrors, "pixel_size": pixel_size}
        )
        todo = remaining(
            jobs, record.entries(), identity, overwrite=overwrite, resume=resume
        )
        make_folder(out)
        say_what_is_lost(patterns, quiet)
        write = write_outputs
        if pixel_size is not None:
            how = Conventions(pixel_size=pixel_size)
            write = partial(write_outputs, conventions=how)
        record.models[picker.card.weights_digest] = picker.card.to_dict()
        course = Course(todo, check_name, record, identity, writing)
        outcomes = picker.pick_many(course.tomograms(), progress=course.told, **choices)
        # The bar goes first: closing may wait for a layer of the network.
        with closing(outcomes), reporting(quiet) as reporter:
            failures = course.run(outcomes, write, reporter)
        skipped = len(jobs) - len(todo)
        entries = record.mine

    if as_json:
        document = {
            **record.document("failed" if failures else "complete"),
            "skipped": skipped,
        }
        print_json(document)
    elif not quiet:
        from rich.console import Console

        from dep.cli.tables import show_run

        show_run(Console(highlight=False), entries, skipped, verbose)
    if report:
        page = write_page(out, quiet=quiet)
        if not (quiet or as_json):
            typer.echo(f"report: {page}")
    if failures:
        raise typer.Exit(FAILED)
