"""Plain STAR: ``rlnCoordinateX/Y/Z`` in tomogram voxels, 0 = centre of the first voxel.

The convention of Warp, M and RELION 3 (REFERENCE section 7), with ``rlnTomoName``,
``rlnClassNumber`` (from 1) and the score as ``rlnAutopickFigureOfMerit``. First comment
lines keep shape, voxel size and class table, which have no column.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dep.engine.formats import star_reader, star_text
from dep.engine.formats.comment import frame_comments
from dep.engine.formats.format import Conventions, Files, Format

if TYPE_CHECKING:
    from dep.engine.picks import Picks


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:  # noqa: ARG001 - voxels need no convention
    """Write one block, ``data_particles``, best first in each tomogram."""
    rows: list[str] = []
    for one in picks:
        name = star_text.quote(one.tomogram)
        rows += [
            f"{name} {x:.3f} {y:.3f} {z:.3f} {class_id} {score:.4f}"
            for (x, y, z), class_id, score in zip(
                one.xyz.tolist(),
                one.class_id.tolist(),
                one.score.tolist(),
                strict=True,
            )
        ]
    tags = (
        star_text.TOMOGRAM,
        *star_text.VOXELS,
        star_text.CLASS,
        star_text.SCORE,
    )
    return {
        path: frame_comments(picks) + "\n" + star_text.loop("particles", tags, rows)
    }


FORMAT = Format(
    title="Warp, M and RELION 3",
    pattern="{name}.star",
    holds=star_text.HOLDS,
    write=write,
    read=star_reader.read,
    recognise=star_reader.recognise(star_text.VOXELS[0]),
)
