"""Picking leaves nothing behind and calls nobody."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_runtime_writes_nothing_into_the_home_folder(tiny_model, tmp_path, runtime):
    program = (
        "import numpy as np\n"
        "from dep.engine import Picker\n"
        f"with Picker({str(tiny_model)!r}, runtime={runtime!r}) as picker:\n"
        "    noise = np.random.default_rng(0).normal(size=(24, 24, 24))\n"
        "    picker.pick(noise.astype('f4'), voxel_size=10.0)\n"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "ORT_"))}
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env={**kept, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == []
