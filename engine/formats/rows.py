"""Write a million rows of text in a second or two."""

from collections.abc import Sequence
from typing import Any

CHUNK = 1000  # rows put into words by one formatting


def format_rows(template: str, *columns: Sequence[Any]) -> str:
    """Put columns into the %-template of one row, newline included.

    Half the time of one string for each row.
    """
    many = len(columns[0]) if columns else 0
    width = len(columns)
    parts = []
    for start in range(0, many, CHUNK):
        stop = min(start + CHUNK, many)
        flat: list[Any] = [None] * ((stop - start) * width)
        for place, column in enumerate(columns):
            flat[place::width] = column[start:stop]
        parts.append(template * (stop - start) % tuple(flat))
    return "".join(parts)
