"""Pick many tomograms into one folder: what to write, and what to skip."""

import glob
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dep.cli.failure import UsageError
from dep.cli.run_log import Entry
from dep.engine.volume import COMPRESSED_SUFFIXES, TOMOGRAM_SUFFIXES, tomogram_name

log = logging.getLogger(__name__)

RUN_AGAIN = ("failed", "interrupted", "waiting")
SERIES_SUFFIX = ".st"
SHOWN = 3  # files named in a message before "and so many more"


@dataclass(frozen=True)
class Job:
    """One tomogram and the files to write for it, by format; `picture` is one."""

    tomogram: Path
    name: str
    outputs: dict[str, Path]


def find_tomograms(words: Iterable[Path]) -> list[Path]:
    """Turn arguments into tomogram files: files, folders of them, unexpanded globs.

    A path that does not exist is kept, so that it is reported like any tomogram that
    cannot be opened. The same file named twice counts once.

    Raises
    ------
    UsageError
        A folder without tomograms, or a glob that matches nothing.
    """
    found: dict[str, Path] = {}
    for word in words:
        for path in _expand(word):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _expand(word: Path) -> list[Path]:
    # Not Path.is_dir and the like: they raise where a folder may not be searched.
    if os.path.isdir(word):  # noqa: PTH112
        try:
            inside = sorted(path for path in word.iterdir() if _is_tomogram(path))
        except OSError as error:
            message = f"{word}: this folder cannot be read ({error.strerror or error})"
            raise UsageError(message) from error
        if not inside:
            endings = " ".join(TOMOGRAM_SUFFIXES)
            message = f"{word}: no tomograms ({endings}) in this folder"
            raise UsageError(message)
        return _without_tilt_series(inside)
    if glob.has_magic(str(word)) and not os.path.lexists(word):
        matches = sorted(Path(match) for match in glob.glob(str(word)))  # noqa: PTH207 - absolute and relative patterns alike
        if not matches:
            message = f"{word}: no file matches this pattern"
            raise UsageError(message)
        return matches
    return [word]


def _without_tilt_series(paths: list[Path]) -> list[Path]:
    """Leave out NAME.st where NAME.rec or the like lies beside it, and say so.

    IMOD gives a tilt series the ending .st, and its tomogram the same name.
    """
    series = [path for path in paths if _bare_name(path).endswith(SERIES_SUFFIX)]
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


def _is_tomogram(path: Path) -> bool:
    name = _bare_name(path)
    return (
        os.path.isfile(path)  # noqa: PTH113 - as in _expand
        and not name.startswith(".")
        and name.endswith(TOMOGRAM_SUFFIXES)
    )


def _bare_name(path: Path) -> str:
    name = path.name.lower()
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def plan(
    tomograms: Iterable[Path], folder: Path, suffixes: dict[str, str]
) -> list[Job]:
    """Name every output after its tomogram.

    Parameters
    ----------
    tomograms
        The files.
    folder
        Where the outputs go.
    suffixes
        Format -> ending of its file, the dot included.

    Raises
    ------
    UsageError
        Two tomograms, or two formats, would write the same file.
    """
    taken: dict[str, Path] = {}
    endings: dict[str, str] = {}
    for form, suffix in suffixes.items():
        if suffix in endings:
            message = (
                f"--format {endings[suffix]} and {form} both write *{suffix}: "
                "take one of them"
            )
            raise UsageError(message)
        endings[suffix] = form
    jobs = []
    for tomogram in tomograms:
        name = tomogram_name(tomogram)
        if name in taken:
            message = (
                f"{taken[name]} and {tomogram} would both write {folder / name}.*: "
                "pick them into different folders (-o)"
            )
            raise UsageError(message)
        taken[name] = tomogram
        outputs = {
            form: folder / f"{name}{suffix}" for form, suffix in suffixes.items()
        }
        jobs.append(Job(tomogram, name, outputs))
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
        record holds the same, and its file has not changed since.
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
            "they were not picked from the same tomogram (the same file, unchanged) "
            "with the same model, settings and formats: "
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
        and entry.get("source") == source_state(job.tomogram)
        and all(path.exists() for path in job.outputs.values())
    )


def source_state(tomogram: Path) -> dict[str, Any]:
    """Tell a file's state, so that a changed one is not taken for the same."""
    try:
        state = tomogram.stat()
    except OSError:
        return {"path": os.path.realpath(tomogram)}
    return {
        "path": os.path.realpath(tomogram),
        "bytes": state.st_size,
        "modified_ns": state.st_mtime_ns,
    }
