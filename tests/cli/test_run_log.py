"""`run.json` is always whole, and several runs share a folder without loss."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from dep.cli.failure import UsageError
from dep.cli.run_log import NAME, RunLog


def test_runs_into_one_folder_at_once_lose_nothing(tmp_path):
    logs = [RunLog(tmp_path / NAME, ("dep", f"run {n}")) for n in range(4)]

    def work(number):
        for step in range(10):
            logs[number].record({f"{number}-{step}": {"status": "picked"}})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(json.loads((tmp_path / NAME).read_text())["tomograms"]) == 40
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_run_replaces_only_its_own_entries(tmp_path):
    first = RunLog(tmp_path / NAME, ("first",))
    first.record({"a": {"status": "picked"}, "b": {"status": "failed"}}, "failed")
    second = RunLog(tmp_path / NAME, ("second",))
    second.record({"b": {"status": "picked"}}, "complete")
    document = json.loads((tmp_path / NAME).read_text())
    assert document["command"] == ["second"]
    assert document["status"] == "complete"
    states = {name: one["status"] for name, one in document["tomograms"].items()}
    assert states == {"a": "picked", "b": "picked"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"tomograms": 3}',
        "{",
        '{"tomograms": {"good": 1}}',
        '{"tomograms": {"good": {}}}',
        '{"tomograms": {"good": {"status": []}}}',
    ],
)
def test_what_is_not_a_record_is_refused(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(UsageError, match=r"run\.json"):
        RunLog(tmp_path / NAME, ()).entries()


def test_a_record_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / NAME).mkdir()
    with pytest.raises(UsageError, match=r"run\.json: cannot be read \("):
        RunLog(tmp_path / NAME, ()).entries()
