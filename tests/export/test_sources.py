"""What is exported is compared on the tomograms that its configuration means."""

import shutil

import numpy as np
import pytest
import torch
import zarr

from dep.export.sources import open_source
from dep.train import load_config
from dep.train.checkpoint import save_checkpoint
from dep.train.sources import list_pairs
from dep.train.state import TrainingState


@pytest.fixture
def tomogram_of(run_files, tmp_path):
    """Give the tomogram that a checkpoint of a changed configuration is compared on."""

    def find(*changes):
        config = load_config(run_files.rewrite(*changes))
        state = TrainingState(config, torch.device("cpu"))
        path = tmp_path / "x.ckpt"
        save_checkpoint(path, state.shipped())
        found = open_source(path, {}, None).tomogram
        return found and found.relative_to(run_files.folder)

    return find


HELD = '{ tomogram = "held.mrc", coordinates = "held.csv" }'


def test_a_file_a_pattern_or_a_folder(tomogram_of, run_files):
    assert str(tomogram_of()) == "held.mrc"
    pattern = '{ tomogram = "he*.mrc", coordinates = "{name}.csv" }'
    assert str(tomogram_of((HELD, pattern))) == "held.mrc"
    group = zarr.open_group(run_files.folder / "held.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=np.zeros((28, 36, 40), "f4"), chunks=(28, 36, 40))
    group.attrs["multiscales"] = [
        {
            "axes": [
                {"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"
            ],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [10.0] * 3}
                    ],
                }
            ],
            "version": "0.4",
        }
    ]
    assert str(tomogram_of(("he*.mrc", "held.zarr"))) == "held.zarr"


def test_what_was_split_off_goes_before_what_was_trained_on(tomogram_of, run_files):
    for k in range(3):
        for suffix in (".mrc", ".csv"):
            new = run_files.folder / f"TS_{k}{suffix}"
            shutil.copy(run_files.folder / f"tomo{suffix}", new)
    all_of_them = '{ tomogram = "TS_*.mrc", coordinates = "{name}.csv" }'
    found = tomogram_of(
        (f"validate = [{HELD}]", "split = { validate = 0.3, seed = 0 }"),
        ('{ tomogram = "tomo.mrc", coordinates = "tomo.csv" }', all_of_them),
    )
    (held,) = list_pairs(load_config(run_files.config).data).parts["validate"]
    assert str(found) == held.tomogram.name
    assert held.name != "TS_0"  # what the pattern would give first


def test_without_validation_one_that_was_trained_on(tomogram_of):
    assert str(tomogram_of((f"validate = [{HELD}]\n", ""))) == "tomo.mrc"
