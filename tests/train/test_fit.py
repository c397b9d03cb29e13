"""Training lowers the loss, resumes where it stopped, and says why it cannot."""

import csv

import numpy as np
import pytest
import torch

from dep.engine.tiles import plan_tiles
from dep.train import (
    CheckpointError,
    TrainingError,
    load_checkpoint,
    load_config,
    train,
)
from dep.train.augment import Augmentation
from dep.train.data import PatchSampler
from dep.train.intake import load_data
from dep.train.learner import Learner
from dep.train.network import ResUNet3D
from dep.train.ranks import Ranks
from dep.train.state import TrainingState, learning_rate, network_config
from dep.train.validate import f1_alpha, mean_scores, validate

CPU = torch.device("cpu")


def with_training(config, **changes):
    training = config.training.model_copy(update=changes)
    return config.model_copy(update={"training": training})


def learner_of(config):
    """What is trained, without augmentation."""
    learner = Learner(TrainingState(config, CPU), Ranks())
    learner.spread = Augmentation(mirror=False, warp=0, contrast=0)
    return learner


def advance(learner, step, crop):
    """One step as Lightning makes it."""
    learner.run.prepare()
    batch = learner.on_after_batch_transfer((step, *map(torch.from_numpy, crop)), 0)
    loss = learner.training_step(batch, step)
    learner.run.optimizer.zero_grad()
    loss.backward()
    learner.run.optimizer.step()
    learner.run.settle()
    return float(loss.detach())


def weights(path):
    return load_checkpoint(path).network.state_dict()


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


def test_the_loss_falls(run_files, tmp_path):
    reports = []
    config = with_training(load_config(run_files.config), steps=50, learning_rate=2e-2)
    train(config, tmp_path / "run", progress=reports.append)
    with (tmp_path / "run/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[0]["loss"])
    assert reports[-1].step == 50 == int(rows[-1]["step"])


def test_two_runs_of_one_seed_are_one_run(run_files, tmp_path):
    config = load_config(run_files.config)
    a, b = (weights(train(config, tmp_path / name)) for name in "ab")
    assert same(a, b)
    other = train(with_training(config, seed=4), tmp_path / "c")
    assert not same(a, weights(other))


class StopError(Exception):
    """What a run ends with that is given no time to save."""


def stop_at(step):
    """Return a listener that ends a run at a step, told of before it is saved."""

    def listen(report):
        if report.step >= step:
            raise StopError

    return listen


def test_a_resumed_run_ends_where_an_unbroken_one_does(
    run_files, tmp_path, monkeypatch
):
    config = load_config(run_files.config)
    whole = weights(train(config, tmp_path / "whole"))

    monkeypatch.setattr("dep.train.watch.REPORT_SECONDS", 0.0)
    with pytest.raises(StopError):
        train(config, tmp_path / "broken", progress=stop_at(4))
    assert load_checkpoint(tmp_path / "broken/last.ckpt").step == 3
    resumed = weights(train(config, tmp_path / "broken", resume=True))
    assert same(whole, resumed)


def test_a_run_that_ends_in_its_first_step_can_go_on(run_files, tmp_path, monkeypatch):
    config = load_config(run_files.config)
    first = train(with_training(config, seed=4), tmp_path / "first")
    whole = weights(train(config, tmp_path / "whole", init=first))
    monkeypatch.setattr("dep.train.watch.REPORT_SECONDS", 0.0)
    broken = tmp_path / "broken"
    with pytest.raises(StopError):
        train(config, broken, init=first, progress=stop_at(1))
    assert load_checkpoint(broken / "last.ckpt").step == 0
    assert not (broken / "model.ckpt").exists()  # nothing is learnt yet
    assert same(whole, weights(train(config, broken, resume=True)))


def test_a_run_without_a_step_is_in_nobodys_way(run_files, tmp_path, monkeypatch):
    config = load_config(run_files.config)
    with monkeypatch.context() as patch:
        patch.setattr("dep.train.watch.REPORT_SECONDS", 0.0)
        with pytest.raises(StopError):
            train(config, tmp_path / "run", progress=stop_at(1))
    other = with_training(config, seed=4)
    train(other, tmp_path / "run")
    with pytest.raises(TrainingError, match="--resume"):
        train(other, tmp_path / "run")


def test_slow_steps_are_saved_by_the_clock(run_files, tmp_path, monkeypatch):
    monkeypatch.setattr("dep.train.watch.REPORT_SECONDS", 0.0)
    monkeypatch.setattr("dep.train.watch.SAVE_SECONDS", 0.0)
    config = with_training(load_config(run_files.config), save_every=100)
    with pytest.raises(StopError):
        train(config, tmp_path / "run", progress=stop_at(3))
    assert load_checkpoint(tmp_path / "run/last.ckpt").step == 2


def test_a_run_is_not_overwritten_nor_resumed_by_another_configuration(
    run_files, tmp_path
):
    config = load_config(run_files.config)
    train(config, tmp_path / "run")
    with pytest.raises(TrainingError, match="--resume"):
        train(config, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"differ: training\.steps"):
        train(with_training(config, steps=9), tmp_path / "run", resume=True)
    with pytest.raises(CheckpointError, match="other: holds no run to go on with"):
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
        "dep.train.learner.picking_loss",
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


def test_validation_scores_the_picks_of_the_deployed_post_processing(
    run_files, tmp_path
):
    config = with_training(load_config(run_files.config), validate_every=4)
    reports = []
    train(config, tmp_path / "run", progress=reports.append)
    validated = [r.step for r in reports if r.validation is not None]
    assert validated == [4, 6]
    with (tmp_path / "run/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["step"]) for r in rows if r["f1_alpha"]] == validated
    assert 0 <= float(rows[-1]["f1_alpha"]) <= 1


def test_perfect_scores_validate_perfectly(run_files, monkeypatch):
    """A network that knows the labels picks every reported particle."""
    config = load_config(run_files.config)
    (tomogram,) = load_data(config).train
    network = ResUNet3D(network_config(config)).eval()
    answers = iter(())

    def infer(_runtime, _tiles):
        labels = next(answers)
        one_hot = np.zeros((1, 3, *labels.shape), np.float32)
        for channel in range(3):
            one_hot[0, channel] = labels == channel
        return one_hot

    def cut(tile):
        padded = np.pad(tomogram.labels, 64)
        z, y, x = (o + 64 for o in tile.origin)
        part = padded[z : z + 24, y : y + 24, x : x + 24]
        # The bead, class 2, is not reported; b is the card's second class.
        return np.array([0, 1, 0, 2])[part]

    answers = iter([cut(t) for t in plan_tiles(tomogram.labels.shape, 24, 4)])
    monkeypatch.setattr("dep.train.runtime.TorchRuntime.infer", infer)
    result = mean_scores(validate(network, config, [tomogram], CPU))
    assert result.precision == 1
    assert result.recall >= 0.8  # particles drawn on top of each other share a pick
    assert result.class_f1 >= 0.8
    assert result.mean_distance < 1


def test_f1_alpha_is_the_papers():
    assert f1_alpha(0.8, 0.9) == pytest.approx(2 * 0.8 * 0.9**3 / (0.8 + 0.9**3))
    assert f1_alpha(0, 0) == 0


def test_the_average_follows_all_weights_and_statistics(run_files):
    """Against the moving average written out, batch norm's buffers included."""
    config = with_training(load_config(run_files.config), ema_decay=0.4)
    sampler = PatchSampler(load_data(config).train, 16, 16, 2, 0, 4, 1)
    learner = learner_of(config)
    run = learner.run
    expected = {k: v.clone() for k, v in run.average.state_dict().items()}
    for step in range(3):
        advance(learner, step, sampler(step))
        decay = min(0.4, (2 + step) / (11 + step))
        for key, new in run.network.state_dict().items():
            if new.is_floating_point():
                expected[key] = decay * expected[key] + (1 - decay) * new
            else:
                expected[key] = new.clone()
    for key, value in run.shipped()["state_dict"].items():
        torch.testing.assert_close(value, expected[key], msg=key)


def test_one_pass_over_the_weights_is_the_same_step(run_files):
    """The fused optimiser goes through memory: gradients must lie there as weights do.

    Compared are convolutions' weights. A bias before a batch norm has no gradient but
    rounding, of which AdamW makes steps.
    """
    config = load_config(run_files.config)
    sampler = PatchSampler(load_data(config).train, 16, 16, 2, 0, 4, 1)
    fused, other = learner_of(config), learner_of(config)
    assert fused.run.optimizer.defaults["fused"]
    other.run.optimizer.param_groups[0]["fused"] = False
    for step in range(3):
        for learner in (fused, other):
            advance(learner, step, sampler(step))
    ours, theirs = (list(one.network.parameters()) for one in (fused, other))
    for a, b in zip(ours, theirs, strict=True):
        longer = [k for k, length in enumerate(a.shape) if length > 1]
        assert [a.stride(k) for k in longer] == [a.grad.stride(k) for k in longer]
        if a.ndim > 1:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_the_configured_loss_is_the_one_that_is_trained(run_files):
    config = load_config(run_files.config)
    crop = PatchSampler(load_data(config).train, 16, 16, 2, 0, 4, 1)(0)
    terms = []
    names = ("dice", "cross_entropy", "class_term", "foreground")
    for name in names:
        only = dict.fromkeys(names, 0.0) | {name: 1.0}
        loss = config.loss.model_copy(update=only)
        learner = learner_of(config.model_copy(update={"loss": loss}))
        terms.append(advance(learner, 0, crop))
    whole = advance(learner_of(config), 0, crop)
    assert whole == pytest.approx(sum(terms), rel=1e-4)
    assert len({round(term, 3) for term in terms}) == len(names)


def test_metrics_of_a_resumed_run_have_each_step_once(run_files, tmp_path, monkeypatch):
    monkeypatch.setattr("dep.train.watch.REPORT_SECONDS", 0.0)
    config = load_config(run_files.config)

    def stop(report):
        if report.step == 5:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(config, tmp_path / "run", progress=stop)
    train(config, tmp_path / "run", resume=True)
    with (tmp_path / "run/metrics.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == [1, 2, 3, 4, 5, 6]
