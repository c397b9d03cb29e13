"""`dep convert`: coordinate files of one format in, of another out."""

import math
from pathlib import Path
from typing import Annotated

import typer

from dep.cli.failure import UsageError, guarded, say, words_of
from dep.cli.wording import print_json

READ_OPTIONS = "What is read"
FRAME_OPTIONS = "Tomograms"
CHANGE_OPTIONS = "Changes"
WRITE_OPTIONS = "What is written"


@guarded
def convert(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IN... OUT",
            help="Files of coordinates or folders of them, then the file to write, or "
            "a folder: one file for each tomogram; - is standard output.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    read_as: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="Format of what is read (default: by ending and content).",
            rich_help_panel=READ_OPTIONS,
        ),
    ] = None,
    tomogram: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only this one; or its name, where the files do not say.",
            rich_help_panel=READ_OPTIONS,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[=ÅNGSTRÖM],...",
            help="Classes, with diameters; numbers in the files count in this list.",
            rich_help_panel=READ_OPTIONS,
        ),
    ] = None,
    from_centre: Annotated[
        str,
        typer.Option(
            metavar="half|floor|middle",
            help="Centre that RELION 5 files count from: size / 2 (RELION's), "
            "size // 2, (size - 1) / 2. dep's own say it themselves.",
            rich_help_panel=READ_OPTIONS,
        ),
    ] = "half",
    tomograms: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="RELION's tomograms.star, or a folder of tomograms: sizes, voxel "
            "sizes and optics by name.",
            readable=False,
            rich_help_panel=FRAME_OPTIONS,
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Size of the tomograms in voxels, overruling files.",
            rich_help_panel=FRAME_OPTIONS,
        ),
    ] = None,
    voxel_size: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Of the tomograms, overruling files.",
            rich_help_panel=FRAME_OPTIONS,
        ),
    ] = None,
    pixel_size: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Of the unbinned tilt series.",
            rich_help_panel=FRAME_OPTIONS,
        ),
    ] = None,
    binning: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Voxel size / unbinned pixel size, in place of --pixel-size.",
            rich_help_panel=FRAME_OPTIONS,
        ),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Name tomograms otherwise; * is any text ('rec_*=*'). Repeatable.",
            rich_help_panel=CHANGE_OPTIONS,
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="The same from a file with lines OLD,NEW.",
            readable=False,
            rich_help_panel=CHANGE_OPTIONS,
        ),
    ] = None,
    swap_yz: Annotated[
        bool,
        typer.Option(
            "--swap-yz",
            help="Exchange y and z (IMOD's clip flipyz).",
            rich_help_panel=CHANGE_OPTIONS,
        ),
    ] = False,
    flip: Annotated[
        str,
        typer.Option(
            metavar="AXES",
            help="Mirror axes: x, y, z, several with commas; after --swap-yz.",
            show_default=False,
            rich_help_panel=CHANGE_OPTIONS,
        ),
    ] = "",
    to_voxel_size: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Count in voxels of this size: of the tomogram binned otherwise.",
            rich_help_panel=CHANGE_OPTIONS,
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS,...",
            help="Only picks of these classes.",
            rich_help_panel=CHANGE_OPTIONS,
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            help="Only picks of at least this score.",
            rich_help_panel=CHANGE_OPTIONS,
        ),
    ] = None,
    write_as: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="Format to write (default: by the ending of OUT; .star is RELION 5).",
            rich_help_panel=WRITE_OPTIONS,
        ),
    ] = None,
    centre: Annotated[
        str,
        typer.Option(
            metavar="half|floor|middle",
            help="Centre that RELION 5 is to count from.",
            rich_help_panel=WRITE_OPTIONS,
        ),
    ] = "half",
    optics: Annotated[
        str | None,
        typer.Option(
            metavar="KV,MM,FRACTION",
            help="RELION: voltage, spherical aberration, amplitude contrast "
            "(default: from tomograms.star).",
            rich_help_panel=WRITE_OPTIONS,
        ),
    ] = None,
    box: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="VOXELS",
            help="crYOLO: edge of boxes (default: the class's diameter).",
            rich_help_panel=WRITE_OPTIONS,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace outputs that exist.",
            rich_help_panel=WRITE_OPTIONS,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Write one JSON document.", rich_help_panel=WRITE_OPTIONS
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Show warnings and failures only.",
            rich_help_panel=WRITE_OPTIONS,
        ),
    ] = False,
) -> None:
    """Convert picks between RELION, Warp, Dynamo, EMAN2, IMOD and other formats.

    What the output format has no place for is said. FORMAT is one of those that
    `dep convert --from '?'` lists.

    dep convert picks/ --from relion5 particles.star --tomograms tomograms.star writes
    all picks of a folder into one file for RELION 5, and its optimisation_set.star.
    """
    from dep.cli.convert_options import (
        changes_of,
        check_format,
        classes_of,
        conventions_of,
        list_formats,
        reading_of,
        renamed,
    )
    from dep.cli.convert_output import (
        is_stream,
        write_to_files,
        write_to_stream,
    )
    from dep.cli.evaluate_options import shape_of
    from dep.engine.errors import MissingFactError
    from dep.engine.formats.convert import change, gather, remarks, targets
    from dep.engine.formats.find import find_files
    from dep.engine.formats.known_tomograms import known_tomograms
    from dep.engine.formats.registry import format_of

    if read_as == "?" or write_as == "?":
        list_formats()
        return
    read_as, write_as = (check_format(one) for one in (read_as, write_as))
    if paths is None or len(paths) < 2:
        message = "expected IN... OUT: at least one file to read and one to write"
        raise UsageError(message)
    *inputs, out = paths
    if is_stream(out):
        if write_as is None or as_json:
            message = f"{out}: expected --to FORMAT, and no --json"
            raise UsageError(message)
        quiet = True
    form = write_as or format_of(out)
    known = None if tomograms is None else known_tomograms(tomograms)
    sizes = {
        "--voxel-size": voxel_size,
        "--pixel-size": pixel_size,
        "--binning": binning,
        "--to-voxel-size": to_voxel_size,
    }
    for option, value in sizes.items():
        if value is not None and not 0 < value < math.inf:
            message = f"{option}: expected a number above 0, found {value:g}"
            raise UsageError(message)
    if binning is not None and pixel_size is not None:
        message = "--binning and --pixel-size exclude each other"
        raise UsageError(message)
    if binning is not None and voxel_size is not None:
        pixel_size = voxel_size / binning
    reading = reading_of(
        read_as, tomogram, shape_of(shape), voxel_size, pixel_size, from_centre, known
    )
    reading = renamed(reading, rename, names, known)
    changes = changes_of(swap_yz, flip, to_voxel_size, keep, min_score)
    try:
        found = gather(find_files(inputs, read_as), reading, classes_of(classes))
        changed = [change(one, changes) for one in found]
        how = conventions_of(changed, pixel_size, binning, centre, optics, box, known)
        if is_stream(out):
            written = write_to_stream(changed, out, form, how)
        else:
            plan = targets(changed, out, form)
            written = write_to_files(plan, form, how, overwrite=overwrite)
    except MissingFactError as error:
        hint = ", or the tomograms or RELION's tomograms.star (--tomograms PATH)"
        if known:
            hint = f"; {known.path} does not say it: has it another name (--rename)?"
        message = f"{words_of(error)}{hint}"
        raise UsageError(message) from error
    for remark in remarks(changed, known, form, how) if known else ():
        say(remark)
    if as_json:
        print_json({"format": form, "written": written})
    elif not quiet:
        for one in written:
            many = one["tomograms"]
            of = f" of {many} tomograms" if many > 1 else ""
            typer.echo(f"{one['path']}: {one['picks']} picks{of} ({form})")
