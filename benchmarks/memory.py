"""Measures the memory that picking a large tomogram takes above the loaded model.

Makes a float32 tomogram of noise and dark blobs in a temporary folder, plane by plane,
opens the bundled model, has the system forget the peak so far, picks, and says what the
peak was made of: memory of its own (anonymous), and pages of mapped files.

    python benchmarks/memory.py                 # 1024 x 1024 x 512, 2.1 GB on disk
    python benchmarks/memory.py --depth 128 --network # thinner, the real network
    python benchmarks/memory.py --keep-pages    # as if no page were ever let go
    python benchmarks/memory.py --json          # for programs

Without --network the model computes one tile, which takes what its activations need and
keeps it, and everything else is a threshold on voxels: minutes instead of hours. Only
on Linux, whose /proc tells.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from dep.engine import Picker, Volume, mapped_pages, open_volume
from dep.engine.resample import ResampledVolume
from dep.engine.slab import Layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dep.engine.runtime import Runtime
    from dep.engine.settings import PickSettings
    from dep.engine.tiles import TilePlan

MIB = 1 << 20
KEYS = {"VmRSS": "rss", "RssAnon": "anonymous", "RssFile": "file", "RssShmem": "shared"}
SPACING, RADIUS = 40, 3  # voxels between blobs, and of a blob


class Threshold:
    """Looks like the model's runtime, and calls voxels below -4 deviations class 1."""

    def __init__(self, runtime: Runtime, classes: int) -> None:
        self.batch, self.threads = runtime.batch, runtime.threads
        self.name, self.device, self.precision = "threshold", "cpu", "f32"
        self._channels = classes + 1
        self._turn = 0
        self._scores: list[NDArray[np.float32] | None] = [None, None]

    def infer(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give scores (b, C, z, y, x), good until the call after the next."""
        self._turn ^= 1
        scores = self._scores[self._turn]
        if scores is None or scores.shape[0] != len(tiles):
            scores = np.zeros((len(tiles), self._channels, *tiles.shape[2:]), "f4")
            self._scores[self._turn] = scores
        np.multiply(tiles[:, 0] < -4, np.float32(0.9), out=scores[:, 1])
        np.subtract(np.float32(1), scores[:, 1], out=scores[:, 0])
        return scores

    def interrupt(self) -> None:
        """Do nothing: a call takes milliseconds."""

    def close(self) -> None:
        """Do nothing."""


class Sampler:
    """Samples this process's memory, and remembers the sample with the most."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {"rss": 0}
        self.highest: dict[str, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.01):
            now = memory()
            if now["rss"] > self.most["rss"]:
                self.most = now
            for key, value in now.items():
                self.highest[key] = max(value, self.highest.get(key, 0))


def status(key: str) -> int:
    """Read one line of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    message = f"/proc/self/status has no {key}"
    raise SystemExit(message)


def memory() -> dict[str, int]:
    """Say how many bytes are resident, in all and by kind."""
    return {name: status(key) for key, name in KEYS.items()}


def write_tomogram(path: Path, shape: tuple[int, int, int], voxel_size: float) -> None:
    """Write noise with dark blobs on a grid, a plane at a time."""
    depth, height, width = shape
    header = np.zeros(1, HEADER_DTYPE)
    header["nx"], header["ny"], header["nz"] = width, height, depth
    header["mx"], header["my"], header["mz"] = width, height, depth
    header["mode"], header["ispg"], header["nversion"] = 2, 1, 20140
    header["map"] = mrcfile.constants.MAP_ID
    header["machst"] = [0x44, 0x44, 0, 0]
    for axis, length in zip("xyz", (width, height, depth), strict=True):
        header["cella"][axis] = length * voxel_size
        header["cellb"]["alpha"] = header["cellb"]["beta"] = 90
        header["cellb"]["gamma"] = 90
    rng = np.random.default_rng(2024)
    near = (np.arange(max(height, width)) + SPACING // 2) % SPACING - SPACING // 2
    square = near[:height, None] ** 2 + near[None, :width] ** 2
    with path.open("wb") as file:
        file.write(header.tobytes())
        for z in range(depth):
            plane = rng.standard_normal((height, width), np.float32)
            far = (z + SPACING // 2) % SPACING - SPACING // 2
            plane[square + far**2 <= RADIUS**2] -= 9
            plane.tofile(file)


def measure(words: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make the tomogram, pick it, and say what that took; bytes and seconds."""
    shape = (words.depth, words.height, words.width)
    with Picker(words.engine, device="cpu", threads=words.threads) as picker:
        card = picker.card
        path = folder / "large.mrc"
        write_tomogram(path, shape, card.voxel_size * (1.25 if words.rescale else 1))
        with open_volume(path) as volume:
            seen: Volume | ResampledVolume = volume
            if words.rescale:
                seen = ResampledVolume(volume, card.voxel_size)
            plan = picker.tiling.plan(seen.shape, seen.held)
        before = memory()
        if not words.network:
            runtime = picker.runtime
            runtime.infer(np.zeros((1, 1, *plan.tile), np.float32))
            network = memory()["rss"] - before["rss"]
            picker.runtime = Threshold(runtime, len(card.classes))
        if words.keep_pages:
            mapped_pages.DONT_NEED = None
        Path("/proc/self/clear_refs").write_text("5")
        began = time.perf_counter()
        with Sampler() as sampler:
            picks = picker.pick(path, rescale=words.rescale)
        seconds = time.perf_counter() - began
        peak = status("VmHWM")
        result = {
            "shape": shape,
            "bytes_on_disk": path.stat().st_size,
            "model": card.name,
            "network": words.network,
            "pages_let_go": not words.keep_pages,
            "loaded_model": before["rss"],
            "peak": peak,
            "above_loaded_model": peak - before["rss"],
            "at_the_peak": {
                kind: sampler.most[kind] - before[kind]
                for kind in ("anonymous", "file", "shared")
            },
            "most_file_pages": sampler.highest["file"] - before["file"],
            "seconds": seconds,
            "picks": len(picks),
            "tile": plan.tile,
            **parts(plan, picks.settings, picker.runtime.batch),
        }
        if not words.network:
            result["one_tile_of_the_network"] = network
            picker.runtime = runtime
        return result


def parts(plan: TilePlan, settings: PickSettings, batch: int) -> dict[str, int]:
    """Say how many bytes the slab, the tiles and a layer's planes are known to take."""
    depth, height, width = plan.shape
    return {
        "slab": 2 * Layers(plan, settings).planes * height * width,
        "tiles": 2 * batch * 4 * math.prod(plan.tile),
        "planes_of_a_layer": min(depth, plan.tile[0]) * height * width * 4,
    }


def table(found: dict[str, Any]) -> str:
    """Lay the result out for reading."""
    depth, height, width = found["shape"]
    at = found["at_the_peak"]
    rows = [
        ("loaded model", found["loaded_model"]),
        ("peak above it", found["above_loaded_model"]),
        ("  at that time anonymous", at["anonymous"]),
        ("  at that time of files", at["file"]),
        ("  at that time shared", at["shared"]),
        ("most of files at any time", found["most_file_pages"]),
        ("known: slab of labels", found["slab"]),
        ("known: two batches of tiles", found["tiles"]),
        ("known: planes of a layer", found["planes_of_a_layer"]),
    ]
    if "one_tile_of_the_network" in found:
        rows.append(("the network, for one tile", found["one_tile_of_the_network"]))
    lines = [
        f"{width} x {height} x {depth}, {found['bytes_on_disk'] / 1e9:.2f} GB on disk, "
        f"{'the real network' if found['network'] else 'a threshold as network'}, "
        f"tiles of {found['tile']} (z, y, x), {found['picks']} picks in "
        f"{found['seconds']:.0f} s",
        *(f"{name:<30}{size / MIB:>9.0f} MiB" for name, size in rows),
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--width", type=int, default=1024, help="voxels along x")
    parser.add_argument("--height", type=int, default=1024, help="voxels along y")
    parser.add_argument("--depth", type=int, default=512, help="voxels along z")
    parser.add_argument("--engine", metavar="MODEL", help="default: the bundled one")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--network", action="store_true", help="compute the model")
    parser.add_argument("--rescale", action="store_true", help="from coarser voxels")
    parser.add_argument("--keep-pages", action="store_true", help="let go of nothing")
    parser.add_argument("--folder", type=Path, help="of the tomogram (default: TMPDIR)")
    parser.add_argument("--json", action="store_true", help="for programs")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=words.folder) as folder:
        found = measure(words, Path(folder))
    sys.stdout.write(json.dumps(found, indent=1) if words.json else table(found))
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
