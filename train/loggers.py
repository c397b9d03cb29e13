"""Loggers that the reports of a run go to besides `metrics.csv`: Lightning's own."""

import math
import os
import secrets
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from dep.train.config import TrainConfig, config_values
from dep.train.metrics_file import COLUMNS, Progress
from dep.train.sections import LoggerName
from dep.train.state import TrainingError
from dep.train.validate import Validation

# Any of these modules makes a logger work; the first is what to install.
MODULES: dict[LoggerName, tuple[str, ...]] = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
}
PROJECT = "dep"  # of Weights & Biases, where WANDB_PROJECT does not say another


def check_loggers(config: TrainConfig) -> None:
    """See that the packages of all loggers asked for are there.

    Raises
    ------
    TrainingError
        Naming those that are not, and how to install them.
    """
    missing = [
        MODULES[name][0]
        for name in config.training.loggers
        if not any(map(find_spec, MODULES[name]))
    ]
    if missing:
        msg = (
            f"training.loggers names {' and '.join(missing)}, not installed here; pip "
            f"install {' '.join(missing)}, or leave it out (metrics.csv and "
            "curves.png are always written)"
        )
        raise TrainingError(msg)


class Loggers:
    """The loggers of one run, opened.

    A logger that fails on the way is dropped, with a remark: a training outlives it.

    Parameters
    ----------
    config
        Of the run; goes to the loggers as hyperparameters.
    folder
        Of the run: `tensorboard` and `wandb` are made in it.
    step
        Where the run goes on from; what TensorBoard was told of later steps before is
        hidden.

    Raises
    ------
    TrainingError
        If one cannot be opened.
    """

    def __init__(self, config: TrainConfig, folder: Path, step: int) -> None:
        self._open: dict[LoggerName, Logger] = {}
        for name in config.training.loggers:
            try:
                logger = self._open[name] = _MAKE[name](config, folder, step)
                # Opened now, and not with the first report: what keeps it from
                # working shows before the training starts.
                logger.log_hyperparams(config_values(config))
                logger.save()
            except Exception as error:
                self.close()
                msg = (
                    f"training.loggers: {name} cannot be opened: {error}; mend that or "
                    "leave it out"
                )
                raise TrainingError(msg) from error

    def write(self, report: Progress) -> Sequence[str]:
        """Hand a report on; return remarks about loggers that were dropped."""
        remarks = []
        for name, logger in list(self._open.items()):
            try:
                logger.log_metrics(measures(report), step=report.step)
            except Exception as error:  # noqa: BLE001 - whatever others' code raises
                remarks.append(
                    f"{name} failed at step {report.step}, and is told no more: {error}"
                )
                remarks += self._close(name, "failed")
        return remarks

    def close(self, status: str = "failed") -> Sequence[str]:
        """Close all: "success", or "failed", as Lightning calls it; return remarks."""
        return [note for name in list(self._open) for note in self._close(name, status)]

    def _close(self, name: LoggerName, status: str) -> list[str]:
        logger = self._open.pop(name)
        try:
            logger.finalize(status)
            if isinstance(logger, WandbLogger):
                logger.experiment.finish(exit_code=int(status != "success"))
        except Exception as error:  # noqa: BLE001 - whatever others' code raises
            return [f"{name} could not be closed: {error}"]
        return []


def measures(report: Progress) -> dict[str, float]:
    """Return the numbers of a report by name; scores as ``validation/NAME``."""
    values = {
        name: getattr(report, name) for name in COLUMNS if name not in ("step", "steps")
    }
    if report.validation is not None:
        values |= {
            f"validation/{name}": float(getattr(report.validation, name))
            for name in Validation.__dataclass_fields__
        }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _tensorboard(_: TrainConfig, folder: Path, step: int) -> Logger:
    return TensorBoardLogger(
        folder,
        name="tensorboard",
        version="",
        default_hp_metric=False,
        purge_step=step + 1,
    )


def _wandb(config: TrainConfig, folder: Path, step: int) -> Logger:
    wandb = import_module("wandb")
    place = folder / "wandb"
    place.mkdir(exist_ok=True)
    # A resumed run goes on in the same one there.
    kept = place / "run_id.txt"
    if not step or not kept.exists():
        kept.write_text(secrets.token_hex(4) + "\n", encoding="utf-8")
    logger = WandbLogger(
        name=config.name,
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        save_dir=folder,
        id=kept.read_text(encoding="utf-8").strip(),
        resume="allow",
        # Its words would go between ours, and it would copy ours to its server.
        settings=wandb.Settings(silent=True, console="off"),
    )
    # What cannot begin is not there to be closed, which would begin it again.
    _ = logger.experiment
    return logger


_MAKE = {"tensorboard": _tensorboard, "wandb": _wandb}
