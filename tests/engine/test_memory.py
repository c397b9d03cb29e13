"""Picking takes the memory of the planes at hand, not that of the tomogram's file."""

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from dep.engine import open_volume
from dep.engine.normalise import measure
from dep.engine.resample import ResampledVolume

MAPS, PAGEMAP = Path("/proc/self/maps"), Path("/proc/self/pagemap")
MIB = 1 << 20

pytestmark = pytest.mark.skipif(
    not PAGEMAP.exists() or not hasattr(mmap, "MADV_DONTNEED"),
    reason="the system does not say, or does not let go",
)


def resident(path):
    """Say how many bytes of a mapped file are in the memory of this process."""
    # Not from smaps, for which the kernel walks all pages that the process has.
    found = 0
    with PAGEMAP.open("rb") as pages:
        for line in MAPS.read_text(errors="replace").splitlines():
            if line.endswith(str(path)):
                start, end = (int(one, 16) for one in line.split()[0].split("-"))
                pages.seek(start // mmap.PAGESIZE * 8)
                entries = np.frombuffer(
                    pages.read((end - start) // mmap.PAGESIZE * 8), np.uint64
                )
                found += int((entries >> np.uint64(63)).sum())  # bit 63: present
    return found * mmap.PAGESIZE


@pytest.fixture(params=["f4", "i1"], scope="module")
def path(request, tmp_path_factory):
    shape = (200, 200, 250) if request.param == "f4" else (400, 400, 250)
    voxels = np.random.default_rng(0).normal(0, 20, 1_000_003).clip(-99, 99)
    path = tmp_path_factory.mktemp("memory") / "tomogram.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.resize(voxels.astype(request.param), shape))
        mrc.voxel_size = 10.0
    return path


# The system maps what surrounds a page that is read as well: up to a large page (2 MiB)
# of its cache, on either side of the planes. So this much may be there too.
SLACK = 6 * MIB


def test_planes_that_were_passed_are_let_go(path):
    with open_volume(path) as volume:
        depth = volume.shape[0]
        volume.array.max()
        assert resident(path) > 0.9 * volume.array.nbytes  # or the test tests nothing
        for z in range(0, depth, 8):
            planes = volume.read(z, z + 8)
            planes.max()
            assert resident(path) < planes.nbytes + SLACK


def test_planes_that_are_read_again_stay(path):
    """Or else every tile of a layer would read the file anew."""
    with open_volume(path) as volume:
        planes = volume.read(30, 60)
        planes.max()
        before = resident(path)
        assert before >= planes.nbytes
        volume.read(30, 60)
        assert resident(path) == before


def test_views_of_what_was_let_go_are_good(path):
    with open_volume(path) as volume:
        expected = volume.array.copy()
        early, late = volume.read(0, 30), volume.read(100, 130)
        volume.read(60, 61)
        np.testing.assert_array_equal(early, expected[:30])
        np.testing.assert_array_equal(late, expected[100:130])


def test_statistics_take_the_memory_of_a_plane(path):
    with open_volume(path) as volume:
        measure(volume)
        assert resident(path) < SLACK


def test_resampling_holds_no_more_of_the_file_than_it_mixes(path):
    with open_volume(path) as volume:
        seen = ResampledVolume(volume, 12.0, window=16)
        for z in range(0, seen.shape[0] - 16, 8):
            seen.read(z, z + 16)
            assert resident(path) < 4 * volume.array[0].nbytes + SLACK


def test_an_array_of_ones_own_is_left_alone(tmp_path):
    """A private map holds what was written to it, and nobody else does."""
    own = np.memmap(tmp_path / "own", np.int8, "w+", shape=(64, 100, 100))
    own.flush()
    private = np.memmap(tmp_path / "own", np.int8, "c", shape=own.shape)
    private[:] = 7
    with open_volume(private, 10.0) as volume:
        volume.read(60, 64)
    assert (private == 7).all()


PICK = """
import json, sys
from pathlib import Path
import numpy as np
from dep.engine import Picker

class Runtime:
    batch, threads, name, device, precision = 1, 1, "fake", "cpu", "f32"

    def infer(self, tiles):
        background = np.where(tiles[:, 0] < -6, np.float32(0.1), np.float32(0.9))
        return np.stack([background, 1 - background, 0 * background], axis=1)

    def close(self):
        pass

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))

model, small, large, rescale = sys.argv[1:]
options = {"rescale": True, "voxel_size": 10.5} if rescale == "rescale" else {}
with Picker(model, threads=1) as picker:
    picker.runtime.close()
    picker.runtime = Runtime()
    picker.pick(small, **options)  # what a process takes once
    Path("/proc/self/clear_refs").write_text("5")  # the peak is forgotten
    before = status("VmRSS")
    picks = picker.pick(large, **options)
    print(json.dumps({"grew": status("VmHWM") - before, "picks": len(picks)}))
"""


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK),
    reason="the system does not forget a peak",
)
@pytest.mark.parametrize("rescale", ["plain", "rescale"])
def test_the_peak_of_picking_is_that_of_a_slab(make_model, tmp_path, rescale):
    """64 MB of voxels; a layer of tiles and its labels are 16 MB, or 26 resampled."""
    model = make_model(tmp_path / "model.onnx", tile=48, margin=4)
    rng = np.random.default_rng(0)
    for name, depth in (("small", 48), ("large", 400)):
        voxels = rng.normal(0, 1, (depth, 200, 200)).astype("f4")
        voxels[20:24, 20:24, 20:24] -= 9
        with mrcfile.new(tmp_path / f"{name}.mrc") as mrc:
            mrc.set_data(voxels)
            mrc.voxel_size = 10.0
    done = subprocess.run(
        [
            *(sys.executable, "-c", PICK, str(model)),
            *(str(tmp_path / f"{name}.mrc") for name in ("small", "large")),
            rescale,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["picks"] >= 1
    assert found["grew"] < 32 * MIB, found
