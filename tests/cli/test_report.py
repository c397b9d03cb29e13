"""`dep report` and `dep pick --report`: a page about what was picked."""

import json

import pytest

PAGE = "report.html"


@pytest.fixture
def picked(dep, tiny_model, tomogram, tmp_path):
    """A folder that a tomogram was picked into, without a page."""
    out = tmp_path / "out"
    outcome = dep("pick", tomogram, "--engine", tiny_model, "-o", out, "-q")
    assert outcome.status == 0, outcome.err
    return out


def test_pick_writes_a_page_when_it_is_asked_for(dep, tiny_model, tomogram, tmp_path):
    out = tmp_path / "out"
    words = ("pick", tomogram, "--engine", tiny_model, "-o", out, "--report")
    outcome = dep(*words)
    assert outcome.status == 0, outcome.err
    assert f"report: {out / PAGE}" in outcome.out
    page = (out / PAGE).read_text(encoding="utf-8")
    # The model's card, which the record now holds, is in it.
    assert "nothing: written by hand" in page
    assert "TS_01.csv" in page
    assert "data:image/" in page
    (out / PAGE).unlink()
    assert dep(*words, "--resume", "--quiet").out == ""
    assert (out / PAGE).exists()


def test_a_run_with_failures_has_a_page_and_its_exit_status(
    dep, tiny_model, tomogram, tmp_path
):
    (tmp_path / "cut.mrc").write_bytes(tomogram.read_bytes()[:2000])
    out = tmp_path / "out"
    outcome = dep("pick", tmp_path, "--engine", tiny_model, "-o", out, "--report")
    assert outcome.status == 1
    page = (out / PAGE).read_text(encoding="utf-8")
    assert "1 of 2" in page
    failed = json.loads((out / "run.json").read_text())["tomograms"]["cut"]["error"]
    assert failed.split(": ", 1)[1][:20] in page


def test_json_on_standard_output_stays_json(dep, tiny_model, tomogram, tmp_path):
    out = tmp_path / "out"
    outcome = dep(
        *("pick", tomogram, "--engine", tiny_model, "-o", out, "--report", "--json")
    )
    card = next(iter(outcome.json["models"].values()))
    assert card["name"] == "balls"
    entry = outcome.json["tomograms"]["TS_01"]
    assert (entry["size_xyz"], entry["voxel_size"]) == ([44, 40, 32], 10.0)
    assert (out / PAGE).exists()


def test_a_page_about_an_earlier_run(dep, picked, tmp_path):
    outcome = dep("report", picked)
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith(f"{picked / PAGE} (")
    path = tmp_path / "elsewhere" / "a.html"
    outcome = dep("report", picked, "-o", path, "--title", "Grid 3", "--slices", 0)
    assert outcome.status == 0, outcome.err
    page = path.read_text(encoding="utf-8")
    assert "Grid 3" in page
    assert "data:image/" not in page
    assert "../out/TS_01.csv" in page


def test_wrong_words_are_wrong_use(dep, picked, tmp_path):
    for words, said in (
        ((tmp_path / "nowhere",), "no run.json here"),
        ((tmp_path,), "no run.json here"),
        ((picked, "-o", picked / "TS_01.csv"), "expected the name of a page"),
        ((picked, "--slices", 26), "--slices"),
        ((picked, "--max-size", 0), "--max-size: expected a number above 0"),
        ((picked, "--tomograms", tmp_path / "nowhere"), "no such folder"),
    ):
        outcome = dep("report", *words)
        assert outcome.status == 2, outcome.err
        assert said in " ".join(outcome.err.split()), outcome.err
    assert not (picked / PAGE).exists()


def test_a_page_that_cannot_be_written_is_failed_work(dep, picked):
    (picked / PAGE).mkdir()
    outcome = dep("report", picked)
    assert outcome.status == 1
    assert "report.html: is a directory" in outcome.err


def test_without_pillow_the_extra_is_named_before_anything_is_picked(
    dep, tiny_model, tomogram, tmp_path, monkeypatch
):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "PIL" else real(name)
    )
    out = tmp_path / "out"
    outcome = dep("pick", tomogram, "--engine", tiny_model, "-o", out, "--report")
    assert outcome.status == 1
    assert "--report needs PIL" in outcome.err
    assert "dep[picture]" in outcome.err
    assert not out.exists()
