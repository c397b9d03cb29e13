"""Trains networks on the development tomograms; scores their picks (docs/accuracy.md).

    python benchmarks/accuracy.py step-times         # first: seconds a step, by variant
    python benchmarks/accuracy.py networks --jobs 2  # a study, two trainings at once
    python benchmarks/accuracy.py table networks     # what is on record, as Markdown

Every training takes tomograms 1 to 8 of the data folder (`--data`), the thresholds are
chosen on 9, and 10 is scored once, as it is and with white noise of its own standard
deviation added. A study gives its variants the same time: the steps of each follow from
the budget and the seconds a step takes, measured in turns (A B C A B C ...) beforehand
and kept beside the results. Each finished run is one line of `accuracy.jsonl`; runs on
record are not repeated.

Each training has one thread: two at a time use two cores better than one with two.
"""

import argparse
import copy
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy_studies import STUDIES, Study, Variant
from accuracy_tables import table
from numpy.typing import NDArray
from torch import Tensor, nn

import dep
from dep.engine import ModelCard, open_volume
from dep.engine.metrics import Evaluation, evaluate
from dep.engine.normalise import Normaliser, measure
from dep.engine.pipeline import stream
from dep.engine.runtime.choose import open_runtime
from dep.engine.runtime.protocol import Runtime
from dep.engine.settings import PickSettings
from dep.engine.tiles import plan_tiles
from dep.engine.truth import Truth, read_truth
from dep.engine.volume import Volume
from dep.export import export_onnx
from dep.kernels import deduplicate
from dep.train.allocator import keep_freed_memory
from dep.train.config import TrainConfig, parse_config
from dep.train.fit import train
from dep.train.loss import LossWeights, picking_loss
from dep.train.network import NetworkConfig, ResUNet3D

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "train" / "recipes" / "simulated12.toml"
RESULTS = HERE / "results" / "accuracy.jsonl"
STEP_TIMES = HERE / "results" / "step_times.json"
# Tomograms from this number on are our own simulator's.
SECOND_SOURCE = 1000
SECOND_FOLDER = HERE.parent / "runs" / "second_source"
# Searched on the validation tomogram, for every variant alike.
T_SEG = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
T_LM = (0.1, 0.25, 0.4)
# Of a patch's voxels, where only the time of a step matters.
PARTICLE_PART = 0.1


def configure(variant: Variant, data: Path, steps: int, seed: int) -> dict[str, Any]:
    """Return the recipe's values with the variant's changes."""
    values: dict[str, Any] = tomllib.loads(RECIPE.read_text(encoding="utf-8"))
    values["data"] = {
        # A thinned-out annotation says nothing about the other places.
        "fully_annotated": variant.particles is None,
        "train": [_source(data, number) for number in variant.train_on],
        "validate": [_source(data, 9)],
    }
    values["training"].update(
        steps=steps, seed=seed, save_every=steps, threads=1, validate_every=0
    )
    for key, value in variant.changes.items():
        target = values
        *sections, last = key.split(".")
        for section in sections:
            target = target.setdefault(section, {})
        target[last] = copy.deepcopy(value)
    return values


def _source(data: Path, number: int) -> dict[str, Any]:
    stem = data / "tomograms" / f"tomo_{number:04d}"
    if number >= SECOND_SOURCE:  # of train/recipes/second_source.py
        stem = SECOND_FOLDER / f"sim_{number}"
    return {
        "tomogram": str(stem.with_suffix(".mrc")),
        "coordinates": str(stem.with_suffix(".csv")),
    }


def annotate(values: dict[str, Any], variant: Variant, seed: int, folder: Path) -> None:
    """Thin out or displace the annotated centres, as the variant says."""
    if variant.particles is None and variant.displaced == (0.0, 0.0):
        return
    rng = np.random.default_rng([seed, 77])
    diameters = {
        one["name"]: one["diameter"] / values["voxel_size"] for one in values["classes"]
    }
    missing = set(diameters)  # whoever annotates 50 particles shows each class once
    for source in values["data"]["train"]:
        with Path(source["coordinates"]).open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["class"] in diameters]
        if variant.particles is not None:
            share = variant.particles // len(values["data"]["train"])
            drawn = [rows[k] for k in rng.permutation(len(rows))]
            if variant.particles < 10 * len(diameters):
                drawn = _first_of_each(drawn, missing)
            rows = drawn[:share]
            missing -= {row["class"] for row in rows}
        shape = open_volume(source["tomogram"]).shape
        for row in rows:
            radius = diameters[row["class"]] / 2
            step = rng.normal(size=3)
            step *= radius * rng.uniform(*variant.displaced) / np.linalg.norm(step)
            for axis, size, moved in zip("xyz", shape[::-1], step, strict=True):
                row[axis] = f"{np.clip(float(row[axis]) + moved, 0, size - 1):.3f}"
        path = folder / Path(source["coordinates"]).name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        source["coordinates"] = str(path)


def _first_of_each(
    rows: list[dict[str, str]], classes: set[str]
) -> list[dict[str, str]]:
    """Move the first particle of each of `classes` to the front."""
    first = {row["class"]: row for row in reversed(rows) if row["class"] in classes}
    front = list(first.values())
    return front + [row for row in rows if row not in front]


class Replay:
    """A runtime that computes each tile once and then repeats what it computed."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._scores: list[NDArray[Any]] = []
        self._next = 0
        self.batch, self.threads = 1, runtime.threads
        self.name, self.device = runtime.name, runtime.device
        self.precision = runtime.precision

    def rewind(self) -> None:
        """Start again with the first tile."""
        self._next = 0

    def infer(self, tiles: NDArray[np.float32]) -> NDArray[Any]:
        """Compute or repeat."""
        if self._next == len(self._scores):
            self._scores.append(np.array(self._runtime.infer(tiles)))
        self._next += 1
        return self._scores[self._next - 1]

    def interrupt(self) -> None:
        """End the call at hand."""
        self._runtime.interrupt()

    def close(self) -> None:
        """Release the network."""
        self._runtime.close()


def score(
    runtime: Runtime,
    card: ModelCard,
    volume: Volume,
    truth: Truth,
    settings: PickSettings,
) -> Evaluation:
    """Pick a tomogram and evaluate the picks."""
    stats = measure(volume)
    found = stream(
        volume,
        Normaliser(stats.mean, 1 / stats.std),
        plan_tiles(volume.shape, card.tile, card.margin),
        runtime,
        settings,
        background=card.activation == "softmax",
    ).candidates
    xyz = np.concatenate([part.xyz for part in found])
    class_id = np.concatenate([part.class_id for part in found])
    kept = deduplicate(
        xyz, np.concatenate([part.score for part in found]), settings.t_dist
    )
    return evaluate(
        xyz[kept],
        class_id[kept],
        truth.xyz,
        truth.class_id,
        [one.diameter / volume.voxel_size for one in card.classes],
    )


def figures(result: Evaluation) -> dict[str, float]:
    """Return what the tables show."""
    found = result.localisation
    return {
        "precision": round(found.precision, 4),
        "recall": round(found.recall, 4),
        "f1": round(found.f1, 4),
        "class_f1": round(result.mean_class_f1, 4),
        "distance": round(result.mean_distance, 3),
    }


def examine(model: Path, data: Path, card: ModelCard) -> dict[str, Any]:
    """Choose thresholds on tomogram 9; score 10, as it is and with noise."""
    chosen = PickSettings.of(card)
    with_thresholds: dict[tuple[float, float], float] = {}
    out: dict[str, Any] = {}
    for number in (9, 10):
        path = data / "tomograms" / f"tomo_{number:04d}.mrc"
        volume = open_volume(path)
        truth = read_truth(
            path.with_suffix(".csv"),
            card.classes,
            shape=volume.shape,
            voxel_size=volume.voxel_size,
        )
        runtime = open_runtime(model, card, precision="f32", threads=1)
        try:
            if number == 9:
                replay = Replay(runtime)
                for t_seg in T_SEG:
                    for t_lm in T_LM:
                        replay.rewind()
                        settings = PickSettings.of(card, t_seg=t_seg, t_lm=t_lm)
                        result = score(replay, card, volume, truth, settings)
                        with_thresholds[t_seg, t_lm] = (
                            result.localisation.f1 + result.mean_class_f1
                        )
                best = max(with_thresholds, key=lambda key: with_thresholds[key])
                chosen = PickSettings.of(card, t_seg=best[0], t_lm=best[1])
                replay.rewind()
                out["t_seg"], out["t_lm"] = best
                out["validation"] = figures(score(replay, card, volume, truth, chosen))
                continue
            clean = score(runtime, card, volume, truth, chosen)
            out["test"] = figures(clean)
            stats = measure(volume)
            noise = (
                np.random.default_rng(10)
                .normal(0, stats.std, volume.shape)
                .astype(np.float32)
            )
            noisy = Volume(
                volume.array.astype(np.float32) + noise, volume.voxel_size, "noisy"
            )
            out["noisy"] = figures(score(runtime, card, noisy, truth, chosen))
        finally:
            runtime.close()
    return out


def cost(config: TrainConfig) -> dict[str, float]:
    """Return parameters, and multiply-adds per owned voxel at the variant's tile."""
    network = ResUNet3D(_network(config)).eval()
    total = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        w = module.get_parameter("weight")
        if isinstance(module, nn.ConvTranspose3d):
            spread = int(np.prod(module.stride))
            total += output[0, 0].numel() * w.numel() // spread
        else:
            total += output[0, 0].numel() * w.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(count)
    edge, margin = config.picking.tile, config.picking.margin
    with torch.no_grad():
        network(torch.zeros(1, 1, edge, edge, edge))
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "kmac_per_owned_voxel": round(total / (edge - 2 * margin) ** 3 / 1e3, 1),
    }


def _network(config: TrainConfig) -> NetworkConfig:
    return NetworkConfig(outputs=config.outputs, **config.network.model_dump())


def one(study: Study, variant: Variant, seed: int, data: Path, keep: Path) -> None:
    """Train and score one variant; append the result."""
    steps = variant.steps or steps_for(variant, study.minutes)
    start = time.perf_counter()
    name = f"{study.name}-{variant.name}-{seed}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        values = configure(variant, data, steps, seed)
        annotate(values, variant, seed, folder)
        config = parse_config(values, name, base=data)
        init = None if variant.init is None else keep / variant.init / "model.ckpt"
        checkpoint = train(config, keep / name, init=init)
        trained = time.perf_counter() - start
        model = folder / "model.onnx"
        card, _ = export_onnx(checkpoint, model)
        row = {
            "study": study.name,
            "variant": variant.name,
            "seed": seed,
            "steps": steps,
            "minutes_at_measured_step_time": round(
                steps * step_seconds(variant) / 60, 2
            ),
            "wall_minutes_beside_other_work": round(trained / 60, 2),
            **cost(config),
            **examine(model, data, card),
            "software": dep.__version__,
        }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


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
    network = ResUNet3D(_network(config)).to(memory_format=torch.channels_last_3d)
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


def on_record() -> list[dict[str, Any]]:
    """Return all results."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", help=f"step-times, table, {', '.join(STUDIES)}")
    parser.add_argument(
        "names", nargs="*", help="variants (table: studies; step-times: times to take)"
    )
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared/data")
    parser.add_argument("--keep", type=Path, default=Path("runs"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, help="one run in this process")
    options = parser.parse_args()
    if options.what == "step-times":
        keep_freed_memory()
        measure_steps(options.data, options.names)
        return
    if options.what == "table":
        for name in options.names or STUDIES:
            sys.stdout.write(table(STUDIES[name], on_record()) + "\n")
        return
    study = STUDIES[options.what]
    wanted = [v for v in study.variants if not options.names or v.name in options.names]
    if options.seed is not None:
        keep_freed_memory()
        for variant in wanted:
            one(study, variant, options.seed, options.data, options.keep)
        return
    done = {(row["study"], row["variant"], row["seed"]) for row in on_record()}
    queue = [
        (variant.name, seed)
        for variant in wanted
        for seed in variant.seeds
        if (study.name, variant.name, seed) not in done
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(item: tuple[str, int]) -> None:
        command = [
            sys.executable,
            __file__,
            study.name,
            item[0],
            "--seed",
            str(item[1]),
        ]
        command += ["--data", str(options.data), "--keep", str(options.keep)]
        subprocess.run(command, check=True, env=environment)

    with ThreadPoolExecutor(options.jobs) as pool:
        for item, future in [(item, pool.submit(run, item)) for item in queue]:
            if future.exception() is not None:
                sys.stderr.write(f"{study.name} {item}: {future.exception()}\n")


if __name__ == "__main__":
    main()
