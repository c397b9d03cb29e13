"""TensorBoard and Weights & Biases are told what `metrics.csv` says."""

import math
import warnings

import pytest

from dep.train import TrainingError, load_config, train
from dep.train import loggers as module
from dep.train.loggers import Loggers, measures
from dep.train.metrics_file import Progress, read_metrics
from dep.train.validate import Validation


def with_loggers(run_files, *names, **changes):
    config = load_config(run_files.config)
    training = config.training.model_copy(update={"loggers": names, **changes})
    return config.model_copy(update={"training": training})


def scalars(folder):
    """Return what a TensorBoard would draw: step and value by tag."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorBoard's own imports
        from tensorboard.backend.event_processing.event_accumulator import (
            EventAccumulator,
        )

        events = EventAccumulator(str(folder), purge_orphaned_data=True)
        events.Reload()
        return {
            tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }


def report(step, loss=1.0, validation=None):
    return Progress(step, 9, loss, 1e-3, 2.0, 0.5, validation)


def test_tensorboard_shows_what_the_metrics_file_says(run_files, tmp_path, monkeypatch):
    monkeypatch.setattr("dep.train.watch.REPORT_SECONDS", 0.0)
    train(with_loggers(run_files, "tensorboard"), tmp_path / "run")
    rows = read_metrics(tmp_path / "run/metrics.csv")
    shown = scalars(tmp_path / "run/tensorboard")
    assert len(rows) > 1
    for name in ("loss", "learning_rate"):
        assert [step for step, _ in shown[name]] == [int(row["step"]) for row in rows]
        assert [value for _, value in shown[name]] == pytest.approx(
            [float(row[name]) for row in rows], rel=1e-5
        )
    validated = [row for row in rows if row["recall"]]
    assert validated
    assert shown["validation/recall"] == [
        (int(row["step"]), pytest.approx(float(row["recall"]), rel=1e-5))
        for row in validated
    ]


def test_steps_that_are_made_again_are_shown_once(run_files, tmp_path):
    config = with_loggers(run_files, "tensorboard")
    killed = Loggers(config, tmp_path, 0)
    for step in (1, 2, 3):
        killed.write(report(step, loss=float(step)))
    killed.close()
    resumed = Loggers(config, tmp_path, 2)
    for step in (3, 4):
        resumed.write(report(step, loss=10.0 * step))
    resumed.close("success")
    shown = scalars(tmp_path / "tensorboard")["loss"]
    assert shown == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]


def test_a_logger_that_is_not_installed_is_named_before_anything_is_written(
    run_files, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    config = with_loggers(run_files, "tensorboard", "wandb")
    with pytest.raises(TrainingError, match=r"pip install tensorboard wandb") as told:
        train(config, tmp_path / "run")
    assert "tensorboard and wandb" in str(told.value)
    assert not (tmp_path / "run").exists()


def test_a_logger_that_cannot_be_opened_ends_the_training_at_once(run_files, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/tensorboard").write_text("a file where a folder should be")
    with pytest.raises(TrainingError, match=r"tensorboard cannot be opened: .+ mend"):
        train(with_loggers(run_files, "tensorboard"), tmp_path / "run")


def test_a_training_outlives_a_logger_that_fails(run_files, tmp_path, monkeypatch):
    told = []

    def fail(*_, step):
        told.append(step)
        msg = "no route to host"
        raise ConnectionError(msg)

    real, closed = module.TensorBoardLogger.finalize, []

    def close(logger, status):
        closed.append(status)
        real(logger, status)

    monkeypatch.setattr(module.TensorBoardLogger, "log_metrics", fail)
    monkeypatch.setattr(module.TensorBoardLogger, "finalize", close)
    said = []
    path = train(
        with_loggers(run_files, "tensorboard"),
        tmp_path / "run",
        progress=lambda r: said.append(r.note) if r.note else None,
    )
    assert path.exists()
    assert len(told) == 1
    assert closed == ["failed"]  # at once, and once
    assert any("tensorboard failed at step" in note for note in said)
    assert any("no route to host" in note for note in said)


def test_one_that_cannot_be_closed_is_told_and_no_more(
    run_files, tmp_path, monkeypatch
):
    real = module.TensorBoardLogger.finalize

    def fail(logger, status):
        real(logger, status)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.TensorBoardLogger, "finalize", fail)
    logs = Loggers(with_loggers(run_files, "tensorboard"), tmp_path, 0)
    assert "No space left" in " ".join(logs.close("success"))


def test_an_unknown_logger_is_a_fault_of_the_configuration(run_files):
    text = run_files.config.read_text()
    run_files.config.write_text(
        text.replace("[training]\n", '[training]\nloggers = ["tensorbord"]\n')
    )
    with pytest.raises(Exception, match=r"training\.loggers") as told:
        load_config(run_files.config)
    assert "'tensorboard' or 'wandb'" in str(told.value)


def test_numbers_only():
    scores = Validation(0.5, 0.25, 1 / 3, 0.4, math.nan, 0.125, True)
    values = measures(report(3, validation=scores))
    assert values["validation/precision"] == 0.5
    assert values["validation/partial"] == 1.0
    assert "validation/distance" not in values  # none was found
    assert values["loss"] == 1.0
    assert "step" not in values


def test_wandb_goes_on_with_its_run(run_files, tmp_path, monkeypatch):
    """Offline: where nothing can be sent, W&B keeps it in the run's folder."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = with_loggers(run_files, "wandb")
    ids = []
    for step in (0, 3):
        logs = Loggers(config, tmp_path, step)
        assert not logs.write(report(step + 1))
        logs.close("success")
        ids.append((tmp_path / "wandb/run_id.txt").read_text().strip())
    assert ids[0] == ids[1]
    runs = list((tmp_path / "wandb").glob(f"offline-run-*-{ids[0]}"))
    assert len(runs) == 2
    assert all(list(run.glob("*.wandb")) for run in runs)
