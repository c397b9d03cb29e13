"""Numbers in the place of tomogram names, for formats that have no place for names."""

import re
from collections.abc import Sequence

MOST_DIGITS = 6  # of a tomogram number


def tomogram_numbers(names: Sequence[str]) -> dict[str, int]:
    """Give tomograms numbers after their own names where that tells them apart.

    The last number in the name (``TS_012`` is 12), so that files of many tomograms can
    be joined; else 1, 2, 3 in the order given.
    """
    own = []
    for name in names:
        digits = re.findall(r"[0-9]+", name)
        own.append(int(digits[-1]) if digits and len(digits[-1]) <= MOST_DIGITS else 0)
    if len(set(own)) < len(own) or 0 in own:
        own = list(range(1, len(names) + 1))
    return dict(zip(names, own, strict=True))
