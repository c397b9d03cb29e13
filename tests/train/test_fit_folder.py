"""The run's folder says what was done, and what to do when it went badly."""

import csv
import hashlib
import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from dep.engine.card import ModelCard
from dep.train import TrainingError, load_checkpoint, load_config, train
from dep.train.config import parse_config
from dep.train.data import AnnotatedTomogram
from dep.train.history import History
from dep.train.metrics_file import MetricsFile, Progress, read_metrics
from dep.train.overlay import ANNOTATED, PICK, STRAY, draw_overlay
from dep.train.ranks import choose_device, precision_notes
from dep.train.remedies import more_memory, out_of_memory, remarks
from dep.train.validate import Picked, Validation

FILES = {
    "card.json",
    "config.json",
    "curves.png",
    "last.ckpt",
    "metrics.csv",
    "model.ckpt",
    "overlay_held.png",
    "summary.json",
    "versions.json",
}


def with_training(config, **changes):
    training = config.training.model_copy(update=changes)
    return config.model_copy(update={"training": training})


def scores(f1_alpha, *, partial=False):
    return Validation(0.5, 0.5, 0.5, f1_alpha, 1.0, 0.5, partial)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_best_validation_is_shipped_and_the_best_are_kept(
    run_files, tmp_path, monkeypatch, capfd
):
    """Scores are dictated: the network itself finds nothing in so few steps."""
    dictated = iter([0.5, 0.7, 0.6, 0.7, 0.1, 0.2])

    def dictate(*_):
        nothing = (
            np.zeros((0, 3), np.float32),
            np.zeros(0, int),
            np.zeros(0, np.float32),
        )
        return [Picked("held", *nothing, scores(next(dictated), partial=True))]

    monkeypatch.setattr("dep.train.watch.validate", dictate)
    config = load_config(run_files.config)
    config = with_training(config, steps=9, validate_every=1, keep_best=2, patience=3)
    said = []
    path = train(
        config,
        tmp_path / "run",
        progress=lambda r: said.append(r.note) if r.note else None,
    )
    assert capfd.readouterr() == ("", "")
    # Stopped after 0.6, 0.7 again (no gain) and 0.1; the later 0.7 is the best.
    assert {p.name for p in path.parent.iterdir()} == FILES | {"best"}
    best = {p.name: p for p in (path.parent / "best").iterdir()}
    assert set(best) == {
        "step_00000002_f1a_0.7000.ckpt",
        "step_00000004_f1a_0.7000.ckpt",
    }
    assert load_checkpoint(path).step == 4
    assert digest(path) == digest(best["step_00000004_f1a_0.7000.ckpt"])
    assert load_checkpoint(path.parent / "last.ckpt").step == 5

    summary = json.loads((path.parent / "summary.json").read_text())
    assert summary["finished"]
    assert summary["stopped_early"]
    assert (summary["step"], summary["model"]["step"]) == (5, 4)
    assert summary["model"]["scores"]["f1_alpha"] == 0.7
    assert summary["train"][0]["particles"] == {"a": 5, "bead": 5, "b": 5}
    assert any("stopped at step 5 of 9" in note for note in said)
    assert any("lower bound" in note for note in said)
    assert summary["notes"] == said
    card = ModelCard.from_json((path.parent / "card.json").read_text())
    assert card.class_names == ("a", "b")
    values = json.loads((path.parent / "config.json").read_text())
    assert parse_config(values, "test").training == config.training
    for name in ("curves.png", "overlay_held.png"):
        with Image.open(path.parent / name) as image:
            image.verify()

    # A run that has stopped stays so; more patience lets it go on.
    train(config, path.parent, resume=True)
    assert load_checkpoint(path.parent / "last.ckpt").step == 5
    train(with_training(config, patience=4), path.parent, resume=True)
    assert load_checkpoint(path.parent / "last.ckpt").step == 6


def test_without_validation_the_last_is_shipped_and_a_training_tomogram_shown(
    run_files, tmp_path
):
    text = run_files.config.read_text()
    line = 'validate = [{ tomogram = "held.mrc", coordinates = "held.csv" }]\n'
    assert line in text
    run_files.config.write_text(text.replace(line, ""))
    path = train(load_config(run_files.config), tmp_path / "run")
    assert {p.name for p in path.parent.iterdir()} == FILES - {"overlay_held.png"} | {
        "overlay_tomo.png"
    }
    assert load_checkpoint(path).step == 6
    summary = json.loads((path.parent / "summary.json").read_text())
    assert summary["model"]["chosen"] == "last"


def test_a_history_survives_its_checkpoint():
    history = History()
    for step, value in ((10, 0.2), (20, 0.6), (30, 0.4)):
        history.add(step, scores(value), keep=2)
    assert [one.step for one in history.kept] == [20, 30]
    assert (history.best.step, history.without_gain) == (20, 1)
    assert not history.exhausted(0)
    assert history.exhausted(1)
    assert History.from_dict(history.to_dict()) == history


def test_a_line_that_was_cut_off_is_passed_over(tmp_path):
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path, 0)
    for step in (1, 2, 3):
        validation = scores(0.5) if step == 2 else None
        file.write(Progress(step, 9, 0.5, 1e-3, 1.0, 0.1, validation))
    file.close()
    with path.open("a") as cut:
        cut.write("4,9,0.")
    assert [row["step"] for row in read_metrics(path)] == ["1", "2", "3"]
    MetricsFile(path, 2).close()
    with path.open() as left:
        assert [row["f1_alpha"] for row in csv.DictReader(left)] == ["", "0.5"]


def test_memory_that_runs_out_is_met_with_numbers(run_files, tmp_path, monkeypatch):
    config = with_training(load_config(run_files.config), batch=4, patch=48)
    words = more_memory(config, validating=False)
    assert "batch 4, patch 48, fp32" in words
    assert "training.batch = 2 (now 4) or training.patch = 36 (now 48)" in words
    assert "bf16" in words
    assert "picking.tile = 16 (now 24)" in more_memory(config, validating=True)
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ):
        assert out_of_memory(error)
    assert not out_of_memory(RuntimeError("mat1 and mat2 cannot be multiplied"))
    assert not out_of_memory(ValueError("alloc"))

    def exhaust(*_):
        return torch.empty(1 << 60)

    monkeypatch.setattr("dep.train.learner.picking_loss", exhaust)
    with pytest.raises(TrainingError, match=r"while training.*training\.batch = 1"):
        train(load_config(run_files.config), tmp_path / "a")
    monkeypatch.undo()
    monkeypatch.setattr("dep.train.watch.validate", exhaust)
    with pytest.raises(TrainingError, match=r"while validating: set picking\.tile"):
        train(load_config(run_files.config), tmp_path / "b")
    assert load_checkpoint(tmp_path / "b/last.ckpt").step == 3  # of save_every


def test_other_defects_keep_their_name(run_files, tmp_path, monkeypatch):
    def fail(*_):
        msg = "shapes do not match"
        raise RuntimeError(msg)

    monkeypatch.setattr("dep.train.learner.picking_loss", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(load_config(run_files.config), tmp_path / "run")


def test_a_run_that_learns_nothing_is_told_so(run_files):
    config = load_config(run_files.config)
    history = History()
    history.add(6, scores(0.0), keep=1)
    flat = remarks(config, history, [0.7] * 40, 6)
    assert any("no validation found a particle" in note for note in flat)
    assert any("the loss hardly fell, from 0.7 to 0.7" in note for note in flat)
    history = History()
    history.add(6, scores(0.9), keep=1)
    assert remarks(config, history, list(np.linspace(1, 0.1, 40)), 6) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_half_precision_needs_a_gpu(run_files):
    config = with_training(load_config(run_files.config), precision="fp16")
    with pytest.raises(TrainingError, match="bf16"):
        choose_device(config)


def test_emulated_bfloat16_is_said_to_be_slow(run_files, monkeypatch, tmp_path):
    from dep.engine import processor

    config = load_config(run_files.config)
    wanted = with_training(config, precision="bf16")
    for flags, notes in (("fpu avx2", 1), ("fpu avx2 amx_bf16", 0)):
        (tmp_path / "cpuinfo").write_text(f"processor: 0\nflags : {flags}\n")
        monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
        assert len(precision_notes(wanted, "cpu")) == notes
        assert precision_notes(wanted, "cuda") == []
        assert precision_notes(config, "cpu") == []
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "no such file")
    assert precision_notes(wanted, "cpu") == []


def test_bfloat16_trains(run_files, tmp_path):
    config = with_training(load_config(run_files.config), precision="bf16", steps=2)
    weights = load_checkpoint(train(config, tmp_path / "run")).network.state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert all(value.dtype != torch.bfloat16 for value in weights.values())


def test_picks_and_centres_are_drawn_where_they_are(run_files):
    config = load_config(run_files.config)
    voxels = np.random.default_rng(0).normal(size=(40, 120, 160)).astype(np.float32)
    tomogram = AnnotatedTomogram(
        name="t",
        voxels=voxels,
        mean=0.0,
        std=1.0,
        labels=np.zeros(voxels.shape, np.uint8),
        xyz=np.array([[30, 30, 20], [120, 90, 20]], np.float32),
        class_id=np.array([1, 3], np.uint8),
    )
    picked = Picked(
        "t",
        np.array([[30.5, 30, 20], [90, 60, 20]], np.float32),
        np.array([1, 2]),
        np.ones(2, np.float32),
        None,
    )
    whole = colours(draw_overlay(tomogram, picked, config, 5))
    for colour in (PICK, STRAY, ANNOTATED):
        assert whole[colour] > 20
    nothing = Picked("t", picked.xyz[:0], picked.class_id[:0], picked.score[:0], None)
    empty = colours(draw_overlay(tomogram, nothing, config, 5))
    # What is left of the picks' colours is the legend's.
    assert empty[PICK] < 0.6 * whole[PICK]
    assert empty[STRAY] < 0.6 * whole[STRAY]
    assert empty[ANNOTATED] == whole[ANNOTATED]


def colours(data):
    """Count the pixels near each colour."""
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    counts = {}
    for colour in (PICK, STRAY, ANNOTATED):
        wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        counts[colour] = int((np.abs(image - wanted).max(axis=2) < 40).sum())
    return counts


def test_test_tomograms_are_scored_once_at_the_end_with_what_is_shipped(
    run_files, tmp_path, monkeypatch
):
    asked = []

    def dictate(network, _, tomograms, *__):
        asked.append([one.name for one in tomograms])
        nothing = (
            np.zeros((0, 3), np.float32),
            np.zeros(0, int),
            np.zeros(0, np.float32),
        )
        total = float(sum(p.detach().abs().sum() for p in network.parameters()))
        return [Picked(one.name, *nothing, scores(total)) for one in tomograms]

    monkeypatch.setattr("dep.train.watch.validate", dictate)
    config = load_config(run_files.config)
    for suffix in (".mrc", ".csv"):
        shutil.copy(run_files.folder / f"held{suffix}", tmp_path / f"aside{suffix}")
    (source,) = config.data.validate_on
    aside = source.model_copy(
        update={
            "tomogram": tmp_path / "aside.mrc",
            "coordinates": tmp_path / "aside.csv",
        }
    )
    data = config.data.model_copy(update={"test": (aside,)})
    config = with_training(config, steps=3, validate_every=1)
    path = train(config.model_copy(update={"data": data}), tmp_path / "run")
    assert asked == [["held"]] * 3 + [["aside"]]
    (tested,) = json.loads((path.parent / "summary.json").read_text())["test"]
    shipped = load_checkpoint(path).network
    total = float(sum(p.detach().abs().sum() for p in shipped.parameters()))
    assert tested["tomogram"] == "aside"
    assert tested["scores"]["f1_alpha"] == pytest.approx(total, rel=1e-6)
