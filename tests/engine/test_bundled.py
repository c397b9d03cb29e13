"""The models that come with the package open by name."""

from pathlib import Path

import pytest

from dep.engine import ModelError, Picker
from dep.engine.bundled import BUNDLED, bundled_model, model_path
from dep.engine.model_file import read_card


def test_a_missing_bundled_model_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("dep.engine.bundled.DATA", tmp_path)
    for name in (None, "default", "standard"):
        with pytest.raises(ModelError, match=r"bundled model is missing.*--engine"):
            Picker(name)
    (tmp_path / "standard.onnx").write_bytes(b"x")
    assert model_path(None) == tmp_path / "standard.onnx"


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_models_open_by_name(name):
    assert model_path(name) == bundled_model(name)
    assert len(read_card(model_path(name)).classes) == 12


def test_a_file_goes_before_a_bundled_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "standard").write_bytes(b"x")
    assert model_path("standard") == Path("standard")


def test_an_unknown_bundled_name_is_refused():
    with pytest.raises(ModelError, match="there is standard"):
        bundled_model("slow")
