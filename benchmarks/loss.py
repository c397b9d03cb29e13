"""Times the loss of a training step: its sums left to autograd, and as they are.

    python benchmarks/loss.py                # train/recipes/fast.toml
    python benchmarks/loss.py --threads 1    # on a busy machine: threads do not wait
    python benchmarks/loss.py --memory       # steps where glibc returns what is freed

Both ways are taken in turns within one process, forward and backward, beside a whole
step of the recipe's network; ratios are medians over rounds of the ratio within a
round. `--memory` starts processes in turns, one with `keep_freed_memory` and one
without, and compares the medians of their steps, pair by pair.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from dep.kernels import available_threads
from dep.train.allocator import keep_freed_memory
from dep.train.config import TrainConfig, parse_config
from dep.train.loss import LossWeights, picking_loss
from dep.train.network import ResUNet3D
from dep.train.softmax_sums import Sums, softmax_sums
from dep.train.state import network_config

RECIPE = Path(__file__).resolve().parents[1] / "train" / "recipes" / "fast.toml"
PARTICLE_PART = 0.1  # of a patch's voxels


def by_autograd(logits: Tensor, target: Tensor) -> Sums:
    """Return the sums with as few passes as automatic differentiation allows."""
    log_p = torch.log_softmax(logits, 1)
    at_label = log_p.gather(1, target.unsqueeze(1)).squeeze(1)
    p, foreground = log_p.exp(), target > 0
    q = 1 - p[:, 0]
    overlap = logits.new_zeros(logits.shape[1])
    among = log_p[:, 1:].movedim(1, -1)[foreground]
    return Sums(
        p.square().sum((0, 2, 3, 4)),
        overlap.index_add(0, target.flatten(), at_label.exp().flatten()),
        -at_label.sum(),
        q.square().sum(),
        (q * foreground).sum(),
        (torch.logsumexp(among, -1) - at_label[foreground]).sum(),
    )


def loss(sums: Sums) -> Tensor:
    """Weigh the sums somehow: the weights do not change what they cost."""
    return torch.cat([x.flatten() for x in sums]).sum()


def prepare(config: TrainConfig) -> tuple[dict[str, Callable[[], None]], Tensor]:
    """Return what is timed, by name, and the logits that it takes."""
    t = config.training
    shape = (t.batch, t.patch, t.patch, t.patch)
    target = torch.randint(1, config.outputs, shape)
    target[torch.rand(shape) > PARTICLE_PART] = 0
    image = torch.randn(t.batch, 1, *shape[1:])
    image = image.to(memory_format=torch.channels_last_3d)
    network = ResUNet3D(network_config(config))
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    weights = LossWeights(**config.loss.model_dump())
    logits = network(image).detach().requires_grad_()

    def automatic() -> None:
        torch.autograd.grad(loss(by_autograd(logits, target)), logits)

    def by_hand() -> None:
        torch.autograd.grad(loss(softmax_sums(logits, target, None)), logits)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(picking_loss(network(image), target, weights))
        optimizer.step()

    return {"autograd": automatic, "by hand": by_hand, "whole step": step}, logits


def time_in_turns(
    runs: dict[str, Callable[[], None]], rounds: int
) -> dict[str, list[float]]:
    """Return seconds of each, a value a round; a first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(above: list[float], below: list[float]) -> str:
    """Return the median of the paired ratios, and their range."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


def compare_memory(arguments: list[str], pairs: int) -> None:
    """Start processes in turns, with and without kept memory; print their steps."""
    found: dict[str, list[float]] = {"kept": [], "returned": []}
    for _ in range(pairs):
        for way, seconds in found.items():
            done = subprocess.run(
                [sys.executable, __file__, *arguments, "--steps", way],
                check=True,
                capture_output=True,
                text=True,
            )
            seconds.append(float(json.loads(done.stdout)))
    for way, seconds in found.items():
        median = statistics.median(seconds) * 1e3
        sys.stdout.write(f"step, freed memory {way:10} {median:8.1f} ms\n")
    sys.stdout.write(
        f"kept / returned: {ratio(found['kept'], found['returned'])}, {pairs} pairs\n"
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--steps", choices=("kept", "returned"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        arguments = ["--recipe", str(options.recipe), "--threads", str(options.threads)]
        compare_memory(arguments, options.rounds)
        return
    if options.steps != "returned":
        keep_freed_memory()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    values = tomllib.loads(options.recipe.read_text(encoding="utf-8"))
    config = parse_config(values, str(options.recipe))
    runs, logits = prepare(config)
    if options.steps:
        seconds = time_in_turns({"step": runs["whole step"]}, options.rounds)["step"]
        sys.stdout.write(json.dumps(statistics.median(seconds)))
        return
    found = time_in_turns(runs, options.rounds)
    sys.stdout.write(f"logits {tuple(logits.shape)}, {options.threads} threads\n")
    for name, times in found.items():
        sys.stdout.write(f"{name:12} {statistics.median(times) * 1e3:8.1f} ms\n")
    sys.stdout.write(
        f"by hand / autograd: {ratio(found['by hand'], found['autograd'])}\n"
        f"by hand / step:     {ratio(found['by hand'], found['whole step'])}\n"
    )


if __name__ == "__main__":
    main()
