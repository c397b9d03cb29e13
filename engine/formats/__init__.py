"""Coordinate files: the table of formats, and reading and writing in any of them.

`dep.engine.formats.registry` says how a format is added.
"""

from dep.engine.formats.files import (
    LossWarning,
    read_picks,
    read_rows,
    read_table,
    write_one,
    write_picks,
)
from dep.engine.formats.format import Conventions, Format, Holds
from dep.engine.formats.registry import (
    FORMATS,
    endings,
    format_of,
    lacks,
    may_hold_coordinates,
)

__all__ = [
    "FORMATS",
    "Conventions",
    "Format",
    "Holds",
    "LossWarning",
    "endings",
    "format_of",
    "lacks",
    "may_hold_coordinates",
    "read_picks",
    "read_rows",
    "read_table",
    "write_one",
    "write_picks",
]
