"""Fixtures: a network in NumPy with a known field of view; a simulated GPU."""

import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest


def local_scores(tiles, reach=2):
    """Score tiles (b, 1, N, N, N) -> (b, 3, N, N, N): dark and bright blobs.

    A voxel's scores depend on voxels at most `reach` away and are computed in the same
    order wherever it lies, so that they are equal to the last bit in every tile.
    """
    padded = np.pad(tiles, [(0, 0), (0, 0)] + [(reach, reach)] * 3)
    for axis in range(3):
        total = np.zeros_like(padded)
        for step in range(-reach, reach + 1):
            total += np.roll(padded, step, 2 + axis)
        padded = total / np.float32(2 * reach + 1)
    inner = (slice(reach, -reach),) * 3
    smooth = padded[:, 0, *inner]
    dark = np.clip(-smooth, 0, 1)
    bright = np.clip(smooth, 0, 1)
    background = np.float32(1) - np.maximum(dark, bright)
    return np.stack([background, dark, bright], axis=1)


@dataclass
class FakeRuntime:
    """Computes `local_scores`; keeps to the protocol's word on who owns the scores."""

    batch: int = 1
    threads: int = 2
    name: str = "fake 1"
    device: str = "cpu"
    precision: str = "f32"
    free: bool = False
    failure: BaseException | None = None
    after: int = 0
    calls: int = 0
    closed: bool = False
    interrupted: bool = False
    given: list = field(default_factory=list)

    def infer(self, tiles):
        assert tiles.flags.c_contiguous
        assert 1 <= len(tiles) <= self.batch
        self.calls += 1
        if self.failure is not None and self.calls > self.after:
            raise self.failure
        # Scores of the call before the last one may be overwritten by now: they are.
        if len(self.given) == 2:
            self.given.pop(0).fill(np.nan)
        scores = local_scores(tiles)
        self.given.append(scores)
        return scores

    def interrupt(self):
        self.interrupted = True

    def close(self):
        self.closed = True


@pytest.fixture(scope="session")
def fake():
    """Give the class of the fake runtime."""
    return FakeRuntime


@pytest.fixture(scope="session")
def scores_of():
    """Give the function that the fake runtime computes."""
    return local_scores


def load(name, path):
    """Import a file of helpers by its path."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Give simulated GPUs: `gpu(...)`, `network(...)`, and the class of a `stream`."""
    here = Path(__file__).parent
    module = load("simulated_gpu", here / "simulated_gpu.py")
    shim = load("shim_device", here.parent / "kernels" / "shim" / "shim_device.py")
    libraries = shim.compile_kernels(tmp_path_factory.mktemp("shim"))
    return SimpleNamespace(
        gpu=lambda **options: module.SimulatedGpu(shim, libraries, **options),
        network=module.SimulatedNetwork,
        stream=module.SimulatedStream,
    )


@pytest.fixture
def world(monkeypatch, tmp_path, tiny_model, simulated):
    """A plan file, a device, and a TensorRT whose next engine can be chosen."""
    module = load("tensorrt_standin", Path(__file__).parent / "tensorrt_standin.py")
    return module.make_world(monkeypatch, tmp_path, tiny_model, simulated)
