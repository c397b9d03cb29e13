"""optimisation_set.star of RELION 4 and 5: which particles lie in which tomograms.

Source: RELION's ``OptimisationSet``: one block with ``rlnTomoParticlesFile`` and
``rlnTomoTomogramsFile``, paths from the project's folder. On reading, paths are looked
for from the folder that the command runs in, then from the set's own folder and those
above it. The tomograms give each tomogram's unbinned size and pixel size.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from dep.engine.errors import PicksError
from dep.engine.formats import star_text
from dep.engine.formats.format import Conventions, Files
from dep.engine.formats.frame import Frame
from dep.engine.formats.star_file import StarFile, read_star
from dep.engine.formats.table import Table
from dep.engine.formats.tomograms_star import read_tomograms

PARTICLES, TOMOGRAMS = "rlnTomoParticlesFile", "rlnTomoTomogramsFile"
NAME = "optimisation_set.star"
# What is called so in a folder that `dep pick` wrote into repeats other files of it,
# if its record says so.
COMBINED = ("particles.star", NAME)
RECORD, RECORDED = "run.json", "combined"


def files(path: Path, how: Conventions, version: str) -> Files:
    """Give the optimisation set of a particles file, where tomograms are named.

    Raises
    ------
    PicksError
        The particles have the set's own name.
    """
    if how.tomograms_star is None:
        return {}
    if path.name == NAME:
        message = (
            f"{path}: is the name of the optimisation set, which is written beside the "
            "particles; name the particles otherwise, such as particles.star"
        )
        raise PicksError(message)
    text = (
        f"{version}\n\ndata_optimisation_set\n\n"
        f"_{PARTICLES}   {star_text.quote(str(path))}\n"
        f"_{TOMOGRAMS}   {star_text.quote(str(how.tomograms_star))}\n\n"
    )
    return {path.with_name(NAME): text}


def is_set(head: bytes) -> bool:
    """Tell an optimisation set from a file's head."""
    return f"_{PARTICLES}".encode() in head


def following(
    read_particles: Callable[[StarFile, Frame], Table],
) -> Callable[[Path, Frame], Table]:
    """Make a reader of particles files that also takes optimisation sets."""

    def read(path: Path, frame: Frame) -> Table:
        file = read_star(path)
        particles = _value(file, PARTICLES)
        if particles is None:
            return read_particles(file, frame)
        tomograms = _value(file, TOMOGRAMS)
        found = read_particles(read_star(_find(path, particles)), frame)
        if tomograms is None:
            return found
        known = read_tomograms(_find(path, tomograms)).frames
        frames = {
            name: found.frame_of(name).or_else(known.get(name, Frame()))
            for name in {**known, **found.frames}
        }
        return replace(found, frames=frames)

    return read


def repeating(files: Sequence[Path]) -> set[Path]:
    """Name those STAR files of one folder whose picks other files of it hold too.

    What `dep pick` combined, as its record says; and particles that an optimisation set
    names, which is read instead.
    """
    if not files:
        return set()
    combined = combined_in(files[0].parent)
    found = {file for file in files if file.name in combined}
    for path in files:
        if not path.name.endswith(NAME) or path in found:
            continue
        # Of a set that is damaged, or whose particles are gone, reading says so.
        with contextlib.suppress(PicksError, OSError, UnicodeDecodeError):
            named = _value(read_star(path), PARTICLES)
            particles = _find(path, named) if named else path
            found |= {file for file in files if particles.samefile(file)} - {path}
    return found


def combined_in(folder: Path) -> list[str]:
    """Name what the record of a folder says that `dep pick` combined of its files."""
    try:
        document = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return [name for name in document[RECORDED] if name in COMBINED]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


def _value(file: StarFile, tag: str) -> str | None:
    if tag in file.pairs:
        return file.pairs[tag]
    loop = file.loop_of(tag)
    words = file.texts(loop, tag) if loop else []
    return words[0] if words else None


def _find(path: Path, named: str) -> Path:
    """Find a file that a set names."""
    places = [Path(), *path.absolute().parents]
    for place in places:
        if (place / named).is_file():
            return place / named
    message = (
        f"{path}: names {named}, which is not there; run the command in the folder of "
        "the RELION project"
    )
    raise PicksError(message)
