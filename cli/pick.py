"""`dep pick`: tomograms and a model in, coordinates out."""

import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import typer

from dep.cli import pick_options as options
from dep.cli.failure import FAILED, UsageError, guarded
from dep.cli.wording import print_json


@guarded
def pick(
    tomograms: options.Tomograms,
    engine: options.Engine = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    runtime: options.Runtime = "auto",
    threads: options.Threads = None,
    batch: options.Batch = None,
    tile: options.Tile = "auto",
    memory: options.Memory = None,
    mirrors: options.Mirrors = 1,
    gpu_memory: options.GpuMemory = None,
    cuda_graph: options.CudaGraph = False,
    voxel_size: options.VoxelSize = None,
    rescale: options.Rescale = False,
    ignore_voxel_size: options.IgnoreVoxelSize = False,
    invert: options.Invert = False,
    mask: options.Mask = None,
    skip_empty: options.SkipEmpty = False,
    lowpass: options.Lowpass = None,
    highpass: options.Highpass = None,
    robust: options.Robust = False,
    t_seg: options.TSeg = None,
    t_lm: options.TLm = None,
    t_dist: options.TDist = None,
    out: options.Out = Path("picks"),
    formats: options.Formats = "relion5,csv",
    pixel_size: options.PixelSize = None,
    tomograms_star: options.TomogramsStar = None,
    optics: options.Optics = None,
    rename: options.Rename = None,
    picture: options.Picture = False,
    report: options.Report = False,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Pick the particles of one or more tomograms.

    Writes DIR/NAME.star, DIR/NAME.csv and the like for every tomogram NAME, and
    DIR/run.json, which says what was picked with what and how it ended. A tomogram
    that fails is reported, and the others are picked. With --tomograms also
    DIR/particles.star of all tomograms, and DIR/optimisation_set.star for RELION 5.

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
    from dep.cli.relion_outputs import (
        check_jobs,
        combine,
        project_of,
        revised,
        say_what_relion_lacks,
    )
    from dep.cli.report import need_pictures, write_page
    from dep.cli.run_log import NAME, RunLog

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
    patterns = patterns_of(
        formats, picture, pixel_size, sizes_known=tomograms_star is not None
    )
    project = project_of(tomograms_star, optics, pixel_size, rename, patterns)
    called = project.renaming.new
    jobs = plan(find_tomograms(tomograms), out, patterns, mask, called)
    check_folder(out)
    check_jobs(project, jobs, out, overwrite=overwrite)
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
        if not quiet:
            say_what_relion_lacks(project, jobs)
        write = partial(write_outputs, conventions=project.conventions)
        record.models[picker.card.weights_digest] = picker.card.to_dict()
        check = partial(check_name, project=project)
        course = Course(todo, check, record, identity, writing, revised(project))
        outcomes = picker.pick_many(course.tomograms(), progress=course.told, **choices)
        # The bar goes first: closing may wait for a layer of the network.
        with closing(outcomes), reporting(quiet) as reporter:
            failures = course.run(outcomes, write, reporter)
        with writing:
            combined, failures = combine(project, record, patterns, failures)
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
        if combined:
            typer.echo(combined)
    if report:
        page = write_page(out, quiet=quiet)
        if not (quiet or as_json):
            typer.echo(f"report: {page}")
    if failures:
        raise typer.Exit(FAILED)
