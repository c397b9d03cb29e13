"""The words of STAR files: tags in common, quoting, and writing a loop."""

import re
from collections.abc import Iterable, Sequence

from dep.engine.errors import PicksError
from dep.engine.formats.format import Holds

TOMOGRAM, CLASS, SCORE = "rlnTomoName", "rlnClassNumber", "rlnAutopickFigureOfMerit"
VOXELS = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
CENTRED = (
    "rlnCenteredCoordinateXAngst",
    "rlnCenteredCoordinateYAngst",
    "rlnCenteredCoordinateZAngst",
)
# Class names are kept in our comment line, and in no column.
HOLDS = Holds.SCORE | Holds.CLASS | Holds.CLASS_NAME | Holds.TOMOGRAM | Holds.SEVERAL
# A word that no STAR reader takes for a number, a comment or a keyword.
_WORD = re.compile(r"(?!(data|save)_|(loop|stop|global)_$)[A-Za-z][\w.+\-/:]*", re.I)


def loop(block: str, tags: Sequence[str], rows: Iterable[str]) -> str:
    """Write one block with one loop of rows, tags numbered as RELION does.

    A loop without rows is not valid STAR for every reader, yet RELION writes and reads
    it so; ours does as well.
    """
    head = f"data_{block}\n\nloop_\n" + "".join(
        f"_{tag} #{column}\n" for column, tag in enumerate(tags, start=1)
    )
    return head + "".join(f"{row}\n" for row in rows) + "\n"


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
