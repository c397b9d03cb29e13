"""`dep train` and `dep export`: from a configuration to a model that picks."""

import importlib.util

import pytest
import torch

from dep.train import NetworkConfig, ResUNet3D


def test_a_configuration_becomes_a_model_that_picks(dep, run_files, tmp_path):
    run = tmp_path / "run"
    outcome = dep("train", run_files.config, "-o", run)
    assert outcome.status == 0, outcome.err
    assert (run / "model.ckpt").exists()

    model = tmp_path / "tiny.onnx"
    outcome = dep("export", run / "model.ckpt", "-o", model, "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["card"]["name"] == "tiny"
    assert outcome.json["comparison"]["difference"] < 1e-4

    outcome = dep("export", run / "model.ckpt", "-o", model)
    assert outcome.status == 2
    assert "--overwrite" in outcome.err

    out = tmp_path / "out"
    outcome = dep("pick", run_files.folder / "tomo.mrc", "--engine", model, "-o", out)
    assert outcome.status == 0, outcome.err
    assert (out / "tomo.star").exists()


def test_a_finished_run_is_not_overwritten(dep, run_files, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.ckpt").write_bytes(b"")
    outcome = dep("train", run_files.config, "-o", run)
    assert outcome.status == 1
    assert "--resume" in outcome.err


def test_a_wrong_configuration_is_wrong_use(dep, run_files):
    text = run_files.config.read_text()
    run_files.config.write_text(text.replace("steps = 6", "steps = -6"))
    outcome = dep("train", run_files.config)
    assert outcome.status == 2
    assert "steps" in outcome.err


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("none.ckpt", "none.ckpt"),
        ("none.onnx", "no such model file"),
        ("bundled", "there and [4, 8] in the configuration"),
    ],
)
def test_weights_that_cannot_be_started_from_are_explained(
    dep, run_files, tmp_path, weights, words
):
    outcome = dep("train", run_files.config, "-o", tmp_path / "run", "--init", weights)
    assert outcome.status == 1
    assert words in outcome.err
    assert not (tmp_path / "run").exists()


def test_what_a_person_should_know_is_said(dep, run_files, tmp_path):
    text = run_files.config.read_text()
    assert "fully_annotated = true\n" in text
    text = text.replace("fully_annotated = true\n", "")
    # A threshold that six steps of training do not reach.
    run_files.config.write_text(text.replace("t_dist = 4", "t_dist = 4\nt_seg = 0.999"))
    outcome = dep("train", run_files.config, "-o", tmp_path / "run")
    assert outcome.status == 0
    assert "no validation found a particle" in outcome.err
    assert "a lower bound" in outcome.err
    assert '"precision_at_least"' in outcome.err
    assert "Lightning" not in outcome.err
    assert "GPU" not in outcome.err


def test_resume_and_init_exclude_each_other(dep, run_files):
    outcome = dep("train", run_files.config, "--resume", "--init", "a.ckpt")
    assert outcome.status == 2


@pytest.mark.parametrize(
    "words", [("train", "c.toml"), ("export", "c", "-o", "m.onnx")]
)
def test_without_torch_the_extra_is_named(dep, monkeypatch, words):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "torch" else find(name),
    )
    outcome = dep(*words)
    assert outcome.status == 1
    assert "torch" in outcome.err
    assert "pip install 'dep[train]'" in outcome.err


@pytest.mark.parametrize(
    "words", [("-o", "model.pt"), ("-o", "m.onnx", "--precision", "int4")]
)
def test_what_cannot_be_exported_is_wrong_use(dep, words):
    assert dep("export", "model.ckpt", *words).status == 2


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("none/m.onnx", "no folder"),
        ("file/m.onnx", "no folder"),
        ("d.onnx", "a folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_wrong_use(dep, tmp_path, out, words):
    (tmp_path / "file").write_text("")
    (tmp_path / "d.onnx").mkdir()
    outcome = dep("export", "none.ckpt", "-o", tmp_path / out, "--overwrite")
    assert outcome.status == 2
    assert words in outcome.err
    assert str(tmp_path / out) in outcome.err


def test_a_missing_checkpoint_is_named(dep, tmp_path):
    outcome = dep("export", tmp_path / "none.ckpt", "-o", tmp_path / "m.onnx")
    assert outcome.status == 1
    assert "none.ckpt" in outcome.err


def test_a_published_checkpoint_becomes_a_model_that_picks(
    dep, make_tomogram, tmp_path
):
    state = ResUNet3D(NetworkConfig(3, (4, 8))).state_dict()
    torch.save(
        {"state_dict": {"model." + k: v for k, v in state.items()}, "global_step": 5},
        tmp_path / "x.ckpt",
    )
    out = tmp_path / "m.onnx"
    words = ("--classes", "a:100,b:120", "--tile", 24, "--margin", 4)
    outcome = dep("export", tmp_path / "x.ckpt", "-o", out, *words)
    assert outcome.status == 2
    assert "--voxel-size" in outcome.err
    outcome = dep(
        "export", tmp_path / "x.ckpt", "-o", out, *words, "--voxel-size", 10, "--json"
    )
    assert outcome.status == 0, outcome.err
    card = outcome.json["card"]
    assert (card["name"], card["contrast"], card["t_dist"]) == ("x", "dark", 6.0)
    make_tomogram(tmp_path / "t.mrc")
    outcome = dep("pick", tmp_path / "t.mrc", "--engine", out, "-o", tmp_path / "picks")
    assert outcome.status == 0, outcome.err
    assert (tmp_path / "picks" / "t.csv").exists()


def test_8_bits_and_tomograms_to_calibrate_on_go_together(dep):
    for words in (("--precision", "int8"), ("--calibrate", "a.mrc")):
        outcome = dep("export", "model.ckpt", "-o", "m.onnx", *words)
        assert outcome.status == 2
        assert "go together" in outcome.err


def test_a_model_file_becomes_one_of_8_bits(dep, run_files, tmp_path):
    """Balls of noise: what matters here is the way through the command."""
    run, model = tmp_path / "run", tmp_path / "m.onnx"
    assert dep("train", run_files.config, "-o", run).status == 0
    assert dep("export", run / "model.ckpt", "-o", model).status == 0
    tomogram = run_files.folder / "tomo.mrc"
    words = ("--precision", "int8", "--calibrate", tomogram, "--json")
    outcome = dep("export", model, "-o", tmp_path / "m8.onnx", *words)
    assert outcome.status == 0, outcome.err
    assert outcome.json["card"]["precision"] == "int8"
    assert outcome.json["comparison"]["on"] == "tomo.mrc"
    assert "convolutions stay float32" in outcome.err
    outcome = dep("export", model, "-o", tmp_path / "n.onnx", "--classes", "a:10",
                  "--voxel-size", "10")  # fmt: skip
    assert outcome.status == 1
    assert "leave out --classes" in outcome.err
