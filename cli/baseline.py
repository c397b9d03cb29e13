"""`dep baseline`: classical pickers, to hold a network against."""

from pathlib import Path
from typing import Annotated

import typer

from dep.cli.baseline_options import (
    METHOD_OPTIONS,
    Formats,
    Invert,
    Memory,
    Nearest,
    Number,
    Resume,
    Robust,
    Tomograms,
)
from dep.cli.baseline_run import (
    blobs_of,
    distance_of,
    right,
    run,
    template_of,
    tilts_of,
)
from dep.cli.failure import guarded, need, say
from dep.cli.pick_options import (
    DATA_OPTIONS,
    AsJson,
    Out,
    Overwrite,
    Picture,
    Quiet,
    VoxelSize,
)

app = typer.Typer(
    help="Pick with a classical method, to hold a network against: blobs or templates.",
    no_args_is_help=True,
)


@app.command("dog")
@guarded
def dog(
    tomograms: Tomograms,
    diameter: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME=]ÅNGSTRÖM",
            help="What to look for; several times for several sizes. With names one "
            "class each, without one class 'particle'.",
            rich_help_panel=METHOD_OPTIONS,
            show_default=False,
        ),
    ],
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="DEVIATIONS",
            help="Least response, in standard deviations of all (default: 4, or none "
            "with --number).",
            rich_help_panel=METHOD_OPTIONS,
        ),
    ] = None,
    number: Number = None,
    t_dist: Nearest = None,
    ratio: Annotated[
        float,
        typer.Option(help="Of the two Gaussians.", rich_help_panel=METHOD_OPTIONS),
    ] = 1.6,
    voxel_size: VoxelSize = None,
    invert: Invert = False,
    robust: Robust = False,
    memory: Memory = 900,
    out: Out = Path("picks"),
    formats: Formats = "relion5,csv",
    picture: Picture = False,
    overwrite: Overwrite = False,
    resume: Resume = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find blobs of given diameters by differences of Gaussians.

    Writes what dep pick writes. A response of z standard deviations gets the score
    z / (1 + z). Needs the extra `baseline` (SciPy). docs/baseline.md has the equations.

    Exit status: 0 all picked, 1 some failed, 2 wrong use, 130 stopped.
    """
    need(("scipy",), "baseline", "dep baseline")
    from dep.engine.baseline import DogSettings
    from dep.engine.baseline.picking import Reading

    blobs = blobs_of(diameter)
    settings = right(
        lambda: DogSettings(
            blobs=blobs,
            threshold=threshold,
            number=number,
            t_dist=distance_of(t_dist),
            ratio=ratio,
        )
    )
    reading = right(
        lambda: Reading(
            voxel_size=voxel_size,
            invert=invert,
            statistics="robust" if robust else "plain",
            memory=memory,
        )
    )
    run(
        "difference of Gaussians",
        settings,
        reading,
        tomograms,
        out,
        {"formats": formats, "picture": picture},
        {"overwrite": overwrite, "resume": resume, "json": as_json, "quiet": quiet},
    )


@app.command("template")
@guarded
def template(
    tomograms: Tomograms,
    templates: Annotated[
        list[str],
        typer.Option(
            "--template",
            metavar="FILE[,NAME]",
            help="Density map (MRC, bright), and what to call its picks; several "
            "times for several classes.",
            rich_help_panel=METHOD_OPTIONS,
            show_default=False,
        ),
    ],
    angles: Annotated[
        float,
        typer.Option(
            metavar="DEGREES",
            help="Between two orientations (60: 69, 45: 163, 30: 551 of them).",
            rich_help_panel=METHOD_OPTIONS,
        ),
    ] = 30.0,
    tilt: Annotated[
        str,
        typer.Option(
            metavar="LOW,HIGH",
            help="Tilts of the series, degrees; the rest is the missing wedge.",
            rich_help_panel=METHOD_OPTIONS,
        ),
    ] = "-60,60",
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="CORRELATION",
            help="Least correlation, 0 to 1 (default: what --false-positives says, "
            "or none with --number).",
            rich_help_panel=METHOD_OPTIONS,
        ),
    ] = None,
    false_positives: Annotated[
        float,
        typer.Option(
            help="To expect of a tomogram of mere noise, for each template.",
            rich_help_panel=METHOD_OPTIONS,
        ),
    ] = 1.0,
    number: Number = None,
    t_dist: Nearest = None,
    mask_radius: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Of the mask around a template's centre (default: its farthest "
            "density).",
            rich_help_panel=METHOD_OPTIONS,
        ),
    ] = None,
    low_pass: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Keep nothing finer of the templates (default: two voxels).",
            rich_help_panel=METHOD_OPTIONS,
        ),
    ] = None,
    template_voxel_size: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Voxel size of the templates, overruling their headers.",
            rich_help_panel=METHOD_OPTIONS,
        ),
    ] = None,
    voxel_size: VoxelSize = None,
    invert: Invert = False,
    robust: Robust = False,
    memory: Memory = 900,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPU threads (default: the cores this process may use).",
            rich_help_panel=DATA_OPTIONS,
        ),
    ] = None,
    out: Out = Path("picks"),
    formats: Formats = "relion5,csv",
    picture: Picture = False,
    overwrite: Overwrite = False,
    resume: Resume = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find molecules by correlation with their density, in many orientations.

    Writes what dep pick writes; the score is the locally normalised correlation.
    On the processor, and slow: a small set of angles is what it is for. Needs the
    extra `baseline` (SciPy). docs/baseline.md has the equations.

    Exit status: 0 all picked, 1 some failed, 2 wrong use, 130 stopped.
    """
    need(("scipy",), "baseline", "dep baseline")
    from dep.engine.baseline import TemplateSettings, open_template
    from dep.engine.baseline.picking import Reading

    low, high = tilts_of(tilt)
    named = [template_of(words) for words in templates]
    maps = right(
        lambda: tuple(
            open_template(path, name, template_voxel_size) for path, name in named
        )
    )
    if not quiet:
        for one in maps:
            if one.remark:
                say(f"note: {one.remark}")
    settings = right(
        lambda: TemplateSettings(
            templates=maps,
            angles=angles,
            tilt=(low, high),
            threshold=threshold,
            false_positives=false_positives,
            number=number,
            t_dist=distance_of(t_dist),
            low_pass=low_pass,
            mask_radius=mask_radius,
        )
    )
    reading = right(
        lambda: Reading(
            voxel_size=voxel_size,
            invert=invert,
            statistics="robust" if robust else "plain",
            memory=memory,
            threads=threads,
        )
    )
    run(
        "template matching",
        settings,
        reading,
        tomograms,
        out,
        {"formats": formats, "picture": picture},
        {"overwrite": overwrite, "resume": resume, "json": as_json, "quiet": quiet},
    )
