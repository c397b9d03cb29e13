"""Between the words of `dep pick` and RELION: names, optics, and what is combined."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dep.cli.failure import UsageError, expected, say, words_of
from dep.cli.run_log import Entry, RunLog
from dep.engine.errors import DepError
from dep.engine.formats.relion_project import FORMS, PARTICLES, RelionProject
from dep.engine.formats.relion_set import COMBINED, combined_in
from dep.engine.formats.tomogram_names import renaming_of

if TYPE_CHECKING:
    from dep.cli.batch import Job
    from dep.engine import Picks

SHOWN = 3  # names in a message before "and so many more"


def project_of(
    tomograms_star: Path | None,
    optics: str | None,
    pixel_size: float | None,
    rename: list[str] | None,
    forms: Iterable[str],
) -> RelionProject:
    """Say what RELION knows; what is wrong with the words or the file is wrong use."""
    from dep.cli.convert_options import optics_of

    if tomograms_star is not None and not set(FORMS) & set(forms):
        message = (
            f"--tomograms is for --format {' or '.join(FORMS)}: add one of them, or "
            "leave it out"
        )
        raise UsageError(message)
    try:
        return RelionProject.of(
            tomograms_star,
            optics=optics_of(optics),
            pixel_size=pixel_size,
            renaming=renaming_of(rename or ()),
        )
    except DepError as error:
        raise UsageError(words_of(error)) from error


def check_jobs(
    project: RelionProject, jobs: "list[Job]", folder: Path, *, overwrite: bool
) -> None:
    """Refuse a run whose combined files could not be written, or would be empty.

    Raises
    ------
    UsageError
        A tomogram has the name of one, a file of that name is not ours, or RELION knows
        no tomogram.
    """
    if project.known is None:
        return
    for job in jobs:
        if any(path.name in COMBINED for path in job.outputs.values()):
            message = (
                f"{job.tomogram}: its output would be called like the file of all "
                "tomograms; give it another name (--rename)"
            )
            raise UsageError(message)
    ours = combined_in(folder)
    others = [name for name in COMBINED if name not in ours]
    in_the_way = [name for name in others if (folder / name).exists()]
    if in_the_way and not overwrite:
        message = (
            f"{folder / in_the_way[0]} exists already, and dep pick did not write it; "
            "replace it with --overwrite, or take another folder with -o"
        )
        raise UsageError(message)
    if not any(project.knows(job.name) for job in jobs):
        message = (
            f"{project.known.path}: has none of these tomograms "
            f"({_some(job.name for job in jobs)}); it has "
            f"{_some(project.known.frames)}. Say which is which with --rename OLD=NEW "
            "(* is any text)"
        )
        raise UsageError(message)


def say_what_relion_lacks(project: RelionProject, jobs: "list[Job]") -> None:
    """Say at once what would otherwise be noted when hours have passed."""
    if project.known is None:
        return
    names = [job.name for job in jobs]
    strange = [name for name in names if not project.knows(name)]
    if strange:
        say(
            f"{project.known.path}: has no tomogram {_some(strange)}: picks of it are "
            f"in files of their own only, not in {PARTICLES}; --rename gives it "
            "RELION's name"
        )
    lacking = project.lacking(names)
    if lacking:
        say(
            f"{project.known.path}: voltage, spherical aberration or amplitude "
            f"contrast of {_some(lacking)} are not there, so there is no optics block; "
            "give them with --optics"
        )


def revised(project: RelionProject) -> "Callable[[Picks, Job], Picks]":
    """Make what gives picks the name of their job, and what to note about them."""

    def revise(picks: "Picks", job: "Job") -> "Picks":
        named = replace(picks, tomogram=job.name)
        return replace(named, warnings=(*named.warnings, *project.remarks(named)))

    return revise


def combine(
    project: RelionProject, record: RunLog, forms: Iterable[str], failures: int
) -> tuple[str, int]:
    """Write particles.star of all tomograms of a folder, and the optimisation set.

    Of all that its record says were picked, by this run and earlier ones. What keeps
    them from being written is said; what was there before is there still.

    Returns
    -------
    str, int
        What was written, in words, and the failures of the run, with this one.
    """
    form = next((form for form in FORMS if form in forms), None)
    if project.known is None or form is None:
        return "", failures
    folder = record.path.parent
    words = ""
    try:
        with record.held() as entries:
            every = project.combine(_files(entries, folder, form), folder, form)
    except expected() as error:
        say(f"{folder / PARTICLES} was not written: {words_of(error)}")
        failures += 1
    else:
        if every:
            record.combined = list(COMBINED)
            picks = sum(len(one) for one in every)
            words = (
                f"{folder / PARTICLES}: {picks} picks of {_many(len(every))}, and "
                f"{COMBINED[1]}"
            )
    record.record({}, "failed" if failures else "complete")
    return words, failures


def _files(entries: dict[str, Entry], folder: Path, form: str) -> dict[str, Path]:
    """Name the coordinate files of the tomograms that were picked."""
    files = {
        name: folder / entry["outputs"][form]
        for name, entry in entries.items()
        if entry["status"] == "picked" and form in (entry.get("outputs") or ())
    }
    return {name: path for name, path in files.items() if path.exists()}


def _many(tomograms: int) -> str:
    return f"{tomograms} tomogram{'' if tomograms == 1 else 's'}"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
