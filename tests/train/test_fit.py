"""Training lowers the loss, resumes where it stopped, and says why it cannot."""

import csv

import pytest
import torch

from dep.train import (
    CheckpointError,
    TrainingError,
    load_checkpoint,
    load_config,
    train,
)
from dep.train.fit import learning_rate


def with_training(config, **changes):
    training = config.training.model_copy(update=changes)
    return config.model_copy(update={"training": training})


def weights(path):
    return load_checkpoint(path).network.state_dict()


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


def test_the_loss_falls(run_files, tmp_path):
    reports = []
    config = with_training(load_config(run_files.config), steps=60, learning_rate=2e-2)
    train(config, tmp_path / "run", progress=reports.append)
    with (tmp_path / "run/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[0]["loss"])
    assert reports[-1].step == 60 == int(rows[-1]["step"])


def test_two_runs_of_one_seed_are_one_run(run_files, tmp_path):
    config = load_config(run_files.config)
    a, b = (weights(train(config, tmp_path / name)) for name in "ab")
    assert same(a, b)
    other = train(with_training(config, seed=4), tmp_path / "c")
    assert not same(a, weights(other))


def test_a_resumed_run_ends_where_an_unbroken_one_does(
    run_files, tmp_path, monkeypatch
):
    config = load_config(run_files.config)
    whole = weights(train(config, tmp_path / "whole"))

    class StopError(Exception):
        pass

    def stop_after_saving(report):
        if report.step > 3:
            raise StopError

    monkeypatch.setattr("dep.train.fit.REPORT_SECONDS", 0.0)
    with pytest.raises(StopError):
        train(config, tmp_path / "broken", progress=stop_after_saving)
    assert load_checkpoint(tmp_path / "broken/last.ckpt").step == 3
    resumed = weights(train(config, tmp_path / "broken", resume=True))
    assert same(whole, resumed)


def test_a_run_is_not_overwritten_nor_resumed_by_another_configuration(
    run_files, tmp_path
):
    config = load_config(run_files.config)
    train(config, tmp_path / "run")
    with pytest.raises(TrainingError, match="--resume"):
        train(config, tmp_path / "run")
    with pytest.raises(CheckpointError, match="differ: training"):
        train(with_training(config, steps=9), tmp_path / "run", resume=True)
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(config, tmp_path / "other", resume=True)


def test_a_run_starts_from_other_weights(run_files, tmp_path):
    config = load_config(run_files.config)
    first = train(config, tmp_path / "first")
    still = with_training(config, learning_rate=1e-12, steps=1, ema_decay=0.0)
    second = train(still, tmp_path / "second", init=first)
    name = "final_conv.weight"
    torch.testing.assert_close(weights(first)[name], weights(second)[name])


def test_a_loss_that_is_not_finite_stops_the_run(run_files, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "dep.train.fit.picking_loss",
        lambda logits, *_: logits.sum() * float("nan"),
    )
    with pytest.raises(TrainingError, match="learning_rate"):
        train(load_config(run_files.config), tmp_path / "run")
    assert not (tmp_path / "run/model.ckpt").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_asked_for_and_not_there(run_files, tmp_path):
    config = with_training(load_config(run_files.config), device="cuda")
    with pytest.raises(TrainingError, match="no CUDA device"):
        train(config, tmp_path / "run")


def test_the_rate_rises_once_and_falls_to_nothing(run_files):
    config = with_training(load_config(run_files.config), steps=100, warm_up=0.1)
    rates = [learning_rate(step, config) for step in range(100)]
    top = max(range(100), key=rates.__getitem__)
    assert 8 <= top <= 10
    assert rates[top] == config.training.learning_rate
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < 1e-3 * rates[top]
