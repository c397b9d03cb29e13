"""Runs that are gone on with, or begun twice: the folder stays of one training."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dep.train import CheckpointError, TrainingError, load_config, train
from dep.train.fit import train_rank
from dep.train.intake import load_data
from dep.train.metrics_file import read_metrics
from dep.train.ranks import Ranks
from dep.train.run_folder import RunFolder
from dep.train.same_data import refuse_other_data, trained_on


def test_validation_tomograms_that_come_late_are_made_up_for(run_files, tmp_path):
    """By the first process alone where there were several: their group is gone."""
    text = run_files.config.read_text()
    line = 'validate = [{ tomogram = "held.mrc", coordinates = "held.csv" }]\n'
    run_files.config.write_text(text.replace(line, ""))
    folder = train(load_config(run_files.config), tmp_path / "run").parent
    before = read_metrics(folder / "metrics.csv")
    run_files.config.write_text(text)
    late = load_config(run_files.config)
    for ranks in (Ranks(1, 2, 1, 2), Ranks(0, 2, 0, 2)):
        train_rank(late, RunFolder(folder), ranks, "cpu", True, None, None)
    rows = read_metrics(folder / "metrics.csv")
    assert [row["step"] for row in rows] == [row["step"] for row in before]
    assert rows[:-1] == before[:-1]
    assert (rows[-1]["loss"], before[-1]["f1"]) == (before[-1]["loss"], "")
    assert 0 <= float(rows[-1]["f1"]) <= 1
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["last_validation"]["f1"] == pytest.approx(
        float(rows[-1]["f1"]), abs=1e-5
    )


def test_a_folder_takes_one_training_at_a_time(run_files, tmp_path, monkeypatch):
    monkeypatch.setattr("dep.train.run_folder.LOCK_TRIES", 2)
    config = load_config(run_files.config)
    folder = RunFolder(tmp_path / "run")
    for resume in (False, True):
        with folder.held(), pytest.raises(TrainingError, match="run: another training"):
            train(config, folder.path, resume=resume)
        assert folder.last.exists() == resume
        train(config, folder.path, resume=resume)


def test_a_run_goes_on_with_the_data_that_it_began_with(run_files, tmp_path):
    folder = train(load_config(run_files.config), tmp_path / "run").parent
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (*run_files.folder.glob("*.mrc"), *run_files.folder.glob("*.csv")):
        shutil.copy(path, moved)
    config = shutil.copy(run_files.config, moved)
    train(load_config(config), folder, resume=True)
    lines = (moved / "tomo.csv").read_text().splitlines()
    shifted = [line.split(",") for line in lines]
    for row in shifted[1:]:
        row[2] = f"{float(row[2]) + 0.5:.3f}"
    (moved / "tomo.csv").write_text("\n".join(map(",".join, shifted)))
    with pytest.raises(CheckpointError, match=r"other data: tomo had other centres"):
        train(load_config(config), folder, resume=True)
    (moved / "tomo.csv").write_text("\n".join([lines[0], *lines[2:]]))
    with pytest.raises(CheckpointError, match=r"other data: tomo had other centres"):
        train(load_config(config), folder, resume=True)
    shutil.copy(run_files.folder / "tomo.csv", moved / "other.csv")
    (moved / "tomo.mrc").rename(moved / "other.mrc")
    text = Path(config).read_text()
    Path(config).write_text(text.replace('"tomo.', '"other.'))
    with pytest.raises(CheckpointError, match=r"other data: tomo; now other\. Start"):
        train(load_config(config), folder, resume=True)


def test_what_a_checkpoint_says_of_its_data_is_compared(run_files):
    """Not more: one that says less goes on. Nor last digits, which a processor has."""
    (one,) = load_data(load_config(run_files.config)).train
    path = Path("run/last.ckpt")
    stored = trained_on([one])
    near = replace(one, xyz=one.xyz + 1e-4, mean=one.mean + 1e-9 * one.std)
    for old in (stored, [entry[:5] for entry in stored]):
        refuse_other_data(old, [near], path)
    with pytest.raises(CheckpointError, match=r"last\.ckpt: .*tomo had voxels of mean"):
        refuse_other_data(stored, [replace(one, mean=one.mean + 0.01 * one.std)], path)
    swapped = replace(one, xyz=one.xyz[:, ::-1])
    with pytest.raises(CheckpointError, match="tomo had other centres"):
        refuse_other_data(stored, [swapped], path)
    with pytest.raises(CheckpointError, match="other data: tomo, tomo; now tomo"):
        refuse_other_data(2 * stored, [one], path)


def test_a_resumed_run_remembers_what_it_was_started_from(
    run_files, trained, tmp_path, monkeypatch
):
    config = load_config(run_files.config)
    monkeypatch.setattr("dep.train.fit.precision_notes", lambda *_: ["first", "both"])
    folder = train(config, tmp_path / "run", init=trained).parent

    def summary():
        return json.loads((folder / "summary.json").read_text())

    first = summary()
    card = json.loads((trained.parent / "card.json").read_text())
    assert first["started_from"] == {
        "weights": "model.ckpt",
        "weights_digest": card["weights_digest"],
        "classes_taken_over": ["a", "bead", "b"],
        "classes_new": [],
    }
    monkeypatch.setattr("dep.train.fit.precision_notes", lambda *_: ["both", "second"])
    train(config, folder, resume=True)
    second = summary()
    assert second["started_from"] == first["started_from"]
    assert set(second["notes"]) == {*first["notes"], "second"}
    assert len(second["notes"]) == len(set(second["notes"]))
    assert sum("classes taken over" in note for note in second["notes"]) == 1

    # As development versions wrote it.
    content = torch.load(folder / "last.ckpt", weights_only=True)
    for key in ("notes", "started_from"):
        del content["training"][key]
    torch.save(content, folder / "last.ckpt")
    train(config, folder, resume=True)
    assert summary()["started_from"] is None
