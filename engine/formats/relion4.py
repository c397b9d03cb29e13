"""RELION 4 particles: ``rlnCoordinateX/Y/Z`` in unbinned pixels, and optics.

Source: REFERENCE section 7 and RELION 4's ``ParticleSet``: ``rlnTomoName``, coordinates
in pixels of the unbinned tilt series, from the corner of the tomogram:

    coordinate = voxel * binning,  binning = voxel size / rlnTomoTiltSeriesPixelSize

the centre of the first voxel is 0 in both samplings. ``rlnClassNumber`` counts from 1
and the score is ``rlnAutopickFigureOfMerit``. The optics block has group, name and the
unbinned pixel size, in ångström, and voltage, spherical aberration and amplitude
contrast where they are known. An optimisation set is written as for RELION 5.

On reading, the unbinned pixel size is the optics', or else given. Coordinates of a
tomogram whose voxel size is unknown stay in unbinned pixels.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.errors import MissingFactError
from dep.engine.formats import relion_set, star_reader, star_text
from dep.engine.formats.comment import frame_comments
from dep.engine.formats.format import Conventions, Files, Format
from dep.engine.formats.frame import Counting, Frame
from dep.engine.formats.relion_optics import optics_groups
from dep.engine.formats.rows import format_rows
from dep.engine.formats.star_file import StarFile
from dep.engine.formats.table import Table

if TYPE_CHECKING:
    from dep.engine.picks import Picks

VERSION = "# version 30001"  # what RELION 3.1 and 4.0 write above each block


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:
    """Write ``data_optics`` and ``data_particles``, best first in each tomogram.

    Raises
    ------
    MissingFactError
        The voxel size or the unbinned pixel size is unknown.
    """
    optics = optics_groups(picks, how, complete=False)
    if optics is None:
        raise AssertionError  # it is only None where it must be complete
    rows = []
    for one in picks:
        frame = how.frame_of(one)
        pixel_size = frame.need_pixel_size(one.tomogram, "RELION 4")
        binning = frame.need_voxel_size(one.tomogram, "RELION 4") / pixel_size
        if not len(one):
            continue
        group = optics.group_of[one.tomogram]
        rows.append(
            format_rows(
                f"{star_text.in_row(one.tomogram)} %.3f %.3f %.3f %d {group} %.4f\n",
                *(one.xyz.astype(np.float64) * binning).T.tolist(),
                one.class_id.tolist(),
                one.score.tolist(),
            )
        )
    tags = (
        star_text.TOMOGRAM,
        *star_text.VOXELS,
        star_text.CLASS,
        star_text.GROUP,
        star_text.SCORE,
    )
    particles = star_text.loop("particles", tags, "".join(rows))
    text = (
        f"{frame_comments(picks)}\n{VERSION}\n\n{optics.block}{VERSION}\n\n{particles}"
    )
    return {**relion_set.files(path, how, VERSION), path: text}


def _read(file: StarFile, frame: Frame) -> Table:
    """Read particles that count in unbinned pixels."""
    table = star_reader.read_particles(file, frame)
    if not table.counting.plain or table.counting.pixel_size:
        return table
    if frame.pixel_size is None:
        message = (
            f"{file.path}: counts in unbinned pixels, but has no "
            f"{star_text.UNBINNED} that says their size; give it (pixel_size=... in "
            "Python, --pixel-size on the command line)"
        )
        raise MissingFactError(message)
    return replace(table, counting=Counting(pixel_size=frame.pixel_size))


FORMAT = Format(
    title="RELION 4",
    pattern="{name}.star",
    holds=star_text.HOLDS,
    write=write,
    read=relion_set.following(_read),
    recognise=star_reader.recognise(star_text.VOXELS[0], star_text.UNBINNED),
    in_unbinned_pixels=True,
)
