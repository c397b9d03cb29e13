"""The kernels on a device under NVIDIA's compute-sanitizer: bounds and races."""

import shutil
import subprocess
import sys

import pytest

# Blocks with nothing to do, bricks cut off at every face, both widths of sums.
PROGRAM = """
import numpy as np
from dep.kernels import assemble, deduplicate, mp_nms
rng = np.random.default_rng(1)
labels = ((rng.random((21, 15, 67)) < 0.05) * rng.integers(1, 4, (21, 15, 67)))
labels = labels.astype(np.uint8)
probability = rng.integers(1, 256, labels.shape).astype(np.uint8)
for joint in (False, True):
    for n in (1, 3, 7):
        found = mp_nms(labels, n, 0.001, probability, joint=joint, backend="cuda")
deduplicate(found.xyz, found.score, 4.0, backend="cuda")
scores = rng.random((4, 9, 9, 9)).astype(np.float32)
slabs = [np.zeros((9, 9, 9), np.uint8) for _ in range(2)]
assemble(scores, *slabs, (1, 1, 1), (0, 0, 0), (7, 7, 7), t_seg=0.4, joint=True,
         backend="cuda")
assert len(found) and slabs[0].any()
"""


@pytest.mark.gpu
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
def test_the_kernels_are_clean(tool):
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not installed; it comes with the toolkit")
    done = subprocess.run(
        [
            *(sanitizer, "--tool", tool, "--error-exitcode", "9"),
            *(sys.executable, "-c", PROGRAM),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
