"""Fixtures of the format tests: three picks of a small tomogram."""

import pytest

from dep.engine import Picks


@pytest.fixture(scope="module")
def picks_of(request):
    """Make three picks of a module's own `CLASSES`; whatever else can be changed."""

    def make(tomogram=None, **changes):
        return Picks(
            **{
                "xyz": [[0, 0, 0], [99, 100, 49], [10.25, 20.5, 30.75]],
                "class_id": [1, 2, 1],
                "score": [0.875, 0.5, 0.25],
                "classes": request.module.CLASSES,
                "tomogram": tomogram or getattr(request.module, "TOMOGRAM", "TS_01"),
                "shape": (50, 101, 100),
                "voxel_size": 10.0,
                **changes,
            }
        )

    return make
