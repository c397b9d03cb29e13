"""`dep train`: train a network from one configuration file."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dep.cli.failure import (
    FAILED,
    WRONG_USE,
    fail,
    guarded,
    listen_for_termination,
    need,
)

if TYPE_CHECKING:
    from dep.train.fit import Progress


@guarded
def train(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.toml", help="What to train, and on what.", readable=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder of the run (default: runs/CONFIG's name).",
            readable=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in that folder.")
    ] = False,
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT", help="Start from these weights.", readable=False
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress.")
    ] = False,
) -> None:
    """Train a network on annotated tomograms and leave a checkpoint for `dep export`.

    Needs the extra `train`. A run that was stopped goes on with --resume; Ctrl-C
    loses only the steps since the last checkpoint.
    """
    need(("torch", "pydantic"), "train", "training")
    from dep.cli.progress import reporting
    from dep.train.checkpoint import CheckpointError
    from dep.train.config import ConfigError, load_config
    from dep.train.fit import train as fit
    from dep.train.state import TrainingError

    if resume and init is not None:
        fail("--resume and --init exclude each other", WRONG_USE)
    folder = out or Path("runs") / config.stem
    try:
        settings = load_config(config)
    except ConfigError as error:
        fail(str(error), WRONG_USE)
    listen_for_termination()
    with reporting(quiet) as reporter:
        reporter.begin(settings.name, 1, 1)
        facts: dict[str, float] = {}

        def show(report: "Progress") -> None:
            facts["loss"] = round(report.loss, 4)
            if report.validation is not None:
                scores = asdict(report.validation)
                # Without a hit there is no mean distance, and JSON has no NaN.
                facts.update({k: v for k, v in scores.items() if math.isfinite(v)})
            reporter.advance(report.step, report.steps, **facts)

        try:
            checkpoint = fit(settings, folder, resume=resume, init=init, progress=show)
        except (CheckpointError, ConfigError, TrainingError) as error:
            fail(str(error), FAILED)
        reporter.done(settings.name, checkpoint=str(checkpoint), **facts)
    typer.echo(f"checkpoint: {checkpoint}")
    typer.echo(f"next:       dep export {checkpoint} -o {settings.name}.onnx")
