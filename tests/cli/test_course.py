"""While one tomogram's outputs are written the network has the next; none is lost."""

import io
import json
import threading

import pytest

from dep.cli import picking
from dep.cli.progress import Bars, Lines
from dep.engine import PicksError
from dep.engine.picks import Picks


@pytest.fixture
def three(make_tomogram, tmp_path):
    for number in (1, 2, 3):
        make_tomogram(tmp_path / f"TS_0{number}.mrc")
    return tmp_path


@pytest.fixture
def pick(dep, tiny_model, three):
    """Run `dep pick` on all three, `--engine BALLS -o OUT`."""

    def run(*words):
        return dep("pick", three, "--engine", tiny_model, "-o", three / "out", *words)

    return run


def read_run(folder):
    return json.loads((folder / "out" / "run.json").read_text())


def states(folder):
    entries = read_run(folder)["tomograms"].items()
    return {name: entry["status"] for name, entry in entries}


def events(outcome):
    return [json.loads(line) for line in outcome.err.splitlines()]


def fail_at(monkeypatch, number, error):
    """Let the writing of one tomogram's first output fail."""
    whole = Picks.write

    def write(self, path, *rest):
        if self.tomogram == f"TS_0{number}":
            raise error
        return whole(self, path, *rest)

    monkeypatch.setattr(Picks, "write", write)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    "error", [PicksError("disk full"), OSError(28, "No space"), ZeroDivisionError("x")]
)
def test_outputs_that_cannot_be_written_fail_alone(
    pick, three, monkeypatch, number, error
):
    fail_at(monkeypatch, number, error)
    outcome = pick()
    assert outcome.status == 1
    expected = {f"TS_0{one}": "picked" for one in (1, 2, 3)}
    assert states(three) == {**expected, f"TS_0{number}": "failed"}
    assert read_run(three)["status"] == "failed"
    assert "2 of 3 tomograms picked" in outcome.out
    written = {path.stem for path in (three / "out").glob("*.csv")}
    assert written == set(expected) - {f"TS_0{number}"}
    monkeypatch.undo()
    assert pick("--resume").status == 0
    assert set(states(three).values()) == {"picked"}


def test_the_network_goes_on_while_outputs_are_written(pick, monkeypatch):
    """The outputs of the first are written when the network has done the second."""
    second = threading.Event()
    begin, write = Lines.begin, picking.write_outputs

    def begins(self, name, number, of):
        if name == "TS_02":
            second.set()
        begin(self, name, number, of)

    def writes(picks, job, **options):
        assert second.wait(60)
        write(picks, job, **options)

    monkeypatch.setattr(Lines, "begin", begins)
    monkeypatch.setattr(picking, "write_outputs", writes)
    outcome = pick()
    assert outcome.status == 0
    said = [(one["event"], one["name"]) for one in events(outcome)]
    assert said.index(("begin", "TS_02")) < said.index(("done", "TS_01"))
    for kind in ("begin", "done"):
        names = [name for event, name in said if event == kind]
        assert names == ["TS_01", "TS_02", "TS_03"]


def test_every_tomogram_begins_before_it_ends(pick, three):
    """Also one that fails while it is opened, beside the network's work on another."""
    (three / "TS_02.mrc").write_bytes(b"no tomogram")
    outcome = pick()
    assert outcome.status == 1
    said = [(one["event"], one["name"]) for one in events(outcome)]
    for name, end in (("TS_01", "done"), ("TS_02", "failed"), ("TS_03", "done")):
        assert said.index(("begin", name)) < said.index((end, name))
    numbers = [one["number"] for one in events(outcome) if one["event"] == "begin"]
    assert numbers == [1, 2, 3]


def test_the_record_says_when_each_began_and_ended(pick, three):
    (three / "TS_02.mrc").write_bytes(b"no tomogram")
    pick()
    run = read_run(three)
    for entry in run["tomograms"].values():
        assert run["started"] <= entry["started"] <= entry["ended"] <= run["ended"]
        assert entry["seconds"] >= 0


def test_a_bar_stays_when_the_tomogram_before_is_done():
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=io.StringIO()), transient=True) as progress:
        bars = Bars(progress)
        bars.begin("TS_01", 1, 2)
        bars.begin("TS_02", 2, 2)
        bars.done("TS_01")
        bars.failed("TS_01", "no")
        assert [task.description for task in progress.tasks] == ["TS_02 (2/2)"]
        bars.done("TS_02")
        assert progress.tasks == []
