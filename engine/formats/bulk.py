"""Rows of a long table of plain words: numbers read in bulk, words when asked for.

NumPy's reader takes a third of the time of a string and a `float` for each field, and
of the memory. Whatever it does not take is left to those who read field by field and
say which one is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.formats.fields import LARGEST

SHORT = 32  # letters of words that are kept beside the lines, four bytes each
SPARE = 4  # letters that a word may have more than the first one of its column


@dataclass(frozen=True, slots=True, eq=False)
class BulkRows:
    """Rows of the same number of fields, one a line.

    Attributes
    ----------
    lines : list of str
        As they stand in the file.
    separator : str or None
        Between fields; None: blanks.
    numeric : mapping of int to (n,) float64
        The columns of numbers, all of them finite and small enough for float32.
    short : mapping of int to (n,) str
        Columns of short words.
    """

    lines: list[str]
    separator: str | None
    numeric: dict[int, NDArray[np.float64]]
    short: dict[int, NDArray[np.str_]]

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, number: int) -> list[str]:
        """Give the words of a column."""
        if number in self.short:
            words = self.short[number]
            if (words == words[0]).all():
                return [str(words[0])] * len(words)  # one string, not a million
            found: list[str] = words.tolist()
            return found
        most = number + 1
        return [line.split(self.separator, most)[number] for line in self.lines]


def bulk_rows(
    lines: list[str],
    first: list[str],
    numeric: Sequence[int],
    separator: str | None = None,
) -> BulkRows | None:
    """Read the numbers of rows of plain words, without quotes or comments.

    Parameters
    ----------
    lines
        One for each row.
    first
        The fields of the first row.
    numeric
        Columns of numbers.
    separator
        Between fields; None: blanks.

    Returns
    -------
    BulkRows or None
        None where a row has another number of fields, or something is no number that
        picks can hold: to be read field by field.
    """
    if not all(lines):
        return None
    width, room = len(first), _room(first)
    kinds: list[Any] = [
        (f"f{column}", np.float64 if column in numeric else f"U{room[column]}")
        for column in range(width)
    ]
    try:
        table = np.loadtxt(
            lines, np.dtype(kinds), comments=None, delimiter=separator, ndmin=1
        )
    except (ValueError, UnicodeError):
        return None
    if len(table) != len(lines):  # it passes over empty ones
        return None
    numbers = {column: np.array(table[f"f{column}"]) for column in numeric}
    if not all((np.abs(one) <= LARGEST).all() for one in numbers.values()):
        return None
    short = {
        column: words
        for column in range(width)
        if column not in numbers
        and not _is_cut(words := np.array(table[f"f{column}"]), room[column])
    }
    return BulkRows(lines, separator, numbers, short)


def _room(first: list[str]) -> list[int]:
    """Say how many letters are kept of the words of each column.

    Of long ones a single letter, which shows that the row is whole.
    """
    lengths = [len(word) + SPARE for word in first]
    return [length if length <= SHORT else 1 for length in lengths]


def _is_cut(words: NDArray[np.str_], room: int) -> bool:
    """Say whether a word fills its place, and so may be longer."""
    letters = words.view("U1").reshape(len(words), room)
    return bool((letters[:, -1] != "").any())
