"""The words of STAR files: tags in common, quoting, and writing a loop."""

import re
from collections.abc import Sequence

from dep.engine.errors import PicksError
from dep.engine.formats.format import Holds

TOMOGRAM, CLASS, SCORE = "rlnTomoName", "rlnClassNumber", "rlnAutopickFigureOfMerit"
MICROGRAPH = "rlnMicrographName"
TILT_SERIES = ".tomostar"  # what Warp adds to a tomogram's name
VOXELS = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
CENTRED = (
    "rlnCenteredCoordinateXAngst",
    "rlnCenteredCoordinateYAngst",
    "rlnCenteredCoordinateZAngst",
)
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
PIXEL_ORIGINS = ("rlnOriginX", "rlnOriginY", "rlnOriginZ")  # RELION 3.0 and earlier
SUBTOMOGRAM_ANGLES = (
    "rlnTomoSubtomogramRot",
    "rlnTomoSubtomogramTilt",
    "rlnTomoSubtomogramPsi",
)
GROUP = "rlnOpticsGroup"
OPTICS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
# Å; RELION 4 and 5 write it among the optics.
UNBINNED = "rlnTomoTiltSeriesPixelSize"
# Class names are kept in our comment line, and in no column.
HOLDS = Holds.SCORE | Holds.CLASS | Holds.CLASS_NAME | Holds.TOMOGRAM | Holds.SEVERAL
# A word that no STAR reader takes for a number, a comment or a keyword.
_WORD = re.compile(r"(?!(data|save)_|(loop|stop|global)_$)[A-Za-z][\w.+\-/:]*", re.I)


def loop(block: str, tags: Sequence[str], rows: str) -> str:
    """Write one block with one loop of rows, tags numbered as RELION does.

    A loop without rows is not valid STAR for every reader, yet RELION writes and reads
    it so; ours does as well.
    """
    head = f"data_{block}\n\nloop_\n" + "".join(
        f"_{tag} #{column}\n" for column, tag in enumerate(tags, start=1)
    )
    return f"{head}{rows}\n"


def quote(text: str) -> str:
    """Quote a string unless it is a plain word: ``001`` must stay text.

    Raises
    ------
    PicksError
        Both kinds of quotes, or a line break: STAR has no place for it in a loop.
    """
    if _WORD.fullmatch(text):
        return text
    for mark in "\"'":
        if mark not in text and text.isprintable():
            return f"{mark}{text}{mark}"
    message = f"the name {text!r} cannot be written to a STAR file; rename the tomogram"
    raise PicksError(message)


def in_row(text: str) -> str:
    """Quote a string for the %-template of a row; raise as `quote`."""
    return quote(text).replace("%", "%%")
