"""Pick many tomograms into one folder: what to write, and what to skip."""

import contextlib
import glob
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dep.cli.failure import UsageError
from dep.cli.run_log import Entry
from dep.engine.errors import TomogramError
from dep.engine.formats.format import NAME
from dep.engine.mask import mask_of
from dep.engine.readers.files import is_folder
from dep.engine.readers.names import (
    TOMOGRAM_SUFFIXES,
    Location,
    bare_name,
    is_tomogram_name,
    is_url,
    tomogram_name,
    tomograms_among,
)
from dep.engine.readers.ome_zarr import is_zarr
from dep.engine.readers.state import state_of

log = logging.getLogger(__name__)

RUN_AGAIN = ("failed", "interrupted", "waiting")
SERIES_SUFFIX = ".st"
SHOWN = 3  # files named in a message before "and so many more"
# Where copick keeps tomograms, from a project's folder or one inside it.
COPICK = ("ExperimentRuns/*/", "*/", "")
SPACED = "VoxelSpacing*/*.zarr"


@dataclass(frozen=True)
class Job:
    """One tomogram and the files to write for it, by format; `picture` is one.

    Attributes
    ----------
    tomogram, name, outputs
        What to pick, what it is called, and format -> path.
    mask : Path, optional
        Of the tomogram, or a folder of masks.
    """

    tomogram: Location
    name: str
    outputs: dict[str, Path]
    mask: Path | None = None

    def states(self) -> dict[str, Any]:
        """Tell the state of what is read, by its key in the record."""
        states = {"source": state_of(self.tomogram)}
        if self.mask is not None:
            mask: Location = self.mask
            with contextlib.suppress(TomogramError):  # said when it is picked
                # Masks are called as files are, whatever RELION calls the tomogram.
                mask = mask_of(mask, tomogram_name(self.tomogram))
            states["mask"] = state_of(mask)
        return states


def find_tomograms(words: Iterable[Location]) -> list[Location]:
    """Turn arguments into tomograms: files, folders of them, unexpanded globs.

    The folder of an OME-Zarr image is a tomogram, and addresses are kept as they are.

    A path that does not exist is kept, so that it is reported like any tomogram that
    cannot be opened; so is a folder that is called like a tomogram and holds none. The
    same file named twice counts once.

    Raises
    ------
    UsageError
        A folder without tomograms, or a glob that matches nothing.
    """
    found: dict[str, Location] = {}
    for word in words:
        if is_url(word):
            found.setdefault(str(word), word)
            continue
        for path in _expand(Path(word)):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _expand(word: Path) -> list[Path]:
    if is_folder(word) and not is_zarr(word):
        alike = is_tomogram_name(word.name)
        try:
            inside = tomograms_among(sorted(word.iterdir()))
        except OSError as error:
            if alike:
                return [word]
            message = f"{word}: this folder cannot be read ({error.strerror or error})"
            raise UsageError(message) from error
        if not inside and alike:
            return [word]
        if not inside:
            endings = " ".join(TOMOGRAM_SUFFIXES)
            message = f"{word}: no tomograms ({endings}) in this folder{_deeper(word)}"
            raise UsageError(message)
        return _without_tilt_series(inside)
    if glob.has_magic(str(word)) and not os.path.lexists(word):
        matches = sorted(Path(match) for match in glob.glob(str(word)))  # noqa: PTH207 - absolute and relative patterns alike
        if not matches:
            message = f"{word}: no file matches this pattern"
            raise UsageError(message)
        return matches
    return [word]


def _deeper(folder: Path) -> str:
    """Say where the tomograms of a copick project lie, if the folder is of one."""
    for above in COPICK:
        for image in folder.glob(above + SPACED):
            inner = Path(above, *image.parts[-2:])
            return f". Those of its copick runs are picked with {folder / inner}"
    return ""


def _without_tilt_series(paths: list[Path]) -> list[Path]:
    """Leave out NAME.st where NAME.rec or the like lies beside it, and say so.

    IMOD gives a tilt series the ending .st, and its tomogram the same name.
    """
    series = [path for path in paths if bare_name(path.name).endswith(SERIES_SUFFIX)]
    tomograms = [path for path in paths if path not in series]
    names = {tomogram_name(path) for path in tomograms}
    skipped = [path for path in series if tomogram_name(path) in names]
    if skipped:
        log.warning(
            "%s skipped: tilt series of the tomograms of the same name beside them; "
            "name one on the command line to pick it",
            _some(skipped),
        )
    return [path for path in paths if path not in skipped]


def _some(paths: list[Path]) -> str:
    more = len(paths) - SHOWN
    names = ", ".join(str(path) for path in paths[:SHOWN])
    return f"{names} and {more} more" if more > 0 else names


def plan(
    tomograms: Iterable[Location],
    folder: Path,
    patterns: dict[str, str],
    mask: Path | None = None,
    called: Callable[[str], str] = str,
) -> list[Job]:
    """Name every output after its tomogram.

    Parameters
    ----------
    tomograms
        Files, folders of OME-Zarr images, and addresses.
    folder
        Where the outputs go.
    patterns
        Format -> path of its output in the folder, "{name}" for the tomogram's name.
    mask
        Of all of them, or a folder of masks.
    called
        The name of a tomogram by that of its file.

    Raises
    ------
    UsageError
        Two tomograms, or two formats, would write the same file.
    """
    taken: dict[str, Location] = {}
    forms: dict[str, str] = {}
    for form, pattern in patterns.items():
        if pattern in forms:
            message = (
                f"--format {forms[pattern]} and {form} both write "
                f"{pattern.replace(NAME, '*')}: take one of them"
            )
            raise UsageError(message)
        forms[pattern] = form
    jobs = []
    for tomogram in tomograms:
        name = called(tomogram_name(tomogram))
        if Path(name).name != name or not name:
            message = (
                f"{tomogram}: its outputs cannot be called {name!r}: expected the name "
                "of a file"
            )
            raise UsageError(message)
        if name in taken:
            message = (
                f"{taken[name]} and {tomogram} would both write {folder / name}.*: "
                "pick them into different folders (-o)"
            )
            raise UsageError(message)
        taken[name] = tomogram
        outputs = {
            form: folder / pattern.replace(NAME, name)
            for form, pattern in patterns.items()
        }
        jobs.append(Job(tomogram, name, outputs, mask))
    return jobs


def remaining(
    jobs: list[Job],
    entries: dict[str, Entry],
    identity: dict[str, Any],
    *,
    overwrite: bool,
    resume: bool,
) -> list[Job]:
    """Choose what is left to pick, and refuse to replace files unasked.

    Parameters
    ----------
    jobs
        All that was asked for.
    entries
        What earlier runs recorded, by output name.
    identity
        The model and settings of this run; a tomogram counts as picked only where the
        record holds the same, and neither its file nor its mask has changed since.
    overwrite, resume
        As on the command line.

    Raises
    ------
    UsageError
        Outputs exist, and neither option allows for it.
    """
    if overwrite:
        return jobs
    todo, in_the_way = [], []
    for job in jobs:
        entry = entries.get(job.name, {})
        existing = [path for path in job.outputs.values() if path.exists()]
        if resume and _is_picked(job, entry, identity):
            continue
        # What a stopped or failed run left of a tomogram is of no worth.
        if existing and not (resume and entry.get("status") in RUN_AGAIN):
            in_the_way += existing
        todo.append(job)
    if in_the_way:
        names = _some(in_the_way)
        advice = (
            "they were not picked from the same tomogram and mask (files that have not "
            "changed since) with the same model, settings and formats: "
            "replace them with --overwrite, or take another folder with -o"
            if resume
            else "replace with --overwrite, go on where a run stopped with --resume, "
            "or take another folder with -o"
        )
        exist = "exists" if len(in_the_way) == 1 else "exist"
        message = f"{names} {exist} already; {advice}"
        raise UsageError(message)
    return todo


def _is_picked(job: Job, entry: Entry, identity: dict[str, Any]) -> bool:
    return (
        entry.get("status") == "picked"
        and all(entry.get(key) == value for key, value in identity.items())
        and all(entry.get(key) == value for key, value in job.states().items())
        and all(path.exists() for path in job.outputs.values())
    )
