"""The training of one configuration: data, network and Trainer brought together."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer

from dep.train.augment import context
from dep.train.checkpoint import CheckpointError, load_last
from dep.train.config import TrainConfig
from dep.train.data import AnnotatedTomogram, PatchSampler
from dep.train.init_weights import (
    Initial,
    calibrate,
    load_initial,
    remap,
    started_from,
    with_network,
)
from dep.train.intake import TrainingData, load_data
from dep.train.launch import launch
from dep.train.learner import Batches, Crop, Learner, augmentation
from dep.train.loggers import check_loggers
from dep.train.metrics_file import Progress
from dep.train.ranks import (
    Ranks,
    choose_device,
    count_devices,
    find_ranks,
    precision_notes,
    use_threads,
)
from dep.train.records import Records
from dep.train.remedies import more_memory, out_of_memory
from dep.train.run_folder import RunFolder
from dep.train.same_data import refuse_other_data
from dep.train.state import TrainingError, TrainingState
from dep.train.stopping import Interruption
from dep.train.trainer import make_trainer, quiet
from dep.train.watch import Watch

__all__ = ["Progress", "train", "train_rank"]

MEASURED = 4  # batches whose statistics folded batch norms are given


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    resume: bool = False,
    init: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train a network and leave a run folder (docs/training.md names its files).

    With `training.devices` above 1, one process for each is started from here, unless
    srun or torchrun has started them.

    Parameters
    ----------
    config
        What to train, from `load_config`.
    out
        The run's folder.
    resume
        Go on from `last.ckpt` in that folder. Every random draw depends on the seed,
        the step and the process alone, so a resumed run sees the batches that it would
        have seen, and on a CPU ends with the same weights bit for bit.
    init
        Weights to start from: a checkpoint of ours or of the published tool, a model
        file of ours (.onnx), or "bundled". Classes are found by name. Where the
        configuration has no [network], theirs is taken.
    progress
        Called about once a second of work.

    Returns
    -------
    Path
        Of `model.ckpt`: averaged weights, of the best validation where there is one,
        and the configuration, for `dep export`.

    Raises
    ------
    ConfigError
        If the data do not fit the configuration.
    CheckpointError
        If there is nothing to resume from or to start from, or it is of another
        network.
    TrainingError
        If the loss is no longer finite, memory runs out, or the devices asked for are
        not there, or a logger.
    KeyboardInterrupt
        On Ctrl-C, after the state was saved.
    """
    folder = RunFolder(Path(out))
    device = choose_device(config)
    check_loggers(config)
    devices = count_devices(config, device)
    ranks = find_ranks(devices, config.training.nodes)
    if not resume and _holds_steps(folder.last):
        msg = (
            f"{folder.path}: holds a run already ({folder.last.name}); go on with "
            "--resume or choose another folder with -o"
        )
        raise TrainingError(msg)
    if ranks is None:
        launch(config, folder.path, devices, resume, init, progress)
        return folder.model
    return train_rank(config, folder, ranks, device, resume, init, progress)


def train_rank(
    config: TrainConfig,
    folder: RunFolder,
    ranks: Ranks,
    device: str,
    resume: bool,
    init: str | Path | None,
    progress: Callable[[Progress], None] | None,
) -> Path:
    """Do the part of one process of a training, see `train`."""
    with ExitStack() as held:
        if ranks.first and resume and folder.path.is_dir():
            held.enter_context(folder.held())
        initial = None
        if init is not None and not resume:
            initial = load_initial(init)
            config = with_network(config, initial.network.config)
        use_threads(config, ranks)
        place = torch.device(device)
        if device == "cuda":
            place = torch.device(device, ranks.local)
        checkpoint = load_last(folder.last) if resume else None
        if checkpoint is not None:
            # A run that was started from other weights may have taken their network.
            config = with_network(config, checkpoint.network.config)
        run = TrainingState(config, place)
        kept = run.restore(checkpoint, folder.last) if checkpoint is not None else {}
        data = load_data(config)
        if "trained_on" in kept:
            refuse_other_data(kept["trained_on"], data.train, folder.last)
        cut = sampler_of(config, data.train, ranks)
        notes = [*precision_notes(config, device), *data.warnings]
        if initial is not None:
            notes += _start(run, initial, data.train)
        if ranks.first and not resume:
            held.enter_context(folder.held())
        if ranks.first:
            folder.begin(config, place, ranks.world, run.started_from)
        _make_steps(Learner(run, ranks), folder, data, cut, kept, notes, progress)
    return folder.model


def _make_steps(
    learner: Learner,
    folder: RunFolder,
    data: TrainingData,
    cut: Callable[[int], Crop],
    kept: dict[str, Any],
    notes: list[str],
    progress: Callable[[Progress], None] | None,
) -> None:
    """Train to the end, with all that watches over it and records it."""
    run, ranks = learner.run, learner.ranks
    config = run.config
    with Interruption() as interruption, quiet():
        records = Records(config, folder, run.step, ranks.first, progress, run.notes)
        watch = Watch(learner, folder, data, interruption, kept, records)
        status = "failed"
        try:
            for note in notes:
                records.say(note, run.step)
            _run(watch, make_trainer(config, run.device, ranks, watch), cut)
            watch.conclude()
            status = "success"
        except (MemoryError, RuntimeError) as error:
            if out_of_memory(error):
                msg = more_memory(config, validating=watch.validating)
                raise TrainingError(msg) from error
            raise
        finally:
            records.close(status)


def _holds_steps(last: Path) -> bool:
    """Say whether a run's `last.ckpt` is there to lose: not before its first step."""
    try:
        return last.exists() and load_last(last).step > 0
    except CheckpointError:
        return True  # damaged, perhaps, and not ours to replace


def sampler_of(
    config: TrainConfig, tomograms: list[AnnotatedTomogram], ranks: Ranks
) -> Callable[[int], Crop]:
    """Return what cuts the batch of a step of a training, on one rank."""
    t = config.training
    sampler = PatchSampler(
        tomograms=tomograms,
        edge=t.patch + 2 * context(t.patch, augmentation(config)),
        patch=t.patch,
        batch=t.batch,
        random_part=config.augmentation.random_patches,
        reach=config.picking.margin,
        seed=t.seed,
        jitter=config.augmentation.jitter,
    )
    return lambda step: sampler(step, ranks.rank, ranks.world)


def _start(
    run: TrainingState, initial: Initial, tomograms: list[AnnotatedTomogram]
) -> list[str]:
    """Take other weights; return what a person should know of them."""
    weights, notes = remap(initial, run.network, run.config)
    run.start_from(weights)
    run.started_from = started_from(initial, run.config)
    if initial.folded:
        edge = run.config.training.patch
        # The same batches on every rank: all start with one network and one average.
        cut = sampler_of(run.config, tomograms, Ranks())

        def forward() -> None:
            for step in range(MEASURED):
                image = torch.from_numpy(cut(step)[0])
                border = (image.shape[-1] - edge) // 2
                inner = slice(border, border + edge)
                run.network(image[:, :, inner, inner, inner].to(run.device))

        calibrate(run.network, forward)
        run.start_from(run.network.state_dict())
    return notes


def _run(watch: Watch, trainer: Trainer, cut: Callable[[int], Crop]) -> None:
    """Make the steps that are left; on Ctrl-C, save."""
    run = watch.run
    steps = run.config.training.steps
    try:
        if run.step >= steps and watch.ranks.first:
            watch.catch_up()
        if watch.finished:
            return
        batches = Batches(cut, run.step, steps, run.device.type)
        with torch.backends.cudnn.flags(enabled=True, deterministic=True):
            trainer.fit(watch.learner, train_dataloaders=batches)
    except SystemExit as stop:
        # What Lightning makes of a KeyboardInterrupt.
        interrupt = stop.__context__
        if not isinstance(interrupt, KeyboardInterrupt):
            raise
        watch.save_if_whole()
        raise interrupt from None
    except KeyboardInterrupt:
        watch.save_if_whole()
        raise
