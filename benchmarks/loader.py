"""Times what comes before the network in a training step, beside the whole step.

Crops are cut and normalised from a memory-mapped tomogram, augmented, and trained on by
a recipe's network: loss, gradient, optimiser and moving average. All in one process, in
turns (A B C A B C ...), so that what disturbs the machine disturbs all alike; a share
is the median over rounds of the share within a round. The tomogram is made up, of a
size and crowding like the recipe's own.

    python benchmarks/loader.py              # train/recipes/fast.toml, or --recipe
    python benchmarks/loader.py --threads 1  # on a busy machine: threads do not wait
    python benchmarks/loader.py --small      # in seconds, for CI: no word on speed
    python benchmarks/loader.py --json       # for programs

A step waits for augmentation, and for cutting only where the thread that cuts ahead has
no processor of its own; here both count. Processor time is that of all threads,
including what they spend waiting for each other.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from dep.kernels import available_threads
from dep.train.allocator import keep_freed_memory
from dep.train.augment import Augmentation, augment, context
from dep.train.config import parse_config
from dep.train.data import AnnotatedTomogram, PatchSampler
from dep.train.labels import weak_labels
from dep.train.loss import LossWeights, picking_loss
from dep.train.network import NetworkConfig, ResUNet3D

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dep.train.config import TrainConfig

    Parts = dict[str, Callable[[int], object]]
    Seconds = NDArray[np.float64]  # (2,): of the clock, of the processors

RECIPE = Path(__file__).parents[1] / "train" / "recipes" / "fast.toml"
SHAPE = (128, 256, 256)
PARTICLES = 250
NOTHING = Augmentation(mirror=False, warp=0, noise=0, contrast=0, gamma=0, blur=0)
# What the recipe leaves off is timed at these values.
TYPICAL = {"gamma": 0.3, "blur": 1.0, "noise": 0.4, "contrast": 0.1}


def made_up(
    folder: Path, config: TrainConfig, shape: tuple[int, int, int], particles: int
) -> AnnotatedTomogram:
    """Write noise to a file, map it, and label random places."""
    rng = np.random.default_rng(0)
    path = folder / "voxels"
    rng.integers(-60, 60, shape, dtype=np.int8).tofile(path)
    xyz = rng.uniform(0, np.array(shape[::-1]) - 1, (particles, 3))
    ids = rng.integers(1, len(config.classes) + 1, particles)
    return AnnotatedTomogram(
        name="noise",
        voxels=np.memmap(path, np.int8, "r", shape=shape),
        mean=-0.5,
        std=34.6,
        labels=weak_labels(shape, xyz, ids, config.label_diameters, config.labels.kind),
        xyz=xyz.astype(np.float32),
        class_id=ids.astype(np.uint8),
    )


def training_step(
    config: TrainConfig, image: torch.Tensor, labels: torch.Tensor
) -> Callable[[int], object]:
    """Return a step of the recipe's network on patches that are ready."""
    t = config.training
    torch.manual_seed(0)
    shape = NetworkConfig(outputs=config.outputs, **config.network.model_dump())
    network = ResUNet3D(shape).to(memory_format=torch.channels_last_3d)
    average = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    terms = {field.name for field in dataclasses.fields(LossWeights)}
    weights = LossWeights(**config.loss.model_dump(include=terms))
    image = image.to(memory_format=torch.channels_last_3d)

    def step(_: int) -> object:
        with torch.autocast("cpu", torch.bfloat16, enabled=t.precision == "bf16"):
            logits = network(image)
        loss = picking_loss(logits, labels, weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        torch._foreach_lerp_(average, [p.detach() for p in network.parameters()], 0.01)
        return loss

    return step


def parts_of(config: TrainConfig, tomogram: AnnotatedTomogram) -> Parts:
    """Return what is timed: cutting, augmentation by options, and the network."""
    t = config.training
    drawn = {field.name for field in dataclasses.fields(Augmentation)}
    recipe = Augmentation(**config.augmentation.model_dump(include=drawn))
    sampler = PatchSampler(
        tomograms=[tomogram],
        edge=t.patch + 2 * context(t.patch, recipe),
        patch=t.patch,
        batch=t.batch,
        random_part=config.augmentation.random_patches,
        reach=config.picking.margin,
        seed=0,
        jitter=config.augmentation.jitter,
    )
    image, labels = (torch.from_numpy(part) for part in sampler(0))

    def augmented(spread: Augmentation) -> Callable[[int], object]:
        return lambda k: augment(
            image, labels, t.patch, spread, torch.Generator().manual_seed(k)
        )

    typical = {name: getattr(recipe, name) or v for name, v in TYPICAL.items()}
    options = {
        "cut alone": NOTHING,
        "mirror": dataclasses.replace(NOTHING, mirror=True),
        "warp": dataclasses.replace(recipe, noise=0, contrast=0, gamma=0, blur=0),
        **{
            name: dataclasses.replace(NOTHING, **{name: value})
            for name, value in typical.items()
        },
        "every option": dataclasses.replace(recipe, **typical),
    }
    ready = augment(image, labels, t.patch, recipe, torch.Generator().manual_seed(0))
    return {
        "cut": sampler,
        "augment": augmented(recipe),
        **{f"augment: {name}": augmented(spread) for name, spread in options.items()},
        "network": training_step(config, *ready),
    }


def in_turns(parts: Parts, rounds: int) -> list[dict[str, Seconds]]:
    """Time each part once a round, after a round that does not count."""
    times = []
    for k in range(rounds + 1):
        seconds = {}
        for name, run in parts.items():
            start = time.perf_counter(), time.process_time()
            run(k)
            end = time.perf_counter(), time.process_time()
            seconds[name] = np.subtract(end, start)
        times.append(seconds)
    return times[1:]


def summary(times: list[dict[str, Seconds]]) -> list[dict[str, float | str]]:
    """Medians of seconds, and of shares of a step: cut, augment and network."""
    steps = np.array([one["cut"] + one["augment"] + one["network"] for one in times])
    columns = {name: np.array([one[name] for one in times]) for name in times[0]}
    columns["cut + augment"] = columns["cut"] + columns["augment"]
    columns["step"] = steps
    rows: list[dict[str, float | str]] = []
    for name, seconds in columns.items():
        medians = np.median(seconds, axis=0).tolist()
        shares = np.median(seconds / steps, axis=0).tolist()
        row = dict(zip(("seconds", "processor_seconds"), medians, strict=True))
        row |= dict(zip(("share", "processor_share"), shares, strict=True))
        rows.append({"part": name, **row})
    return rows


def main() -> int:
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="a configuration")
    parser.add_argument("--small", action="store_true", help="tiny patches, for CI")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--rounds", type=int, default=15, help="rounds that count")
    parser.add_argument("--threads", type=int, default=available_threads())
    options = parser.parse_args()

    values = tomllib.loads(options.recipe.read_text(encoding="utf-8"))
    if options.small:
        values["training"].update(patch=16, batch=2)
        values["network"].update(widths=[4, 8], coordinates=False)
    config = parse_config(values, str(options.recipe))
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as `dep train` does
    with tempfile.TemporaryDirectory() as folder:
        shape = (32, 48, 48) if options.small else SHAPE
        tomogram = made_up(
            Path(folder), config, shape, 40 if options.small else PARTICLES
        )
        rows = summary(in_turns(parts_of(config, tomogram), options.rounds))
    t = config.training
    if options.json:
        facts = {"threads": options.threads, "batch": t.batch, "patch": t.patch}
        facts |= {"precision": t.precision, "recipe": options.recipe.name}
        sys.stdout.write(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
        return 0
    sys.stdout.write(
        f"{options.recipe.name}: batch {t.batch} x {t.patch}^3, {t.precision}, "
        f"{options.threads} threads; medians of {options.rounds} rounds\n\n"
        f"{'':<24}{'clock':^26}{'processors':^26}\n"
        f"{'part':<24}{'ms':>12}{'% of a step':>14}{'ms':>12}{'% of a step':>14}\n"
    )
    for row in rows:
        sys.stdout.write(
            f"{row['part']:<24}{1e3 * row['seconds']:>12.1f}{row['share']:>14.2%}"
            f"{1e3 * row['processor_seconds']:>12.1f}{row['processor_share']:>14.2%}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
