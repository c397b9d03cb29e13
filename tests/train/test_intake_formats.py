"""Training sees the same voxels whatever format a tomogram is kept in."""

import gzip
import json
import shutil
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr

from dep.train import load_config, train
from dep.train.data import PatchSampler
from dep.train.discovery import discover
from dep.train.intake import load_data, survey_data
from dep.train.starter import write_starter

SOURCE = '{ tomogram = "tomo.mrc", coordinates = "tomo.csv" }'


def write_zarr(path, levels, finest=0.5):
    """Write levels of voxel sizes `finest` nm, twice that, ... as OME-Zarr 0.4."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    axes = [{"name": one, "type": "space", "unit": "nanometer"} for one in "zyx"]
    datasets = []
    for number, array in enumerate(levels):
        level = group.create_array(
            str(number), shape=array.shape, dtype=array.dtype, chunks=(9, 16, 16)
        )
        level[:] = array
        scale = {"type": "scale", "scale": [finest * 2**number] * 3}
        datasets.append({"path": str(number), "coordinateTransformations": [scale]})
    group.attrs["multiscales"] = [
        {"axes": axes, "datasets": datasets, "version": "0.4"}
    ]


def write(folder, form, array):
    """Write voxels in a format; return the file's name."""
    if form == "zarr":
        name = "other.zarr"
        write_zarr(folder / name, [array.repeat(2, 0).repeat(2, 1).repeat(2, 2), array])
    elif form == "mrc.gz":
        name = "other.mrc.gz"
        packed = gzip.compress((folder / "tomo.mrc").read_bytes())
        (folder / name).write_bytes(packed)
    elif form == "h5":
        name = "other.h5"
        with h5py.File(folder / name, "w") as file:
            file.create_dataset("data", data=array, chunks=(4, 8, 8), compression=1)
    elif form == "tif":
        name = "other.tif"
        zipped = {"compression": "zlib", "photometric": "minisblack"}
        tifffile.imwrite(folder / name, array, **zipped)
    elif form == "npy":
        name = "other.npy"
        np.save(folder / name, array)
    else:
        name = "other.em"
        head = np.zeros(128, "<i4")
        head[:4] = [6 | 5 << 24, *array.shape[::-1]]
        (folder / name).write_bytes(head.tobytes() + array.astype("<f4").tobytes())
    return name


@pytest.mark.parametrize("form", ["zarr", "mrc.gz", "h5", "tif", "npy", "em"])
def test_a_batch_is_the_same(run_files, form):
    folder = run_files.folder
    array = mrcfile.read(folder / "tomo.mrc")
    name = write(folder, form, array)
    text = run_files.config.read_text()
    plain = load_data(load_config(run_files.config)).train[0]
    assert SOURCE in text
    new = f'{{ tomogram = "{name}", coordinates = "tomo.csv" }}'
    run_files.config.write_text(text.replace(SOURCE, new))
    other = load_data(load_config(run_files.config)).train[0]
    np.testing.assert_array_equal(other.voxels, array)
    assert (other.mean, other.std) == (plain.mean, plain.std)
    batches = [
        PatchSampler(
            [one], edge=24, patch=16, batch=3, random_part=0.5, reach=4, seed=0
        )
        for one in (plain, other)
    ]
    for step in range(3):
        for mine, theirs in zip(batches[0](step), batches[1](step), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def write_project(folder, array, runs=("TS_1", "TS_2")):
    """Write a copick project: tomograms in OME-Zarr, picks in JSON, by run."""
    coarser = array[::2, ::2, ::2]
    for run in runs:
        place = folder / "project/ExperimentRuns" / run
        write_zarr(place / "VoxelSpacing10.000/wbp.zarr", [array, coarser], finest=1.0)
        (place / "Picks").mkdir()
        for name in ("a", "bead", "b"):
            points = [
                {"location": dict(zip("xyz", (10.0 * k, 120.0, 90.0), strict=True))}
                for k in (8, 20, 31)
            ]
            content = {
                "pickable_object_name": name,
                "user_id": "curator",
                "session_id": "1",
                "run_name": run,
                "points": points,
            }
            (place / f"Picks/curator_1_{name}.json").write_text(json.dumps(content))
    return folder / "project"


PLACES = [[8, 12, 9], [20, 12, 9], [31, 12, 9]]


def test_a_copick_project_is_trained_on_as_it_lies(run_files):
    folder = run_files.folder
    write_project(folder, mrcfile.read(folder / "tomo.mrc"))
    new = (
        '{ tomogram = "project/ExperimentRuns/*/VoxelSpacing10.000/wbp.zarr", '
        'coordinates = "project/ExperimentRuns/{name}/Picks" }'
    )
    text = run_files.config.read_text().replace(SOURCE, new)
    run_files.config.write_text(text)
    config = load_config(run_files.config)
    data = load_data(config)
    assert [one.name for one in data.train] == ["TS_1", "TS_2"]
    assert all(one.voxels.shape == (28, 36, 40) for one in data.train)
    np.testing.assert_allclose(sorted(data.train[0].xyz.tolist())[::3], PLACES)
    assert train(config, folder / "run").exists()


@pytest.mark.parametrize(
    ("below", "runs"),
    [("", 2), ("ExperimentRuns", 2), ("ExperimentRuns/TS_1", 1)],
)
def test_a_first_configuration_of_a_copick_project(tmp_path, below, runs):
    array = np.random.default_rng(0).normal(0, 8, (20, 24, 40)).astype(np.float32)
    project = write_project(tmp_path, array)
    # Of other kinds there are fewer: one run alone would not know, so it has none.
    second = project / "ExperimentRuns/TS_2"
    write_zarr(second / "VoxelSpacing10.000/denoised.zarr", [array], finest=1.0)
    found, missing = write_starter(
        project / below, tmp_path / "first.toml", {"a": 100, "b": 120, "bead": 90}
    )
    assert not missing
    assert found.classes == ["a", "b", "bead"]
    assert [one.parts[-3:-1] for one in map(Path.resolve, found.tomograms)] == [
        (f"TS_{k}", "VoxelSpacing10.000") for k in range(1, runs + 1)
    ]
    assert all(one.name == "wbp.zarr" for one in found.tomograms)
    assert any("denoised.zarr" in remark for remark in found.remarks) == (runs == 2)
    assert found.count("bead") == 3 * runs
    np.testing.assert_allclose(sorted(found.annotations[0].xyz.tolist())[::3], PLACES)
    survey_data(load_config(tmp_path / "first.toml"))


def test_what_lies_beside_a_copick_project_counts_too(run_files, tmp_path):
    folder = run_files.folder
    array = mrcfile.read(folder / "tomo.mrc").astype(np.float32)
    project = write_project(tmp_path, array, runs=("TS_1",))
    (project / "Picks").mkdir()
    shutil.copy(folder / "tomo.mrc", project / "tomo.mrc")
    shutil.copy(folder / "tomo.csv", project / "Picks/tomo.csv")
    found = discover(project)
    assert sorted(one.name for one in found.tomograms) == ["tomo.mrc", "wbp.zarr"]
