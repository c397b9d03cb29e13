"""What folding the coordinate channels of a published checkpoint saves.

    python benchmarks/folding.py CHECKPOINT.ckpt [--runs 5]

Exports it twice, with and without folding (export/coordinates.py), and computes the
same tile with both files in turns: the median of the ratios of neighbouring runs, which
other work on the machine disturbs least.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

from dep.engine.card import ClassInfo, ModelCard
from dep.engine.runtime.onnxruntime_cpu import OnnxRuntimeCpu
from dep.engine.runtime.openvino_cpu import OpenVinoCpu
from dep.export import Published, export_onnx
from dep.kernels import available_threads
from dep.train import load_checkpoint


def main() -> None:
    """Export, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--runs", type=int, default=5, help="of each file and runtime")
    words = parser.parse_args()
    count = max(1, load_checkpoint(words.checkpoint).network.config.outputs - 1)
    told = Published([ClassInfo(f"c{k}", 100.0) for k in range(count)], 10.0)
    with tempfile.TemporaryDirectory() as folder:
        plain, folded = Path(folder) / "plain.onnx", Path(folder) / "folded.onnx"
        with mock.patch("dep.export.onnx_file.fold_coordinates", lambda one, _: one):
            export_onnx(words.checkpoint, plain, published=told)
        card, _ = export_onnx(words.checkpoint, folded, published=told)
        sizes = [path.stat().st_size / 1e6 for path in (plain, folded)]
        say(f"files: {sizes[0]:.1f} MB, folded {sizes[1]:.1f} MB; tile {card.tile}")
        for runtime in (OnnxRuntimeCpu, OpenVinoCpu):
            measure(runtime, (plain, folded), card, words.runs)


def measure(
    kind: Callable[..., OnnxRuntimeCpu | OpenVinoCpu],
    files: tuple[Path, Path],
    card: ModelCard,
    runs: int,
) -> None:
    """Compute a tile with both files in turns, and print what that took."""
    rng = np.random.default_rng(0)
    tile = rng.standard_normal((1, 1, *[card.tile] * 3), dtype=np.float32)
    threads = available_threads()
    opened, opening = [], []
    for path in files:
        began = time.perf_counter()
        opened.append(kind(path, card, precision="f32", threads=threads, batch=1))
        opened[-1].infer(tile)  # what is prepared on first use is prepared now
        opening.append(time.perf_counter() - began)
    seconds: tuple[list[float], list[float]] = ([], [])
    for run in range(runs):
        for which in (0, 1) if run % 2 else (1, 0):
            began = time.perf_counter()
            opened[which].infer(tile)
            seconds[which].append(time.perf_counter() - began)
    ratios = [b / a for a, b in zip(*seconds, strict=True)]
    plain, folded = (statistics.median(one) for one in seconds)
    say(
        f"{opened[0].name}, {threads} threads: {plain:.2f} s a tile, folded "
        f"{folded:.2f} s; ratio {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}); opened and first tile "
        f"{opening[0]:.1f} s, folded {opening[1]:.1f} s"
    )
    for one in opened:
        one.close()


def say(words: str) -> None:
    """Write one line."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
