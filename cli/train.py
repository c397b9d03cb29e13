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
    say,
    words_of,
)
from dep.cli.starter import write_configuration

if TYPE_CHECKING:
    from dep.train.config import TrainConfig
    from dep.train.fit import Progress

NEEDED = ("torch", "pydantic", "pytorch_lightning", "matplotlib")


@guarded
def train(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONFIG.toml",
            help="What to train, and on what.",
            show_default=False,
            readable=False,
        ),
    ] = None,
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
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="Start from these weights: a checkpoint, an .onnx file of `dep "
            'export`, or "bundled" for the model that dep comes with. Classes are '
            "found by name.",
        ),
    ] = None,
    init_config: Annotated[
        Path | None,
        typer.Option(
            "--init-config",
            metavar="FOLDER",
            help="Train nothing: write a first configuration for the tomograms and "
            "coordinates in this folder, to -o (default: train.toml).",
            readable=False,
        ),
    ] = None,
    diameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=ÅNGSTRÖM",
            help="With --init-config: how wide the particles of a class are.",
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress.")
    ] = False,
) -> None:
    """Train a network on annotated tomograms and leave a checkpoint for `dep export`.

    Needs the extra `train`. A run that was stopped goes on with --resume: Ctrl-C saves
    first, and a run that was killed goes on from its last checkpoint.
    """
    if init_config is not None:
        if config is not None or resume or init is not None:
            fail("--init-config goes with -o and --diameter alone", WRONG_USE)
        write_configuration(init_config, out or Path("train.toml"), diameter or [])
        return
    if config is None or diameter:
        fail("expected CONFIG.toml, or --init-config FOLDER to write one", WRONG_USE)
    need(NEEDED, "train", "training")
    from dep.cli.progress import reporting
    from dep.train.allocator import keep_freed_memory
    from dep.train.checkpoint import CheckpointError
    from dep.train.config import ConfigError
    from dep.train.fit import train as fit
    from dep.train.state import TrainingError

    if resume and init is not None:
        fail("--resume and --init exclude each other", WRONG_USE)
    folder = out or Path("runs") / config.stem
    settings = _read(config, folder, resume=resume, init=init)
    listen_for_termination()
    keep_freed_memory()
    facts: dict[str, float] = {}
    with reporting(quiet) as reporter:
        reporter.begin(settings.name, 1, 1)

        def show(report: "Progress") -> None:
            if report.note:
                say(report.note)
                return
            facts["loss"] = round(report.loss, 4)
            if report.validation is not None:
                scores = asdict(report.validation)
                partial = scores.pop("partial")
                # Without a hit there is no mean distance, and JSON has no NaN.
                facts.update({k: v for k, v in scores.items() if math.isfinite(v)})
                if partial:
                    facts["precision_at_least"] = facts.pop("precision")
            reporter.advance(report.step, report.steps, **facts)

        try:
            checkpoint = fit(settings, folder, resume=resume, init=init, progress=show)
        except ConfigError as error:
            # Such as voxels that are no numbers: found where all of them are read.
            fail(words_of(error), WRONG_USE)
        except (CheckpointError, TrainingError) as error:
            fail(words_of(error), FAILED)
        except KeyboardInterrupt:
            if (folder / "last.ckpt").exists():
                again = f"dep train {config} -o {folder} --resume"
                say(f"what is saved goes on with: {again}")
            raise
        reporter.done(settings.name, checkpoint=str(checkpoint), **facts)
    typer.echo(f"checkpoint: {checkpoint}")
    typer.echo(f"run:        {folder / 'summary.json'}, curves.png, overlay_*.png")
    typer.echo(f"next:       dep export {checkpoint} -o {settings.name}.onnx")


def _read(path: Path, folder: Path, *, resume: bool, init: str | None) -> "TrainConfig":
    """Read the configuration, with the network of the weights where it has none."""
    from dep.engine.errors import ModelError
    from dep.train.checkpoint import CheckpointError
    from dep.train.config import ConfigError, load_config
    from dep.train.init_weights import default_network

    try:
        network = default_network(folder / "last.ckpt", resume=resume, init=init)
    except (CheckpointError, ModelError) as error:
        fail(words_of(error), FAILED)
    try:
        return load_config(path, network, also=_lacking)
    except ConfigError as error:
        fail(words_of(error), WRONG_USE)


def _lacking(config: "TrainConfig") -> list[str]:
    """Say what this machine lacks for the training."""
    from dep.train.ranks import choose_device
    from dep.train.state import TrainingError

    try:
        choose_device(config)
    except TrainingError as error:
        return [str(error)]
    return []
