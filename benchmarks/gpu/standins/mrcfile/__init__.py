"""Stands in for mrcfile, where it is not installed: no MRC file can be read.

`dep.engine` imports its table of the header. What the check picks are arrays; a test
that writes a file is skipped.
"""

import sys
from typing import NoReturn


def __getattr__(name: str) -> NoReturn:
    if "pytest" in sys.modules and not name.startswith("__"):
        import pytest

        pytest.skip("mrcfile is not installed: no MRC file can be written")
    raise AttributeError(name)
