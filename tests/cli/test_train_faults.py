"""What `dep train` cannot start with is told at once, and is wrong use."""

import mrcfile
import numpy as np
import pytest
import torch


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize(
    ("new", "says"),
    [
        ('precision = "fp16"\ndevice = "cpu"', "fp16 needs a CUDA device"),
        ('precision = "fp16"', "fp16 needs a CUDA device"),
        ('device = "cuda"', "torch finds no CUDA device"),
    ],
)
def test_what_the_machine_lacks_is_in_the_one_message(
    dep, run_files, tmp_path, new, says
):
    path = run_files.rewrite(('device = "cpu"', new), ("margin = 4", "margin = 12"))
    outcome = dep("train", path, "-o", tmp_path / "run")
    assert outcome.status == 2
    assert "2 faults" in outcome.err
    assert says in outcome.err
    assert "leaves nothing" in outcome.err
    assert not (tmp_path / "run").exists()


def test_voxels_that_are_no_numbers_are_a_wrong_configuration(dep, run_files, tmp_path):
    with mrcfile.open(run_files.folder / "held.mrc") as mrc:
        voxels = mrc.data.astype(np.float32)
    with mrcfile.new(run_files.folder / "held.mrc", overwrite=True) as mrc:
        mrc.set_data(voxels)
        mrc.voxel_size = 10.0
        mrc.data[3, 4, 5] = np.nan
    outcome = dep("train", run_files.config, "-o", tmp_path / "run")
    assert outcome.status == 2
    assert "held.mrc" in outcome.err
    assert not (tmp_path / "run").exists()
