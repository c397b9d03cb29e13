"""Tomograms of every format give the picks of the same voxels in MRC."""

import csv
import http.server
import json
import os
import shutil
import threading
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from dep.cli.batch import find_tomograms
from dep.cli.failure import UsageError
from dep.engine.readers.state import state_of


@pytest.fixture
def pick(dep, tiny_model, tmp_path):
    def run(*words, out="out"):
        return dep("pick", *words, "--engine", tiny_model, "-o", tmp_path / out)

    return run


def rows(folder, name):
    found = list(csv.DictReader((folder / f"{name}.csv").read_text().splitlines()))
    return [{**row, "tomogram": ""} for row in found]


def write_image(path, levels, version="0.4"):
    """Write levels of voxel sizes 0.5, 1, ... nm."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    axes = [{"name": one, "type": "space", "unit": "nanometer"} for one in "zyx"]
    datasets = []
    for number, array in enumerate(levels):
        shape, dtype = array.shape, array.dtype
        level = group.create_array(
            str(number), shape=shape, dtype=dtype, chunks=(25,) * 3
        )
        level[:] = array
        scale = {"type": "scale", "scale": [0.5 * 2**number] * 3}
        datasets.append({"path": str(number), "coordinateTransformations": [scale]})
    multiscales = [{"axes": axes, "datasets": datasets, "version": version}]
    if version == "0.4":
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    return path


@pytest.fixture(scope="module")
def formats(tmp_path_factory, make_tomogram):
    """One tomogram in every format; OME-Zarr at 5 and 10 Å."""
    folder = tmp_path_factory.mktemp("formats")
    array = make_tomogram(folder.parent / "same.mrc")
    finer = array.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    write_image(folder / "zarr4.zarr", [finer, array])
    write_image(folder / "zarr5.ome.zarr", [finer, array], "0.5")
    with h5py.File(folder / "eman2.hdf", "w") as file:
        group = file.create_group("MDF/images/0")
        group.create_dataset("image", data=array, chunks=(4, 8, 8), compression=1)
        for axis in "xyz":
            group.attrs[f"EMAN.apix_{axis}"] = 10.0
    tifffile.imwrite(
        folder / "imagej.tif",
        array,
        imagej=True,
        resolution=(1.0, 1.0),
        metadata={"spacing": 1.0, "unit": "nm", "axes": "ZYX"},
    )
    zipped = {"compression": "zlib", "photometric": "minisblack"}
    tifffile.imwrite(folder / "packed.tif", array, **zipped)
    np.save(folder / "numpy.npy", array)
    head = np.zeros(128, "<i4")
    head[:4] = [6 | 5 << 24, *array.shape[::-1]]
    (folder / "em.em").write_bytes(head.tobytes() + array.astype("<f4").tobytes())
    return folder


def test_runs_of_copick_are_picked_at_once(pick, make_tomogram, tmp_path):
    array = make_tomogram(tmp_path / "same.mrc")
    project = tmp_path / "project"
    finer = array.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    images = [
        write_image(
            project / "ExperimentRuns" / run / "VoxelSpacing10.000" / "wbp.zarr",
            [finer, array],
        )
        for run in ("TS_01", "TS_02")
    ]
    outcome = pick(*images, "--format", "copick", out="project")
    assert outcome.status == 0, outcome.err
    for run in ("TS_01", "TS_02"):
        assert list((project / "ExperimentRuns" / run / "Picks").glob("dep_0_*.json"))
    record = json.loads((project / "run.json").read_text())
    assert list(record["tomograms"]) == ["TS_01", "TS_02"]
    # Two tomograms of one run still exclude each other.
    other = write_image(images[0].with_name("denoised.zarr"), [finer, array])
    outcome = pick(images[0], other, out="both")
    assert outcome.status == 2
    assert "would both write" in outcome.err


def test_a_baseline_reads_the_level_that_models_pick(dep, formats, tmp_path):
    pytest.importorskip("scipy")
    out = tmp_path / "blobs"
    words = ("--diameter", 80, "-o", out)
    outcome = dep("baseline", "dog", formats / "zarr4.zarr", *words)
    assert outcome.status == 0, outcome.err
    entry = json.loads((out / "run.json").read_text())["tomograms"]["zarr4"]
    assert entry["voxel_size"] == 10.0


def test_a_baseline_keeps_addresses(dep, tmp_path):
    pytest.importorskip("scipy")
    address = "http://127.0.0.1:1/TS_01.zarr"
    outcome = dep("baseline", "dog", address, "--diameter", 80, "-o", tmp_path / "o")
    assert outcome.status == 1
    assert f"{address}: cannot be read" in outcome.err


SIZED = ("zarr4.zarr", "zarr5.ome.zarr", "eman2.hdf", "imagej.tif")
BARE = ("packed.tif", "numpy.npy", "em.em")


def test_picks_are_those_of_mrc(pick, tomogram, formats, tmp_path):
    assert pick(tomogram).status == 0
    expected = rows(tmp_path / "out", "TS_01")
    assert len(expected) == 3
    outcome = pick(*(formats / name for name in SIZED), "--picture")
    assert outcome.status == 0, outcome.err
    bare = pick(*(formats / name for name in BARE), "--voxel-size", 10)
    assert bare.status == 0, bare.err
    for name in (*SIZED, *BARE):
        assert rows(tmp_path / "out", name.partition(".")[0]) == expected
    run = json.loads((tmp_path / "out" / "run.json").read_text())["tomograms"]
    assert set(run) == {"TS_01", *(name.partition(".")[0] for name in SIZED + BARE)}
    (note,) = run["zarr4"]["warnings"]
    assert "level 1 of 2 was read, 44 x 40 x 32 voxels of 10 Å" in note
    # What knows no voxel size asks for it.
    outcome = pick(formats / "numpy.npy", out="other")
    assert outcome.status == 1
    assert "numpy.npy: the voxel size" in outcome.err


def test_filters_are_recorded(pick, tomogram, tmp_path):
    words = ("--lowpass", 30, "--highpass", 300, "--overwrite")
    assert pick(tomogram, *words).status == 0
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    settings = run["tomograms"]["TS_01"]["settings"]
    assert (settings["lowpass"], settings["highpass"]) == (30.0, 300.0)
    outcome = pick(tomogram, "--lowpass", 30, "--highpass", 20)
    assert outcome.status == 2
    assert "highpass: expected more ångström than the low-pass has" in outcome.err


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("zarr4.zarr", "OME-Zarr 0.4"),
        ("zarr5.ome.zarr", "OME-Zarr 0.5"),
        ("zarr5.ome.zarr/1", "OME-Zarr 0.5"),
        ("eman2.hdf", "HDF5 (EMAN2)"),
        ("eman2.hdf/MDF/images/0/image", "HDF5 (EMAN2)"),
        ("imagej.tif", "TIFF"),
        ("numpy.npy", "NumPy"),
        ("em.em", "EM"),
    ],
)
def test_info_of_every_format(dep, formats, name, kind):
    facts = dep("info", formats / name, "--json").json
    assert (facts["kind"], facts["format"]) == ("tomogram", kind)
    assert facts["type"] == "float32"
    assert facts["megabytes"] > 0
    assert facts["voxel_size"] == {
        "zarr4.zarr": 5.0,
        "zarr5.ome.zarr": 5.0,
        "numpy.npy": None,
        "em.em": None,
    }.get(name, 10.0)
    said = dep("info", formats / name).out
    assert kind in said
    assert ("--voxel-size" in said) == (facts["voxel_size"] is None)
    assert facts["warnings"] == [] or len(facts["levels"]) > 1
    if kind.startswith("OME-Zarr"):
        sizes = [one["size_xyz"] for one in facts["levels"]]
        assert sizes == [[88, 80, 64], [44, 40, 32]][-len(sizes) :]
        assert "44 x 40 x 32" in said


def test_info_says_which_voxels_are_no_cubes(dep, make_tomogram, tmp_path):
    array = make_tomogram(tmp_path / "same.mrc")
    path = write_image(tmp_path / "a.zarr", [array])
    attributes = json.loads((path / ".zattrs").read_text())
    (dataset,) = attributes["multiscales"][0]["datasets"]
    dataset["coordinateTransformations"][0]["scale"] = [2.0, 1.0, 1.0]
    (path / ".zattrs").write_text(json.dumps(attributes))
    said = dep("info", path).out
    assert "differs by axis (10 x 10 x 20 Å); give --voxel-size" in said
    assert "assumed" not in said


def test_info_of_an_address_fetches_no_voxels(dep, formats):
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_words):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=formats)
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/zarr4.zarr"
        facts = dep("info", address, "--json").json
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (facts["format"], facts["voxel_size"]) == ("OME-Zarr 0.4", 5.0)
    assert len(facts["levels"]) == 2
    assert "mean" not in facts
    assert "no statistics" in facts["warnings"][0]
    assert not [path for path in asked if path[-1].isdigit()]


def test_a_folder_of_images(formats, tmp_path):
    """Of a folder only endings of tomograms count, as long as there are any."""
    formats = shutil.copytree(formats, tmp_path / "copy")
    found = find_tomograms([formats])
    assert [path.name for path in found] == [
        "eman2.hdf",
        "zarr4.zarr",
        "zarr5.ome.zarr",
    ]
    assert find_tomograms([formats / "zarr4.zarr"]) == [formats / "zarr4.zarr"]
    shutil.rmtree(formats / "zarr4.zarr")
    shutil.rmtree(formats / "zarr5.ome.zarr")
    (formats / "eman2.hdf").unlink()
    assert len(find_tomograms([formats])) == 4


def test_addresses_stay_as_they_are():
    address = "https://host/TS_01.zarr"
    assert find_tomograms([address, address]) == [address]
    assert state_of(address) == {"path": address}


def test_a_changed_image_is_not_taken_for_the_same(formats, tmp_path):
    path = shutil.copytree(formats / "zarr4.zarr", tmp_path / "copy.zarr")
    before = state_of(path)
    assert state_of(path) == before
    zarr.open_group(path, mode="a")["1"][:4] = 0
    changed = state_of(path)
    assert changed != before
    # Written in place, as some programs copy: no folder changes.
    chunk = path / "1" / "0.0.0"
    content = chunk.read_bytes()
    with chunk.open("r+b") as file:
        file.write(content)
    os.utime(chunk, ns=(0, changed["modified_ns"] + 1))
    assert state_of(path) != changed


def test_a_changed_file_around_a_dataset_is_not_taken_for_the_same(formats, tmp_path):
    path = Path(shutil.copy(formats / "eman2.hdf", tmp_path))
    inner = path / "MDF/images/0/image"
    before = state_of(inner)
    assert (before["path"], before["bytes"]) == (str(inner), path.stat().st_size)
    path.write_bytes(path.read_bytes() + b"more")
    assert state_of(inner) != before


@pytest.mark.parametrize("name", ["TS_02.zarr", "TS_02.ome.zarr", "TS_02.mrc"])
def test_a_folder_without_an_image_fails_alone(pick, tomogram, tmp_path, name):
    (tmp_path / name / "0").mkdir(parents=True)
    outcome = pick(tmp_path / name, tomogram)
    assert outcome.status == 1
    assert name in outcome.err
    assert (tmp_path / "out" / "TS_01.star").exists()


@pytest.mark.parametrize("start", ["project", "project/ExperimentRuns"])
def test_a_project_of_copick_says_how_its_tomograms_are_picked(tmp_path, start):
    image = tmp_path / "project/ExperimentRuns/TS_01/VoxelSpacing7.840/wbp.zarr"
    image.mkdir(parents=True)
    (image / "zarr.json").touch()
    with pytest.raises(UsageError) as error:
        find_tomograms([tmp_path / start])
    pattern = str(error.value).rpartition(" ")[2]
    assert pattern.endswith("ExperimentRuns/*/VoxelSpacing7.840/wbp.zarr")
    assert find_tomograms([pattern]) == [image]


def test_an_address_that_does_not_answer_fails_alone(pick, tomogram, tmp_path):
    outcome = pick("http://127.0.0.1:9/TS_02.zarr", tomogram)
    assert outcome.status == 1
    assert "http://127.0.0.1:9/TS_02.zarr: cannot be read" in outcome.err
    assert (tmp_path / "out" / "TS_01.star").exists()
