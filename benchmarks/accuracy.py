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
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy_scoring import examine
from accuracy_setup import annotate, configure
from accuracy_steps import measure_steps, step_seconds, steps_for
from accuracy_studies import STUDIES, Study, Variant
from accuracy_tables import table
from torch import Tensor, nn

import dep
from dep.export import export_onnx
from dep.train.allocator import keep_freed_memory
from dep.train.config import TrainConfig, parse_config
from dep.train.fit import train
from dep.train.network import ResUNet3D
from dep.train.state import network_config

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "accuracy.jsonl"


def cost(config: TrainConfig) -> dict[str, float]:
    """Return parameters, and multiply-adds per owned voxel at the variant's tile."""
    network = ResUNet3D(network_config(config)).eval()
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
