"""RELION 5 particles: ``rlnCenteredCoordinateX/Y/ZAngst``, an optics block, one score.

RELION 5 counts from the centre of the tomogram in ångström (REFERENCE section 7):

    centred = (voxel - size / 2) * pixel size

with voxel, size and pixel size all of the same sampling. RELION states it for the
unbinned tomogram; with voxel' = voxel * binning and size' = size * binning it is the
same number, so the picked tomogram's own size and voxel size are used. `size / 2` is
not rounded: for an even size, voxel ``size / 2`` is 0 ångström. A tomogram whose
unbinned size is not a multiple of its binning is off by less than half a voxel.

``rlnTomoName`` is the tomogram's name, ``rlnClassNumber`` counts from 1 and the score
is ``rlnAutopickFigureOfMerit``. The optics block knows what a picker can know: the
group and ``rlnImagePixelSize``, the voxel size of the picked tomogram in ångström.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.formats import star_reader, star_text
from dep.engine.formats.comment import frame_comments
from dep.engine.formats.format import Conventions, Files, Format

if TYPE_CHECKING:
    from dep.engine.picks import Picks

VERSION = "# version 50001"  # what RELION 5.0 writes above each block


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:
    """Write the blocks ``data_optics`` and ``data_particles``, best first.

    Raises
    ------
    PicksError
        The tomogram's shape or voxel size is unknown.
    """
    sizes: dict[float, int] = {}
    rows: list[str] = []
    for one in picks:
        frame = how.frame_of(one)
        centre = frame.need_centre(one.tomogram, "RELION 5", how.centre)
        voxel_size = frame.need_voxel_size(one.tomogram, "RELION 5")
        group = sizes.setdefault(voxel_size, len(sizes) + 1)
        centred = (one.xyz.astype(np.float64) - centre) * voxel_size
        name = star_text.quote(one.tomogram)
        rows += [
            f"{name} {x:.3f} {y:.3f} {z:.3f} {label} {group} {score:.4f}"
            for (x, y, z), label, score in zip(
                centred.tolist(),
                one.class_id.tolist(),
                one.score.tolist(),
                strict=True,
            )
        ]
    optics = star_text.loop(
        "optics",
        ("rlnOpticsGroup", "rlnOpticsGroupName", "rlnImagePixelSize"),
        [f"{group} opticsGroup{group} {size:.6f}" for size, group in sizes.items()],
    )
    particles = star_text.loop(
        "particles",
        (
            star_text.TOMOGRAM,
            *star_text.CENTRED,
            star_text.CLASS,
            "rlnOpticsGroup",
            star_text.SCORE,
        ),
        rows,
    )
    text = f"{frame_comments(picks)}\n{VERSION}\n\n{optics}{VERSION}\n\n{particles}"
    return {path: text}


FORMAT = Format(
    title="RELION 5 particles",
    pattern="{name}.star",
    holds=star_text.HOLDS,
    write=write,
    read=star_reader.read,
    recognise=star_reader.recognise(star_text.CENTRED[0]),
)
