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

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import PicksError
from dep.engine.formats import star_text
from dep.engine.formats.table import LARGEST, Frame, frame_comment

if TYPE_CHECKING:
    from dep.engine.picks import Picks

CENTRED = (
    "rlnCenteredCoordinateXAngst",
    "rlnCenteredCoordinateYAngst",
    "rlnCenteredCoordinateZAngst",
)
VERSION = "# version 50001"  # what RELION 5.0 writes above each block


def write(picks: "Picks", stream: TextIO) -> None:
    """Write the blocks ``data_optics`` and ``data_particles``, best first.

    Raises
    ------
    PicksError
        The tomogram's shape or voxel size is unknown.
    """
    half, voxel_size = _frame(picks.tomogram, Frame(picks.shape, picks.voxel_size))
    stream.write(f"{frame_comment(picks)}\n\n{VERSION}\n\n")
    star_text.write_loop(
        stream,
        "optics",
        ("rlnOpticsGroup", "rlnOpticsGroupName", "rlnImagePixelSize"),
        [("1", "opticsGroup1", f"{voxel_size:.6f}")],
    )
    stream.write(f"{VERSION}\n\n")
    name = star_text.quote(picks.tomogram)
    centred = (picks.xyz.astype(np.float64) - half) * voxel_size
    star_text.write_loop(
        stream,
        "particles",
        (
            star_text.TOMOGRAM,
            *CENTRED,
            star_text.CLASS,
            "rlnOpticsGroup",
            star_text.SCORE,
        ),
        (
            (name, f"{x:.3f}", f"{y:.3f}", f"{z:.3f}", str(label), "1", f"{score:.4f}")
            for (x, y, z), label, score in zip(
                centred.tolist(),
                picks.class_id.tolist(),
                picks.score.tolist(),
                strict=True,
            )
        ),
    )


def to_voxels(
    path: Path, centred: NDArray[np.float64], frame: Frame
) -> NDArray[np.float64]:
    """Turn centred ångström (n, 3) into voxels of the tomogram.

    Raises
    ------
    PicksError
        The tomogram's shape or voxel size is unknown, or the voxel size is so small
        that coordinates are lost.
    """
    half, voxel_size = _frame(str(path), frame)
    with np.errstate(over="ignore"):
        voxels: NDArray[np.float64] = centred / voxel_size + half
    if len(voxels) and not np.abs(voxels).max() <= LARGEST:
        message = f"{path}: coordinates in voxels of {voxel_size:g} Å are not finite"
        raise PicksError(message)
    return voxels


def _frame(name: str, frame: Frame) -> tuple[NDArray[np.float64], float]:
    """Give half the size (x, y, z) in voxels, and the voxel size in ångström."""
    if frame.shape is None or frame.voxel_size is None:
        message = (
            f"{name}: RELION 5 counts coordinates from the tomogram's centre, but its "
            "shape or voxel size is unknown; give both (shape=..., voxel_size=... in "
            "Python, --shape X,Y,Z and --voxel-size with dep evaluate)"
        )
        raise PicksError(message)
    return np.array(frame.shape[::-1], np.float64) / 2, frame.voxel_size
