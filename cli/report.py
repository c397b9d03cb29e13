"""`dep report`: one HTML page about a folder of picks."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dep.cli.failure import UsageError, guarded, listen_for_termination, need, words_of

ENDINGS = (".html", ".htm")


@guarded
def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder that dep pick wrote into.", readable=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The page (default: DIR/report.html).",
            readable=False,
        ),
    ] = None,
    slices: Annotated[
        int,
        typer.Option(
            min=0,
            max=25,
            help="Slices of each tomogram at most; 0: none.",
        ),
    ] = 5,
    title: Annotated[
        str | None, typer.Option(help="Of the page (default: the folder's name).")
    ] = None,
    max_size: Annotated[
        float,
        typer.Option(
            "--max-size",
            metavar="MB",
            help="Size of the page: so many slices as fit are drawn.",
        ),
    ] = 5.0,
    tomograms: Annotated[
        Path | None,
        typer.Option(
            "--tomograms",
            metavar="FOLDER",
            help="Where the tomograms are now, if they were moved.",
            readable=False,
        ),
    ] = None,
) -> None:
    """Write a page about picks: counts, scores, slices with picks circled, settings.

    The page is one file that needs no network. A slider filters the picks by
    their score, the legend by class. Links to coordinate files hold while the
    page and the folder stay where they are to each other.
    """
    listen_for_termination()
    if out is not None and out.suffix.lower() not in ENDINGS:
        message = f"{out}: expected the name of a page, such as report.html (-o)"
        raise UsageError(message)
    if tomograms is not None and not tomograms.is_dir():
        message = f"--tomograms: {tomograms}: no such folder"
        raise UsageError(message)
    path = write_page(
        folder,
        quiet=False,
        path=out,
        title=title,
        count=slices,
        megabytes=max_size,
        tomograms=tomograms,
    )
    sys.stdout.write(f"{path} ({path.stat().st_size / 1e6:.1f} MB)\n")


def write_page(folder: Path, *, quiet: bool, **options: Any) -> Path:  # noqa: ANN401 - those of `write_report`
    """Write the report on a folder, with a bar on a terminal; return its path.

    Raises
    ------
    UsageError
        The folder holds no record of a run.
    """
    from dep.cli.progress import reporting
    from dep.engine.errors import ReportError, SettingError
    from dep.engine.report import write_report

    if options.get("count", 1):
        need_pictures("slices of tomograms (--slices 0 goes without)")
    with reporting(quiet or not sys.stderr.isatty()) as reporter:
        reporter.begin("report", 1, 1)
        try:
            return write_report(
                folder,
                told=lambda _, done, total: reporter.advance(done, total),
                **options,
            )
        except (ReportError, SettingError) as error:
            # What the page may weigh is the option --max-size.
            words = words_of(error).replace("megabytes:", "--max-size:")
            raise UsageError(words) from error
        finally:
            reporter.done("report")


def need_pictures(purpose: str) -> None:
    """End the command with what to install where no picture can be written."""
    need(("PIL",), "picture", purpose)
