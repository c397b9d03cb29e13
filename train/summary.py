"""What `summary.json` says of a run."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

from dep.train.config import TrainConfig
from dep.train.data import AnnotatedTomogram
from dep.train.history import History
from dep.train.intake import TrainingData
from dep.train.metrics_file import SCORES
from dep.train.validate import Validation


def summary(
    config: TrainConfig,
    history: History,
    data: TrainingData,
    rows: Sequence[dict[str, str]],
    step: int,
    tested: Sequence[Validation | None] = (),
) -> dict[str, Any]:
    """Return plain values that JSON can hold.

    Parameters
    ----------
    config
        Of the run.
    history
        Of its validations.
    data
        What it was trained and validated on.
    rows
        Of `metrics.csv`.
    step
        Steps made.
    tested
        Scores of `model.ckpt` on each test tomogram, at the end.
    """
    t = config.training
    best = history.best
    stopped = step < t.steps and history.exhausted(t.patience)
    scores = None if history.best_scores is None else asdict(history.best_scores)
    validated = [row for row in rows if row["f1_alpha"]]
    last: dict[str, Any] | None = None
    if validated:
        last = {name: _number(validated[-1][name]) for name in SCORES}
        last |= {
            "step": int(validated[-1]["step"]),
            "partial": validated[-1]["partial"] == "1",
        }
    return {
        "name": config.name,
        "finished": step >= t.steps or stopped,
        "stopped_early": stopped,
        "step": step,
        "steps": t.steps,
        "loss": _number(rows[-1]["loss"]) if rows else None,
        "model": {
            "file": "model.ckpt",
            "step": step if best is None else best.step,
            "chosen": "last" if best is None else "best F1_alpha",
            "scores": None if scores is None else _plain(scores),
        },
        "best": [{"file": f"best/{one.file}", **asdict(one)} for one in history.kept],
        "last_validation": last,
        "train": [_count(one, config) for one in data.train],
        "validate": [_count(one, config) for one in data.validate],
        "test": [
            _count(one, config)
            | {"scores": None if scores is None else _plain(asdict(scores))}
            for one, scores in zip_longest(data.test, tested)
        ],
    }


def _count(tomogram: AnnotatedTomogram, config: TrainConfig) -> dict[str, Any]:
    return {
        "tomogram": tomogram.name,
        "fully_annotated": tomogram.fully_annotated,
        "particles": {
            entry.name: int((tomogram.class_id == number).sum())
            for number, entry in enumerate(config.classes, start=1)
        },
    }


def _number(text: str) -> float | None:
    value = float(text or "nan")
    return value if math.isfinite(value) else None


def _plain(scores: dict[str, Any]) -> dict[str, Any]:
    # Without a hit there is no mean distance, and JSON has no NaN.
    return {k: v if math.isfinite(v) else None for k, v in scores.items()}
