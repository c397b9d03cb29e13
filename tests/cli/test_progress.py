"""The seconds left of a run that goes on are reckoned from what it does itself."""

import io
import json

import pytest

from dep.cli import progress
from dep.cli.progress import Lines


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(stream):
    parsed = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [one["seconds_left"] for one in parsed if one["event"] == "progress"]


def test_a_new_run(clock):
    stream = io.StringIO()
    report = Lines(stream)
    report.begin("run", 1, 1)
    for done in (10, 20):
        clock[0] += 10
        report.advance(done, 100)
    assert lines(stream) == [90, 80]


def test_a_resumed_run(clock):
    stream = io.StringIO()
    report = Lines(stream)
    report.begin("run", 1, 1)
    for done in (510, 520, 530):
        clock[0] += 10
        report.advance(done, 1000)
    assert lines(stream)[1:] == [480, 470]
