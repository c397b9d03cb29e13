"""Numbers given by name on the command line: ``--diameter 70 --diameter 4cr2=216``."""

import math
from collections.abc import Sequence

from dep.cli.failure import UsageError


def number_in(word: str) -> tuple[str, str, float]:
    """Take NAME=NUMBER apart: the name, the mark or nothing, the number or NaN."""
    name, mark, number = word.rpartition("=")
    try:
        return name, mark, float(number)
    except ValueError:
        return name, mark, math.nan


def named_numbers(
    words: Sequence[str], option: str
) -> tuple[float | None, dict[str, float]]:
    """Sort words into the number for all, if there is one, and those with a name.

    Raises
    ------
    UsageError
        No number above 0, no name before ``=``, or the same thing said twice.
    """
    common: float | None = None
    named: dict[str, float] = {}
    for word in words:
        name, mark, value = number_in(word)
        if not 0 < value < math.inf or (mark and not name.strip()):
            message = f"{option}: expected NAME=NUMBER or a NUMBER, found {word!r}"
            raise UsageError(message)
        name = name.strip()
        if name in named or (not mark and common is not None):
            message = f"{option}: said twice for {name or 'all'}"
            raise UsageError(message)
        if mark:
            named[name] = value
        else:
            common = value
    return common, named
