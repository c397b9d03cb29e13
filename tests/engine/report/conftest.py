"""Folders of picks as `dep pick` leaves them, made without picking."""

import importlib.util
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from dep.engine import ClassInfo, Picks

# Lets the tests of this folder import their helper by name.
_NAME = "report_pages"
_spec = importlib.util.spec_from_file_location(
    _NAME, Path(__file__).with_name(f"{_NAME}.py")
)
sys.modules[_NAME] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[_NAME])

VOXEL_SIZE = 10.0
SHAPE = (24, 60, 80)  # z, y, x


def tomogram(path, shape=SHAPE, seed=0):
    """Write noise as a tomogram."""
    rng = np.random.default_rng(seed)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(rng.normal(0, 30, shape).astype(np.int8))
        mrc.voxel_size = VOXEL_SIZE
        mrc.set_volume()
    return path


@dataclass
class RunFolder:
    """A folder of picks in the making; `write` makes its record."""

    path: Path
    classes: tuple[ClassInfo, ...] = (ClassInfo("small", 80.0), ClassInfo("big", 200.0))
    entries: dict = field(default_factory=dict)
    record: dict = field(default_factory=dict)

    def add(self, name, picks=30, shape=SHAPE, source=None, file=None, **entry):
        """Add a tomogram that was picked, with so many picks or (xyz, class, score).

        Its file is written unless one is given.
        """
        rng = np.random.default_rng(len(self.entries))
        file = file or name.replace("/", "_")
        source = source or tomogram(self.path / f"{file}.mrc", shape)
        if isinstance(picks, int):
            picks = (
                rng.uniform(0, 1, (picks, 3)) * np.subtract(shape[::-1], 1),
                rng.integers(1, len(self.classes) + 1, picks),
                np.sort(rng.uniform(0.5, 1, picks).round(4))[::-1],
            )
        count = len(picks[0])
        found = Picks(
            xyz=np.array(picks[0], np.float32).reshape(-1, 3),
            class_id=picks[1],
            score=picks[2],
            classes=self.classes,
            tomogram=name,
            shape=shape,
            voxel_size=VOXEL_SIZE,
        )
        found.write(self.path / f"{file}.csv", "csv")
        state = source.stat()
        self.entries[name] = {
            "tomogram": str(source),
            "source": {
                "path": str(source),
                "bytes": state.st_size,
                "modified_ns": state.st_mtime_ns,
            },
            "model": {"name": "balls", "file": "b.onnx", "weights_digest": "d" * 64},
            "settings": {"t_seg": 0.5, "invert": False, "tile": [24, 32, 48]},
            "status": "picked",
            "picks": count,
            "classes": found.counts(),
            "size_xyz": list(shape[::-1]),
            "voxel_size": VOXEL_SIZE,
            "outputs": {"csv": f"{file}.csv"},
            "warnings": [],
            "seconds": 1.5,
            **entry,
        }
        return found

    def fail(self, name, error, status="failed"):
        """Add a tomogram that was not picked."""
        self.entries[name] = {"tomogram": name, "status": status, "error": error}

    def write(self):
        """Write `run.json` and return the folder."""
        card = {
            "name": "balls",
            "classes": [
                {"name": one.name, "diameter": one.diameter} for one in self.classes
            ],
            "trained_on": "noise & nothing",
        }
        document = {
            "run_version": 1,
            "software": "dep 0.1.0",
            "command": ["dep", "pick", "it's.mrc"],
            "started": "2026-01-02T03:04:05+00:00",
            "ended": "2026-01-02T03:05:05+00:00",
            "status": "complete",
            "models": {"d" * 64: card},
            "tomograms": self.entries,
            **self.record,
        }
        (self.path / "run.json").write_text(json.dumps(document))
        return self.path


@pytest.fixture
def make_run(tmp_path):
    """Give a function that starts a folder of picks; `write` finishes it."""

    def make(name="picks", **fields):
        folder = tmp_path / name
        folder.mkdir()
        return RunFolder(folder, **fields)

    return make


@pytest.fixture
def plain(make_run):
    """Two tomograms that were picked and one that failed."""
    run = make_run()
    run.add("TS_01")
    run.add("TS_02", picks=12, warnings=["a warning"])
    run.fail("TS_03", "the file ends early")
    return run.write()
