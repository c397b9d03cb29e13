"""The training loop: batches in, reports and checkpoints out, resumable."""

import csv
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dep.train.augment import Augmentation, context
from dep.train.config import TrainConfig, config_values
from dep.train.data import PatchSampler, load_tomograms
from dep.train.state import Crop, TrainingError, TrainingState, learning_rate
from dep.train.validate import Validation, validate

REPORT_SECONDS = 1.0


@dataclass(frozen=True)
class Progress:
    """One report of the loop.

    Attributes
    ----------
    step, steps
        Done and in all.
    loss
        Mean since the last report.
    learning_rate
        Of the last step.
    seconds
        Since this run started.
    seconds_per_step
        Mean since the last report.
    validation
        Of the averaged weights, when it has just been made.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    seconds_per_step: float
    validation: Validation | None = None


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    resume: bool = False,
    init: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a network; leave `model.ckpt`, `last.ckpt`, `metrics.csv` in a folder.

    Parameters
    ----------
    config
        What to train, from `load_config`.
    out
        The run's folder.
    resume
        Go on from `last.ckpt` in that folder. Every random draw depends on the seed and
        the step alone, so a resumed run sees the batches that it would have seen.
    init
        A checkpoint whose weights to start from (same network).
    progress
        Called about once a second of work.

    Returns
    -------
    Path
        Of `model.ckpt`: averaged weights and the configuration, for `dep export`.

    Raises
    ------
    ConfigError
        If the data do not fit the configuration.
    CheckpointError
        If there is nothing to resume from or the checkpoint is of another network.
    TrainingError
        If the loss is no longer finite, or memory runs out.
    """
    out = Path(out)
    last = out / "last.ckpt"
    if last.exists() and not resume:
        msg = (
            f"{out}: holds a run already ({last.name}); go on with --resume or choose "
            "another folder with -o"
        )
        raise TrainingError(msg)
    tomograms = load_tomograms(config.data.train, config)
    held_out = load_tomograms(config.data.validate_on, config, complete=False)
    run = TrainingState(config)
    if init is not None and not resume:
        run.start_from(Path(init))
    if resume:
        run.restore(last)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config_values(config), indent=1) + "\n")

    t = config.training
    drawn = {field.name for field in dataclasses.fields(Augmentation)}
    spread = Augmentation(**config.augmentation.model_dump(include=drawn))
    sampler = PatchSampler(
        tomograms=tomograms,
        edge=t.patch + 2 * context(t.patch, spread),
        patch=t.patch,
        batch=t.batch,
        random_part=config.augmentation.random_patches,
        reach=config.picking.margin,
        seed=t.seed,
    )
    started = reported = time.perf_counter()
    losses: list[float] = []
    with _MetricsFile(out / "metrics.csv", run.step) as metrics:
        for step, crop in _prefetch(sampler, run.step, t.steps):
            losses.append(run.advance(step, crop, spread))
            now = time.perf_counter()
            finished = step + 1 == t.steps
            due = t.validate_every and (step + 1) % t.validate_every == 0
            if finished or (step + 1) % t.save_every == 0:
                run.save(last, out / "model.ckpt")
            validation = None
            if held_out and (finished or due):
                validation = validate(run.average, config, held_out, run.device)
            if (
                finished
                or validation
                or now - reported >= REPORT_SECONDS
                or (step + 1) % 50 == 0
            ):
                report = Progress(
                    step=step + 1,
                    steps=t.steps,
                    loss=sum(losses) / len(losses),
                    learning_rate=learning_rate(step, config),
                    seconds=now - started,
                    seconds_per_step=(now - reported) / len(losses),
                    validation=validation,
                )
                reported, losses = now, []
                metrics.write(report)
                if progress is not None:
                    progress(report)
    return out / "model.ckpt"


def _prefetch(
    sampler: PatchSampler, first: int, end: int
) -> Iterator[tuple[int, Crop]]:
    """Yield (step, crop), cutting the next crops while the present one is used."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = [
            pool.submit(sampler, step) for step in range(first, min(first + 2, end))
        ]
        for step in range(first, end):
            crop = ahead.pop(0).result()
            if step + 2 < end:
                ahead.append(pool.submit(sampler, step + 2))
            yield step, crop


class _MetricsFile:
    """`metrics.csv`: one line per report.

    A resumed run drops the lines of steps that it makes again.
    """

    COLUMNS = tuple(
        field.name
        for field in dataclasses.fields(Progress)
        if field.name != "validation"
    )
    VALIDATION = tuple(field.name for field in dataclasses.fields(Validation))

    def __init__(self, path: Path, first_step: int) -> None:
        kept: list[list[str]] = []
        if first_step and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))[1:]
            kept = [row for row in rows if row and int(row[0]) <= first_step]
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow([*self.COLUMNS, *self.VALIDATION])
        self._writer.writerows(kept)

    def __enter__(self) -> "_MetricsFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, report: Progress) -> None:
        values = [getattr(report, name) for name in self.COLUMNS]
        values += [getattr(report.validation, name, None) for name in self.VALIDATION]
        self._writer.writerow(
            [f"{v:.6g}" if isinstance(v, float) else v for v in values]
        )
        self._file.flush()
