"""Seconds of a training step of each variant, from which equal times follow."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accuracy_setup import configure
from accuracy_studies import STUDIES, Variant

from dep.train.config import TrainConfig, parse_config
from dep.train.loss import LossWeights, picking_loss
from dep.train.network import ResUNet3D
from dep.train.state import network_config

STEP_TIMES = Path(__file__).resolve().parent / "results" / "step_times.json"
# Of a patch's voxels, where only the time of a step matters.
PARTICLE_PART = 0.1


def step_seconds(variant: Variant) -> float:
    """Return the measured seconds of a step of the variant's network and batch."""
    times = json.loads(STEP_TIMES.read_text(encoding="utf-8"))
    return float(times[variant.timed_as])


def steps_for(variant: Variant, minutes: float) -> int:
    """Return how many steps fit the budget."""
    return max(1, round(60 * minutes / step_seconds(variant)))


def measure_steps(data: Path, names: list[str], rounds: int = 5) -> None:
    """Time a step of what the studies train, in turns; keep the medians.

    Parameters
    ----------
    data
        Folder of the tomograms.
    names
        Of times to take, among the variants' `timed_as`; all if empty.
    rounds
        Turns.
    """
    torch.set_num_threads(1)
    runs: dict[str, Any] = {}
    for study in STUDIES.values():
        for variant in study.variants:
            wanted = not names or variant.timed_as in names
            if wanted and variant.timed_as not in runs:
                config = parse_config(configure(variant, data, 100, 0), variant.name)
                runs[variant.timed_as] = _stepper(config)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, step in runs.items():
            start = time.perf_counter()
            step()
            if turn:  # the first builds the kernels
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    kept = json.loads(STEP_TIMES.read_text()) if STEP_TIMES.exists() else {}
    kept |= {name: round(value, 4) for name, value in medians.items()}
    STEP_TIMES.parent.mkdir(exist_ok=True)
    STEP_TIMES.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    for name, value in medians.items():
        sys.stdout.write(f"{name:24} {value:7.3f} s a step, one thread\n")


def _stepper(config: TrainConfig) -> Callable[[], None]:
    t = config.training
    network = ResUNet3D(network_config(config)).to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(network.parameters())
    edge = t.patch
    image = torch.randn(t.batch, 1, edge, edge, edge)
    labels = torch.randint(1, config.outputs, (t.batch, edge, edge, edge))
    labels[torch.rand(labels.shape) > PARTICLE_PART] = 0
    weights = LossWeights(**config.loss.model_dump())

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=t.precision == "bf16"):
            logits = network(image.to(memory_format=torch.channels_last_3d))
        loss = picking_loss(logits, labels, weights)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()

    return step
