"""Read STAR files of particles, in voxels, unbinned pixels or centred ångström.

The conventions are told apart by their columns. Where a file has refined offsets
(``rlnOriginX/Y/ZAngst``), they are taken away from the coordinates, as RELION does
(``ParticleSet::getPosition``): the particle is where the offset says, not where it was
picked.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import MissingFactError, PicksError
from dep.engine.formats import star_text
from dep.engine.formats.comment import comment_frames
from dep.engine.formats.fields import number
from dep.engine.formats.frame import Counting, Frame
from dep.engine.formats.star_file import Loop, StarFile, read_star
from dep.engine.formats.table import Table

TOMOGRAM_ALIASES = (star_text.TOMOGRAM, star_text.MICROGRAPH)
CENTRED = Counting(angstrom=True, centred=True)


def recognise(*tags: str, lacking: tuple[str, ...] = ()) -> Callable[[bytes], bool]:
    """Make a test of a file's head: that it has some columns and lacks others."""
    wanted, unwanted = (
        [re.compile(rb"^\s*_" + tag.encode() + rb"\b", re.M) for tag in some]
        for some in (tags, lacking)
    )
    return lambda head: (
        all(column.search(head) for column in wanted)
        and not any(column.search(head) for column in unwanted)
    )


def any_of(other: Callable[[bytes], bool], tag: str) -> Callable[[bytes], bool]:
    """Make a test of a file's head that passes where `other` does, or has a column."""
    column = recognise(tag)
    return lambda head: other(head) or column(head)


def read(path: Path, frame: Frame) -> Table:
    """Read particles of any convention; centred ones stay as the file has them.

    Raises
    ------
    PicksError
        Not STAR, no coordinates, or a field that is no number.
    """
    return read_particles(read_star(path), frame)


def read_particles(file: StarFile, frame: Frame) -> Table:
    """Read particles from a file that was parsed; see `read`."""
    frames = comment_frames(file.text)
    own = next(iter(frames.values()), Frame())  # all have the same class table
    if len(frames) > 1:
        frames = {name: _overruled(one, frame) for name, one in frames.items()}
        own = Frame(classes=own.classes)
    # Numbers count in the file's own class table, whatever the reader's is.
    frame = replace(_overruled(own, frame), classes=own.classes or frame.classes)
    for tags in (star_text.CENTRED, star_text.VOXELS):
        loop = file.loop_of(tags[0])
        if loop is None:
            continue
        counting = CENTRED
        if tags is star_text.VOXELS:
            counting = Counting(pixel_size=unbinned_pixel_size(file))
        table = _table(file, loop, tags, frame, counting)
        only = next(iter(frames)) if len(frames) == 1 and not len(loop) else ""
        return replace(table, frames=frames if len(frames) > 1 else {}, name=only)
    message = (
        f"{file.path}: no coordinates; expected columns "
        f"{', '.join(star_text.VOXELS)} or {', '.join(star_text.CENTRED)}"
    )
    raise PicksError(message)


def _overruled(own: Frame, said: Frame) -> Frame:
    """Let what the user says go before what a file says of its tomogram."""
    frame = said.or_else(own)
    if said.shape in (None, own.shape):
        return frame
    return replace(frame, origin=None)  # it is that of another size


def _table(
    file: StarFile,
    loop: Loop,
    tags: tuple[str, str, str],
    frame: Frame,
    counting: Counting,
) -> Table:
    many = len(loop)
    if not many:
        nothing = np.zeros((0, 3))
        return Table(
            nothing, [], np.zeros(0), [], frame, numbered=True, counting=counting
        )
    xyz = np.stack([file.numbers(loop, tag) for tag in tags], axis=1)
    xyz -= _offsets(file, loop, frame, counting)
    names = [""] * many
    for tag in TOMOGRAM_ALIASES:
        found = file.texts(loop, tag)
        if found:
            names = _without_ending(found)
            break
    numbers = file.wholes(loop, star_text.CLASS)
    scores = (
        file.numbers(loop, star_text.SCORE)
        if file.has(loop, star_text.SCORE)
        else np.ones(many)
    )
    shown = {one: str(one) for one in set(numbers)}
    labels = [shown[one] for one in numbers] or ["1"] * many
    return Table(xyz, labels, scores, names, frame, numbered=True, counting=counting)


def _offsets(
    file: StarFile, loop: Loop, frame: Frame, counting: Counting
) -> NDArray[np.float64]:
    """Give refined offsets (n, 3) in the unit of the coordinates; 0 where none are.

    Raises
    ------
    PicksError
        Offsets in ångström of coordinates in pixels of unknown size, or in a rotated
        frame of subtomograms, which this reader does not turn.
    """
    in_angstrom = all(file.has(loop, tag) for tag in star_text.ORIGINS)
    if in_angstrom:
        offsets = np.stack(
            [file.numbers(loop, tag) for tag in star_text.ORIGINS], axis=1
        )
    elif all(file.has(loop, tag) for tag in star_text.PIXEL_ORIGINS):
        offsets = np.stack(
            [file.numbers(loop, tag) for tag in star_text.PIXEL_ORIGINS], axis=1
        )
    else:
        return np.zeros((len(loop), 3))
    if not offsets.any():
        return offsets
    turned = [tag for tag in star_text.SUBTOMOGRAM_ANGLES if file.has(loop, tag)]
    if any(file.numbers(loop, tag).any() for tag in turned):
        message = (
            f"{file.path}: has offsets ({star_text.ORIGINS[0]}) in the frame of turned "
            f"subtomograms ({turned[0]}), which are not understood; let RELION remove "
            "the offsets first (relion_tomo_subtomo, or set them to 0)"
        )
        raise PicksError(message)
    if not in_angstrom or counting.angstrom:
        return offsets
    size = counting.pixel_size or frame.pixel_size or frame.voxel_size
    if not size:
        message = (
            f"{file.path}: has offsets in ångström ({star_text.ORIGINS[0]}), but the "
            "size of the pixels that it counts in is unknown; give the voxel size "
            "(voxel_size=... in Python, --voxel-size on the command line)"
        )
        raise MissingFactError(message)
    return offsets / size


def _without_ending(names: list[str]) -> list[str]:
    if not any(name.endswith(star_text.TILT_SERIES) for name in set(names)):
        return names
    return [name.removesuffix(star_text.TILT_SERIES) for name in names]


def unbinned_pixel_size(file: StarFile) -> float | None:
    """Find the unbinned pixel size, Å; None where there is none.

    Raises
    ------
    PicksError
        There are several.
    """
    tag = star_text.UNBINNED
    sizes = {
        number(file.path, tag, value)
        for loop in file.loops
        if tag in loop.tags
        for value in loop.column(tag)
    }
    if tag in file.pairs:
        sizes.add(number(file.path, tag, file.pairs[tag]))
    sizes = {size for size in sizes if size > 0}
    if len(sizes) > 1:
        said = ", ".join(f"{size:g}" for size in sorted(sizes))
        message = (
            f"{file.path}: has optics groups of different {tag} ({said} Å); split the "
            "file by optics group first (relion_star_handler --split)"
        )
        raise PicksError(message)
    return sizes.pop() if sizes else None
