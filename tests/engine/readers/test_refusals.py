"""What is no tomogram, damaged or cannot be read here is an error for people."""

import os
import warnings

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine import TomogramError, open_volume
from dep.engine.normalise import measure
from dep.engine.readers.header import Wish
from dep.engine.readers.registry import read_header

SHAPE = (6, 9, 7)


@pytest.mark.parametrize("extra", ["zarr", "h5py", "tifffile"])
def test_a_library_that_is_missing_is_said(tmp_path, monkeypatch, extra, voxels, eman):
    tifffile.imwrite(tmp_path / "a.tif", voxels(), photometric="minisblack")
    eman(tmp_path / "a.hdf", voxels())
    (tmp_path / "a.zarr").mkdir()
    monkeypatch.setitem(__import__("sys").modules, extra, None)
    name, install = {
        "zarr": ("a.zarr", "zarr"),
        "h5py": ("a.hdf", "hdf5"),
        "tifffile": ("a.tif", "tiff"),
    }[extra]
    wanted = rf"{name}: .* need {extra}, which is not installed: .*'dep\[{install}\]'"
    with pytest.raises(TomogramError, match=wanted):
        open_volume(tmp_path / name)


@given(data=st.data())
@settings(max_examples=40)
def test_damage_is_an_error_for_people(tmp_path_factory, data, voxels, em, eman):
    """Whatever bytes change, a file opens or says why not: no traceback."""
    folder = tmp_path_factory.mktemp("fuzz")
    kind = data.draw(st.sampled_from(["em", "npy", "hdf", "tif", "mrc"]))
    path = folder / f"a.{kind}"
    array = voxels("i2")
    if kind == "em":
        em(path, array)
    elif kind == "npy":
        np.save(path, array)
    elif kind == "hdf":
        eman(path, array, chunks=(2, 4, 4))
    elif kind == "tif":
        tifffile.imwrite(path, array, compression="zlib", photometric="minisblack")
    else:
        mrcfile.write(path, array)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 3000) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        with open_volume(path, 10.0) as volume:
            volume.read(0, volume.shape[0])
    except TomogramError as error:
        assert str(path) in str(error)  # noqa: PT017 - whether or not it is raised


def test_a_path_in_what_is_no_container(tmp_path, voxels):
    mrcfile.write(tmp_path / "a.mrc", voxels())
    with pytest.raises(TomogramError, match=r"a\.mrc/x: no such file"):
        open_volume(tmp_path / "a.mrc" / "x")


def test_a_wish_for_a_level_means_nothing_to_other_formats(tmp_path, voxels, eman):
    path = eman(tmp_path / "a.hdf", voxels())
    assert read_header(path, Wish(near=40.0)).shape == SHAPE


@pytest.mark.parametrize("name", ["a.mrc", "a.h5", "a.tif", "a.npy", "a.em", "a.zarr"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    for read in (open_volume, read_header):
        with pytest.raises(TomogramError, match=rf"{name}: is a pipe or a device"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["a.mrc", "a.mrc.gz", "a.h5", "a.tif", "a.npy", "a.em", "a.zarr"]
)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.touch(), "the file is empty"),
        (lambda path: path.symlink_to("nowhere"), "no such file|no Zarr"),
        (lambda path: path.symlink_to(path.name), "Too many levels|no Zarr"),
        (lambda path: path.mkdir(), "is a directory|no Zarr image here"),
    ],
)
def test_what_is_no_file_at_all(tmp_path, name, make, words):
    make(tmp_path / name)
    with pytest.raises(TomogramError, match=rf"{name}: .*({words})"):
        open_volume(tmp_path / name, 10.0)


@pytest.mark.parametrize("kind", ["mrc", "em", "npy", "h5", "tif", "packed.tif"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_found(tmp_path, kind, value, voxels, em):
    array = voxels()
    array[3, 4, 5] = value
    path = tmp_path / f"a.{kind}"
    if kind == "mrc":
        with mrcfile.new(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of just that
            file.set_data(array)
    elif kind == "em":
        em(path, array)
    elif kind == "npy":
        np.save(path, array)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("volume", data=array, chunks=(4, 4, 4))
    else:
        packing = "zlib" if kind == "packed.tif" else None
        tifffile.imwrite(path, array, compression=packing, photometric="minisblack")
    with (
        open_volume(path, 10.0) as volume,
        pytest.raises(TomogramError, match=r"1 voxels of plane 3 .* NaN or infinite"),
    ):
        measure(volume)
