"""Plain STAR: ``rlnCoordinateX/Y/Z`` in tomogram voxels, 0 = centre of the first voxel.

The convention of Warp, M and RELION 3 (REFERENCE section 7; WarpTools'
``ts_export_particles`` multiplies by ``--coords_angpix``, the voxel size), with
``rlnClassNumber`` (from 1) and the score as ``rlnAutopickFigureOfMerit``. First comment
lines keep shape, voxel size and class table, which have no column.

Two ways of naming the tomogram: ``star`` writes ``rlnTomoName``, its name as it is.
``warp`` writes ``rlnMicrographName`` with Warp's own name of the tilt series,
``NAME.tomostar``, the only one by which WarpTools finds it. Both are read, and the
ending is taken away.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dep.engine.formats import star_reader, star_text
from dep.engine.formats.comment import frame_comments
from dep.engine.formats.format import Conventions, Files, Format
from dep.engine.formats.rows import format_rows

if TYPE_CHECKING:
    from dep.engine.picks import Picks


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:  # noqa: ARG001 - voxels need no convention
    """Write one block, ``data_particles``, best first in each tomogram."""
    return {path: _text(picks, star_text.TOMOGRAM, "")}


def write_warp(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:  # noqa: ARG001 - voxels need no convention
    """Write the same by the names of Warp's tilt series."""
    return {path: _text(picks, star_text.MICROGRAPH, star_text.TILT_SERIES)}


def _text(picks: Sequence["Picks"], tag: str, ending: str) -> str:
    rows = [
        format_rows(
            f"{star_text.in_row(one.tomogram + ending)} %.3f %.3f %.3f %d %.4f\n",
            *one.xyz.T.tolist(),
            one.class_id.tolist(),
            one.score.tolist(),
        )
        for one in picks
    ]
    tags = (tag, *star_text.VOXELS, star_text.CLASS, star_text.SCORE)
    loop = star_text.loop("particles", tags, "".join(rows))
    return f"{frame_comments(picks)}\n{loop}"


FORMAT = Format(
    title="RELION 3 and M",
    pattern="{name}.star",
    holds=star_text.HOLDS,
    write=write,
    read=star_reader.read,
    recognise=star_reader.recognise(
        star_text.VOXELS[0], lacking=(star_text.UNBINNED, star_text.MICROGRAPH)
    ),
)
WARP = Format(
    title="Warp",
    pattern="{name}.star",
    holds=star_text.HOLDS,
    write=write_warp,
    read=star_reader.read,
    recognise=star_reader.recognise(
        star_text.VOXELS[0], star_text.MICROGRAPH, lacking=(star_text.UNBINNED,)
    ),
)
