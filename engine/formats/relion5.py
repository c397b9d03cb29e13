"""RELION 5 particles: ``rlnCenteredCoordinateX/Y/ZAngst``, optics, optimisation set.

RELION 5 counts from the centre of the tomogram in ångström (REFERENCE section 7;
RELION's ``ParticleSet::getParticleCoordDecenteredPixel``):

    centred = (voxel - size / 2) * pixel size

with voxel, size and pixel size all of the same sampling. RELION states it for the
unbinned tomogram; with voxel' = voxel * binning and size' = size * binning it is the
same number, so the picked tomogram's own size and voxel size are used. A tomogram whose
unbinned size is not a multiple of its binning would be off by half a voxel at most;
where the unbinned size is known (tomograms.star), the centre is taken from it.
``size / 2`` is not rounded: of an even size, voxel ``size / 2`` is 0 ångström. RELION's
projections round it down (``Tomogram::setProjectionMatrix``), so for odd sizes others
may want ``centre="floor"``; ``"middle"`` is (size - 1) / 2.

``rlnTomoName`` is the tomogram's name, ``rlnClassNumber`` counts from 1 and the score
is ``rlnAutopickFigureOfMerit``.

The optics block has what RELION's own has before extraction: group, name, voltage,
spherical aberration, amplitude contrast and ``rlnTomoTiltSeriesPixelSize``; and the
voxel size as ``rlnImagePixelSize``, which RELION 3.1's tools ask for. It is written
where all of that is known (from tomograms.star, or given), and left out otherwise:
RELION 5 then makes its own from tomograms.star (``ParticleSet::read``), but stops at
one that lacks something.

Our first comment lines keep the centre in voxels too, so that our files are read back
right whatever is known of the tomogram by then.

Where tomograms.star is named, ``optimisation_set.star`` is written beside the
particles: ``rlnTomoParticlesFile`` and ``rlnTomoTomogramsFile``, as paths from the
folder that the command runs in, which for RELION is that of the project.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dep.engine.formats import relion_set, star_reader, star_text
from dep.engine.formats.comment import frame_comments
from dep.engine.formats.format import Conventions, Files, Format
from dep.engine.formats.relion_optics import optics_groups
from dep.engine.formats.rows import format_rows

if TYPE_CHECKING:
    from dep.engine.picks import Picks

VERSION = "# version 50001"  # what RELION 5.0 writes above each block


def write(picks: Sequence["Picks"], path: Path, how: Conventions) -> Files:
    """Write ``data_optics`` where it is known, and ``data_particles``, best first.

    Raises
    ------
    MissingFactError
        The tomogram's shape or voxel size is unknown.
    """
    optics = optics_groups(picks, how, complete=True)
    centres = {}
    rows = []
    for one in picks:
        frame = how.frame_of(one)
        centre, voxel_size = frame.need_centre(one.tomogram, "RELION 5", how.centre)
        centres[one.tomogram] = centre.tolist()
        centred = (one.xyz.astype(np.float64) - centre) * voxel_size
        if not len(one):
            continue
        group = f"{optics.group_of[one.tomogram]} " if optics else ""
        rows.append(
            format_rows(
                f"{star_text.in_row(one.tomogram)} %.3f %.3f %.3f %d {group}%.4f\n",
                *centred.T.tolist(),
                one.class_id.tolist(),
                one.score.tolist(),
            )
        )
    tags = (
        star_text.TOMOGRAM,
        *star_text.CENTRED,
        star_text.CLASS,
        *((star_text.GROUP,) if optics else ()),
        star_text.SCORE,
    )
    blocks = [optics.block] if optics else []
    blocks.append(star_text.loop("particles", tags, "".join(rows)))
    text = f"{frame_comments(picks, centres=centres)}\n" + "".join(
        f"{VERSION}\n\n{block}" for block in blocks
    )
    return {**relion_set.files(path, how, VERSION), path: text}


FORMAT = Format(
    title="RELION 5",
    pattern="{name}.star",
    holds=star_text.HOLDS,
    write=write,
    read=relion_set.following(star_reader.read_particles),
    recognise=star_reader.any_of(relion_set.is_set, star_text.CENTRED[0]),
)
