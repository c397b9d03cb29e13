"""One HTML page about a run of `dep pick`: counts, slices with picks, settings."""

import os
from collections.abc import Callable
from pathlib import Path

from dep.engine.atomic import atomic_text
from dep.engine.errors import SettingError
from dep.engine.report.figures import Drawn, draw_figures
from dep.engine.report.found import read_found
from dep.engine.report.page import render
from dep.engine.report.run_folder import read_run

__all__ = ["REPORT_FILE", "write_report"]

REPORT_FILE = "report.html"
SLICES = 5
MOST_SLICES = 25
MEGABYTES = 5.0
PART = 0.97  # of the size is filled: a slice may take a little more than it should


def write_report(
    folder: Path,
    path: Path | None = None,
    *,
    title: str | None = None,
    count: int = SLICES,
    megabytes: float = MEGABYTES,
    tomograms: Path | None = None,
    told: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Write a page about everything that was picked into a folder.

    Parameters
    ----------
    folder
        That `dep pick` wrote into.
    path
        Of the page; it appears whole or not at all. Default: ``report.html`` in the
        folder.
    title
        Default: the folder's name.
    count
        Slices of each tomogram, at most; fewer where the page would grow too large.
    megabytes
        What the page may take. Slices fill what tables and settings leave.
    tomograms
        Where to look for the tomograms if they are no longer where they were.
    told
        Called with a tomogram's name, how many are drawn, and of how many.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ReportError
        The folder holds no record of a run.
    SettingError
        A number of slices or megabytes that makes no sense.
    PicksError
        The page cannot be written.
    ModuleNotFoundError
        Slices are wanted and Pillow is not installed.
    """
    if not 0 <= count <= MOST_SLICES:
        message = f"slices: expected 0 to {MOST_SLICES}, found {count}"
        raise SettingError(message)
    if not 0 < megabytes < 1e6:
        message = f"megabytes: expected a number above 0, found {megabytes:g}"
        raise SettingError(message)
    run = read_run(folder)
    classes, found = read_found(run)
    path = folder / REPORT_FILE if path is None else path
    base = _from(path.parent, folder)
    words = title or folder.resolve().name or str(folder)

    def page(drawn: dict[int, Drawn], remark: str = "") -> str:
        return render(run, found, classes, drawn, title=words, base=base, remark=remark)

    drawn: dict[int, Drawn] = {}
    remark = ""
    if count:
        rest = len(page({}).encode("utf-8"))
        # Each slice brings some markup of its own.
        room = int(megabytes * 1e6 * PART) - rest - 1500 * len(found)
        drawn = draw_figures(found, classes, count, room, tomograms, told)
        picked = sum(one.run.picked for one in found)
        if len(drawn) < picked:
            remark = (
                f"Slices of the first {len(drawn)} of {picked} tomograms: the page is "
                f"kept below {megabytes:g} MB. dep report with --max-size shows more."
            )
    with atomic_text(path) as stream:
        stream.write(page(drawn, remark))
    return path


def _from(start: Path, folder: Path) -> str:
    """Give the way from one folder to another, with slashes."""
    way = os.path.relpath(folder.resolve(), start.resolve())
    return "." if way == "." else f"./{Path(way).as_posix()}"
