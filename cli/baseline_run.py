"""Between the words of `dep baseline` and the engine: settings, and the run."""

import math
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dep.cli.failure import FAILED, UsageError, words_of
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from dep.engine.baseline.picking import Reading, Settings


def run(
    method: str,
    settings: "Settings",
    reading: "Reading",
    tomograms: list[str],
    out: Path,
    outputs: dict[str, Any],
    asked: dict[str, bool],
) -> None:
    """Pick tomograms into a folder as `dep pick` does."""
    from dep.cli.batch import find_tomograms, plan, remaining
    from dep.cli.course import Course
    from dep.cli.ending import ending_soon
    from dep.cli.picking import (
        check_folder,
        check_name,
        make_folder,
        patterns_of,
        say_what_is_lost,
        write_outputs,
    )
    from dep.cli.progress import reporting
    from dep.cli.run_log import NAME, RunLog
    from dep.engine.baseline.picking import describe, pick_each

    if asked["overwrite"] and asked["resume"]:
        message = "--overwrite and --resume exclude each other"
        raise UsageError(message)
    patterns = patterns_of(outputs["formats"], outputs["picture"])
    jobs = plan(find_tomograms(tomograms), out, patterns)
    check_folder(out)
    record = RunLog(out / NAME, ("dep", *sys.argv[1:]))
    identity = {
        "method": method,
        # Memory and threads do not change what is found.
        "settings": describe(settings)
        | {
            "voxel_size": reading.voxel_size,
            "invert": reading.invert,
            "statistics": reading.statistics,
        },
    }
    with ending_soon() as writing:
        todo = remaining(
            jobs,
            record.entries(),
            identity,
            overwrite=asked["overwrite"],
            resume=asked["resume"],
        )
        make_folder(out)
        say_what_is_lost(patterns, asked["quiet"])
        course = Course(todo, check_name, record, identity, writing)
        endings = pick_each(course.tomograms(), settings, reading, course.told)
        with closing(endings), reporting(asked["quiet"]) as reporter:
            failures = course.run(endings, write_outputs, reporter)
    skipped = len(jobs) - len(todo)
    if asked["json"]:
        document = record.document("failed" if failures else "complete")
        print_json({**document, "skipped": skipped})
    elif not asked["quiet"]:
        from rich.console import Console

        from dep.cli.baseline_tables import show_run

        show_run(Console(highlight=False), record.mine, skipped)
    if failures:
        raise typer.Exit(FAILED)


def right(make: Callable[[], Any]) -> Any:  # noqa: ANN401 - what is made
    """Make settings; what is wrong with them is wrong use."""
    from dep.engine.errors import DepError

    try:
        return make()
    except DepError as error:
        raise UsageError(words_of(error)) from error


def blobs_of(words: list[str]) -> tuple[Any, ...]:
    """Read ``120`` and ``ribosome=250``, all with names or none."""
    from dep.engine.baseline import Blob

    blobs = []
    for word in words:
        name, mark, number = word.rpartition("=")
        try:
            size = float(number)
        except ValueError:
            size = math.nan
        if not 0 < size < math.inf or (mark and not name.strip()):
            message = f"--diameter: expected NAME=ÅNGSTRÖM or ÅNGSTRÖM, found {word!r}"
            raise UsageError(message)
        blobs.append(Blob(size, name.strip()) if mark else Blob(size))
    if len({"=" in word for word in words}) > 1:
        message = "--diameter: expected names for all diameters, or for none"
        raise UsageError(message)
    return tuple(blobs)


def template_of(words: str) -> tuple[Path, str | None]:
    """Read FILE or FILE,NAME; a file whose own name holds a comma is found as it is."""
    path, mark, name = words.rpartition(",")
    if not mark or Path(words).exists():
        return Path(words), None
    if not path or not name.strip():
        message = f"--template: expected FILE or FILE,NAME, found {words!r}"
        raise UsageError(message)
    return Path(path), name.strip()


def tilts_of(words: str) -> tuple[float, float]:
    """Read LOW,HIGH."""
    try:
        low, high = (float(one) for one in words.split(","))
    except ValueError as error:
        message = (
            "--tilt: expected the lowest and the highest tilt in degrees, such as "
            f"-60,60; found {words!r}"
        )
        raise UsageError(message) from error
    return low, high


def distance_of(voxels: float | None) -> float | None:
    """Refuse a distance below 0."""
    if voxels is not None and not 0 <= voxels < math.inf:
        message = f"--t-dist: expected 0 voxels or more, found {voxels}"
        raise UsageError(message)
    return voxels
