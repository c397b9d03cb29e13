"""Fixtures of the tests of `dep bench`: what is picked."""

import pytest

from dep.engine.bench import Subject


@pytest.fixture(scope="module")
def subject(make_tomogram, tmp_path_factory):
    path = tmp_path_factory.mktemp("tomogram") / "TS_01.mrc"
    make_tomogram(path)
    return Subject(path=path)
