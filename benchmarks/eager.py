"""How much faster a tile is in a model file than in PyTorch, for a checkpoint.

    python benchmarks/eager.py CHECKPOINT.ckpt [--rounds 5] [--json]

Exports a checkpoint of the published tool and computes the same tile in turns: in
PyTorch eager, as that tool does, in its plain and in its channels-last layout, and with
every runtime and precision there is on this processor. Ratios are taken round by round,
of what ran one after the other. Of each also what a tomogram of 512 x 512 x 200 voxels
would take, from its number of tiles, the largest difference of the core's scores from
eager's, and the rate of arithmetic beside that of float32 matrix products. `whole tile`
is a file that computes margins too (export/cropping.py).
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from dep.engine import DeviceError
from dep.engine.bench.matmul import matmul_rate
from dep.engine.card import ClassInfo, ModelCard
from dep.engine.onnx_cost import multiply_adds
from dep.engine.runtime.onnxruntime_cpu import OnnxRuntimeCpu
from dep.engine.runtime.openvino_cpu import OpenVinoCpu
from dep.engine.tiles import plan_tiles
from dep.export import Published, export_onnx
from dep.kernels import available_threads
from dep.train import load_checkpoint
from dep.train.deployed import DeployedNetwork

USUAL = (200, 512, 512)
EAGER = "PyTorch eager"
Call = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@contextmanager
def opened(
    checkpoint: Path, folder: Path, threads: int
) -> Iterator[tuple[ModelCard, dict[str, Call], dict[str, Path]]]:
    """Give the card, and each contender by its name, eager first; and their files."""
    network = load_checkpoint(checkpoint).network.eval()
    classes = max(1, network.config.outputs - 1)
    told = Published([ClassInfo(f"c{k}", 100.0) for k in range(classes)], 10.0)
    whole, cropped = folder / "whole.onnx", folder / "cropped.onnx"
    with mock.patch("dep.export.onnx_file.leave_out_margins", lambda one, _: one):
        export_onnx(checkpoint, whole, published=told)
    card, _ = export_onnx(checkpoint, cropped, published=told)
    calls: dict[str, Call] = {}
    files: dict[str, Path] = {}
    unfused = DeployedNetwork(network, [True] * classes).eval()
    unfused.network = network  # as that tool runs it: batch norms where they are
    calls[EAGER] = eager(unfused, torch.contiguous_format)
    last = DeployedNetwork(network, [True] * classes).eval()
    last.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    calls["PyTorch, norms folded, channels last"] = eager(last, torch.channels_last_3d)
    with ExitStack() as stack:
        for name, kind, precision, path in (
            ("ONNX Runtime, whole tile", OnnxRuntimeCpu, "f32", whole),
            ("ONNX Runtime", OnnxRuntimeCpu, "f32", cropped),
            ("OpenVINO, whole tile", OpenVinoCpu, "f32", whole),
            ("OpenVINO", OpenVinoCpu, "f32", cropped),
            ("OpenVINO bf16", OpenVinoCpu, "bf16", cropped),
        ):
            try:
                runtime = kind(
                    path, card, precision=precision, threads=threads, batch=1
                )
            except DeviceError:
                continue  # a processor without bfloat16
            stack.callback(runtime.close)
            calls[name], files[name] = runtime.infer, path
        yield card, calls, files


def eager(network: DeployedNetwork, layout: torch.memory_format) -> Call:
    """Give what computes scores in torch."""

    @torch.inference_mode()
    def call(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = network(torch.from_numpy(tiles).to(memory_format=layout))
        found: NDArray[np.float32] = scores.contiguous().numpy()
        return found

    return call


def main() -> None:
    """Export, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    with (
        tempfile.TemporaryDirectory() as folder,
        opened(words.checkpoint, Path(folder), words.threads) as (card, calls, files),
    ):
        cost = {
            name: multiply_adds(path, (card.tile,) * 3) for name, path in files.items()
        }
        rows = compared(card, calls, cost, words.rounds, words.threads)
    sys.stdout.write(json.dumps(rows, indent=1) if words.json else table(rows))
    sys.stdout.write("\n")


def compared(
    card: ModelCard,
    calls: dict[str, Call],
    cost: dict[str, int | None],
    rounds: int,
    threads: int,
) -> list[dict[str, Any]]:
    """Compute one tile with each, in turns; the order turns round with every round."""
    rng = np.random.default_rng(0)
    tile = rng.standard_normal((1, 1, *[card.tile] * 3), dtype=np.float32)
    core = (0, slice(None), *(slice(card.margin, card.tile - card.margin),) * 3)
    expected = calls[EAGER](tile)[core].copy()
    apart = {
        name: float(np.abs(call(tile)[core] - expected).max())
        for name, call in calls.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    rates = []
    for number in range(rounds):
        rates.append(matmul_rate(threads) or float("nan"))
        for name in list(calls)[:: -1 if number % 2 else 1]:
            began = time.perf_counter()
            calls[name](tile)
            seconds[name].append(time.perf_counter() - began)
    rate = statistics.median(rates)
    tiles = len(plan_tiles(USUAL, card.tile, card.margin))
    rows = []
    for name, taken in seconds.items():
        median = statistics.median(taken)
        ratios = [a / b for a, b in zip(seconds[EAGER], taken, strict=True)]
        done = cost.get(name)
        rows.append(
            {
                "name": name,
                "seconds": median,
                "times_faster": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
                "tomogram_minutes": median * tiles / 60,
                "difference": apart[name],
                "gflops": None if done is None else 2e-9 * done / median,
                "matrix_gflops": rate / 1e9,
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Lay the rows out as the documents have them."""
    lines = [
        "| | s a tile | times eager | 512 x 512 x 200, minutes | scores differ by at "
        "most | GFLOP/s |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        rate = "" if row["gflops"] is None else f"{row['gflops']:.0f}"
        lines.append(
            f"| {row['name']} | {row['seconds']:.2f} | {row['times_faster']:.2f} "
            f"({row['lowest']:.2f} to {row['highest']:.2f}) | "
            f"{row['tomogram_minutes']:.1f} | {row['difference']:.1e} | {rate} |"
        )
    lines.append(f"float32 matrix products: {rows[0]['matrix_gflops']:.0f} GFLOP/s")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
