"""Trains on the GPU: what a step takes, of which stages, and that it learns.

The tomogram is made up (`tomogram`), the network and the patches are those of the
bundled model `standard`.
"""

import csv
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpu import tomogram
from gpu.context import Context
from gpu.machine import need, need_torch

if TYPE_CHECKING:
    from dep.train.config import TrainConfig

WIDTHS, PATCH, BATCHES = [32, 64, 96, 128], 48, (4, 16)
PRECISIONS = ("fp32", "bf16", "fp16")
SHAPE = (128, 192, 192)
STEPS = 100  # of a whole training
SETTLED = 40  # steps that do not count: the first build kernels
ROUNDS = 12  # of the stages
TRAINING_SECONDS = 10  # that must be left to begin one
FALLEN = 0.9  # of the first loss, what a training must get below


def run(context: Context) -> None:
    """Take a step apart, then train in every precision."""
    torch = need_torch()
    need("pytorch_lightning")
    need("dep.train.fit")
    context.value("torch", torch.__version__)
    write_data(context.scratch)
    for batch in BATCHES:
        stages(context, config_of(context.scratch, "fp32", batch))
    for precision, batch in itertools.product(PRECISIONS, BATCHES):
        if context.left() < TRAINING_SECONDS:
            left = f"from {precision}, batch {batch} on: no time was left"
            context.value("left out", left)
            break
        whole(context, config_of(context.scratch, precision, batch))


def write_data(folder: Path, shape: tuple[int, int, int] = SHAPE) -> None:
    """Write a tomogram and where its particles are."""
    voxels, centres = tomogram.make_with_centres(shape)
    np.save(folder / "made.npy", voxels)
    rows = [f"ball,{x},{y},{z}" for z, y, x in centres]
    text = "\n".join(["class,x,y,z", *rows, ""])
    (folder / "made.csv").write_text(text, encoding="utf-8")


def config_of(
    folder: Path,
    precision: str,
    batch: int,
    place: str = "cuda",
    steps: int = STEPS,
    **network: Any,  # noqa: ANN401
) -> "TrainConfig":
    """Describe a training on the tomogram in a folder."""
    from dep.train.config import parse_config

    size = {"patch": PATCH, **network}
    files = {"tomogram": f"{folder}/made.npy", "coordinates": f"{folder}/made.csv"}
    values = {
        "name": f"{precision}-{batch}",
        "voxel_size": 10.0,
        "contrast": "dark",
        "classes": [{"name": "ball", "diameter": 110}],
        "network": {
            "widths": size.get("widths", WIDTHS),
            "coordinates": False,
            "stem_stride": 2,
        },
        "training": {
            "steps": steps,
            "batch": batch,
            "patch": size["patch"],
            "learning_rate": 2e-3,
            "precision": precision,
            "device": place,
        },
        "picking": {"tile": size["patch"], "margin": size["patch"] // 6},
        "data": {"fully_annotated": True, "train": [files]},
    }
    return parse_config(values, "gpu_check")


def whole(context: Context, config: "TrainConfig") -> None:
    """Train as `dep train` does; a failure is a row and a fault, not the end."""
    from dep.train.fit import train

    t = config.training
    cells: dict[str, Any] = {"precision": t.precision, "batch": t.batch}
    out = context.scratch / f"run-{config.name}"
    began = time.perf_counter()
    try:
        train(config, out)
    except Exception as error:  # noqa: BLE001 - whatever a library makes of it
        note = f"{type(error).__name__}: {error}"[:300]
        context.row("trainings", **cells, note=note)
        context.fault(f"training in {t.precision}, batch {t.batch}: {note}")
        return
    seconds = time.perf_counter() - began
    with (out / "metrics.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    settled = [row for row in rows if int(row["step"]) > min(SETTLED, t.steps // 2)]
    first, last = float(rows[0]["loss"]), float(rows[-1]["loss"])
    context.row(
        "trainings",
        **cells,
        steps=t.steps,
        ms_a_step=1e3
        * statistics.median(float(r["seconds_per_step"]) for r in settled),
        seconds=seconds,
        first_loss=first,
        last_loss=last,
    )
    if not last < FALLEN * first:
        words = f"loss {first:.3f} became {last:.3f} only"
        context.fault(f"training in {t.precision}, batch {t.batch}: {words}")


def stages(context: Context, config: "TrainConfig", rounds: int = ROUNDS) -> None:
    """Time the stages of a step one by one, the device idle before and after each.

    In a training the host runs ahead of the device where it can, and cuts batches
    meanwhile: stages add up to more than a step.
    """
    import torch

    from dep.train.fit import sampler_of
    from dep.train.intake import load_data
    from dep.train.learner import Learner
    from dep.train.ranks import Ranks
    from dep.train.state import TrainingState

    t = config.training
    place = torch.device(t.device)
    learner = Learner(TrainingState(config, place), Ranks())
    learner.network.train()
    cut = sampler_of(config, load_data(config).train, Ranks())
    wait = torch.cuda.synchronize if place.type == "cuda" else _nothing
    for deterministic in (True, False):
        took: dict[str, list[float]] = {}
        with torch.backends.cudnn.flags(enabled=True, deterministic=deterministic):
            for step in range(rounds + 3):
                one = _step(learner, cut, step, place, wait)
                if step >= 3:  # the first build kernels
                    for name, seconds in one.items():
                        took.setdefault(name, []).append(1e3 * seconds)
        context.row(
            "stages, ms",
            batch=t.batch,
            deterministic=deterministic,
            **{name: statistics.median(values) for name, values in took.items()},
        )


def _step(
    learner: Any,  # noqa: ANN401 - a Learner, which needs torch
    cut: Callable[[int], Any],
    step: int,
    place: Any,  # noqa: ANN401
    wait: Callable[[], None],
) -> dict[str, float]:
    """Make a step; give the seconds of its stages."""
    import torch

    from dep.train.trainer import GRADIENT_NORM

    took: dict[str, float] = {}
    held: dict[str, Any] = {}

    def stage(name: str, work: Callable[[], Any]) -> None:
        wait()
        began = time.perf_counter()
        held[name] = work()
        wait()
        took[name] = time.perf_counter() - began

    optimizer = learner.run.optimizer
    stage("cut", lambda: [torch.from_numpy(one) for one in cut(step)])
    stage("copy", lambda: [one.to(place) for one in held["cut"]])
    batch = (step, *held["copy"])
    stage("augment", lambda: learner.on_after_batch_transfer(batch, 0))
    stage("forward", lambda: learner.training_step(held["augment"], step))
    stage("backward", lambda: held["forward"].backward())
    stage(
        "clip",
        lambda: torch.nn.utils.clip_grad_norm_(
            learner.network.parameters(), GRADIENT_NORM
        ),
    )
    stage("optimiser", optimizer.step)
    stage("average", learner.run.settle)
    optimizer.zero_grad()
    return took


def _nothing() -> None:
    """Where work is done when its call returns."""
