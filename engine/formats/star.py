"""Plain STAR: ``rlnCoordinateX/Y/Z`` in tomogram voxels, 0 = centre of the first voxel.

The convention of Warp, M and RELION 3 (REFERENCE section 7), with ``rlnTomoName``,
``rlnClassNumber`` (from 1) and the score as ``rlnAutopickFigureOfMerit``. A first
comment line keeps shape, voxel size and class table, which have no column.
"""

from typing import TYPE_CHECKING, TextIO

from dep.engine.formats import star_text
from dep.engine.formats.table import frame_comment

if TYPE_CHECKING:
    from dep.engine.picks import Picks

VOXELS = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")


def write(picks: "Picks", stream: TextIO) -> None:
    """Write one block, ``data_particles``, best first."""
    stream.write(frame_comment(picks) + "\n\n")
    name = star_text.quote(picks.tomogram)
    star_text.write_loop(
        stream,
        "particles",
        (star_text.TOMOGRAM, *VOXELS, star_text.CLASS, star_text.SCORE),
        (
            (name, f"{x:.3f}", f"{y:.3f}", f"{z:.3f}", str(class_id), f"{score:.4f}")
            for (x, y, z), class_id, score in zip(
                picks.xyz.tolist(),
                picks.class_id.tolist(),
                picks.score.tolist(),
                strict=True,
            )
        ),
    )
