"""`dep info` tells models, tomograms and picks apart, and what each holds."""

import gzip

import pytest


def test_a_model_shows_its_card(dep, tiny_model):
    card = dep("info", tiny_model, "--json").json
    assert card["kind"] == "model"
    assert card["tile"] == 24
    assert [one["name"] for one in card["classes"]] == ["dark", "bright"]
    assert "dark" in dep("info", tiny_model).out


def test_a_tomogram_shows_header_and_statistics(dep, tomogram):
    facts = dep("info", tomogram, "--json").json
    assert facts["kind"] == "tomogram"
    assert facts["size_xyz"] == [44, 40, 32]
    assert facts["voxel_size"] == pytest.approx(10)
    assert facts["mean"] == pytest.approx(0, abs=0.5)
    assert "44 x 40 x 32" in dep("info", tomogram).out


def test_a_compressed_tomogram_is_unpacked(dep, tomogram):
    packed = tomogram.with_suffix(".mrc.gz")
    packed.write_bytes(gzip.compress(tomogram.read_bytes()))
    facts = dep("info", packed, "--json").json
    assert facts["compression"] == "gzip"


def test_a_header_without_a_voxel_size_is_said(dep, make_tomogram, tmp_path):
    make_tomogram(tmp_path / "a.mrc", voxel_size=0.0)
    outcome = dep("info", tmp_path / "a.mrc")
    assert outcome.status == 0
    assert "--voxel-size" in outcome.out


def test_picks_are_counted_by_class(dep, root):
    facts = dep("info", root / "docs/sample/sample.csv", "--json").json
    assert facts["kind"] == "picks"
    assert facts["picks"] == 93
    assert facts["classes"]["5mrc"] == 9


@pytest.mark.parametrize("name", ["a.onnx", "a.mrc", "a.csv"])
def test_a_missing_file_is_an_error_without_traceback(dep, tmp_path, name):
    outcome = dep("info", tmp_path / name)
    assert outcome.status == 1
    assert name in outcome.err
    assert "Traceback" not in outcome.err


def test_debugging_keeps_the_traceback(dep, monkeypatch):
    from dep.engine.errors import DepError

    monkeypatch.setenv("DEP_DEBUG", "1")
    with pytest.raises(DepError):
        dep("info", "none.mrc")
