"""Of HDF5 files the volume that is meant is read, chunked or not."""

import h5py
import numpy as np
import pytest

from dep.engine import TomogramError, VoxelSizeError, open_volume
from dep.engine.readers.registry import read_header

FEW = ["i1", ">i2", "<u2", "<f2", ">f4"]


class TestHdf5:
    @pytest.mark.parametrize("options", [{}, {"chunks": (2, 4, 7), "compression": 4}])
    @pytest.mark.parametrize("dtype", FEW)
    def test_what_eman2_writes(self, tmp_path, dtype, options, voxels, eman, same):
        array = voxels(dtype)
        path = eman(tmp_path / "TS_2.hdf", array, (13.48,) * 3, **options)
        assert same(path, array, 13.48).name == "TS_2"
        assert read_header(path).format == "HDF5 (EMAN2)"

    def test_voxels_that_are_no_cubes(self, tmp_path, voxels, eman):
        path = eman(tmp_path / "a.hdf", voxels(), (10, 10, 20))
        with pytest.raises(VoxelSizeError, match="differs by axis"):
            open_volume(path)

    def test_the_only_volume_of_a_file_is_meant(self, tmp_path, voxels, same):
        array = voxels()
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["deep/in/it"] = array[None]
            file["deep/in/it"].attrs["element_size_um"] = (1e-3,) * 4
            file["angles"] = np.arange(41)
        volume = same(tmp_path / "a.h5", array, 10.0)
        assert volume.dtype == array.dtype

    def test_one_of_several_is_named_by_its_path(self, tmp_path, voxels, same):
        with h5py.File(tmp_path / "TS_3.h5", "w") as file:
            file["even/volume"] = voxels(seed=1)
            file["odd/volume"] = voxels(seed=2)
        with pytest.raises(TomogramError) as error:
            open_volume(tmp_path / "TS_3.h5", 10.0)
        assert "2 volumes in this file, expected one" in str(error.value)
        named = str(error.value).split(": ")[-1]
        assert named == f"{tmp_path}/TS_3.h5/even/volume"
        assert same(named, voxels(seed=1), voxel_size=10.0).name == "TS_3"
        same(tmp_path / "TS_3.h5/odd", voxels(seed=2), voxel_size=10.0)
        with pytest.raises(TomogramError, match=r"no third in this file.*/even/volume"):
            open_volume(tmp_path / "TS_3.h5/third", 10.0)

    def test_a_stack_of_images(self, tmp_path, voxels, eman):
        path = eman(tmp_path / "a.hdf", voxels()[0])
        with pytest.raises(TomogramError, match=r"no volumes.*/MDF/images/0/image \(9"):
            open_volume(path)
        with h5py.File(path, "a") as file:
            file["MDF/images/1/image"] = voxels()[1]
        with pytest.raises(TomogramError, match="a stack of 2 images"):
            open_volume(path)
        with pytest.raises(TomogramError, match="a 2D image of 7 x 9 pixels"):
            open_volume(f"{path}/MDF/images/0/image")

    def test_a_file_without_anything(self, tmp_path):
        h5py.File(tmp_path / "a.h5", "w").close()
        with pytest.raises(TomogramError, match="it holds no datasets at all"):
            open_volume(tmp_path / "a.h5")

    @pytest.mark.parametrize("options", [{}, {"chunks": (2, 4, 7), "compression": 4}])
    def test_cut_short(self, tmp_path, options, voxels, eman):
        path = eman(tmp_path / "a.hdf", voxels("f8", (30, 30, 30)), **options)
        path.write_bytes(path.read_bytes()[:-9000])
        with pytest.raises(TomogramError, match=r"a\.hdf: not an HDF5 file.*cut short"):
            open_volume(path)

    def test_a_chunk_that_is_damaged(self, tmp_path, voxels, eman):
        path = eman(tmp_path / "a.hdf", voxels("i2"), chunks=(2, 9, 7), fletcher32=True)
        data = bytearray(path.read_bytes())
        at = data.index(voxels("i2")[2:4].tobytes())
        data[at] ^= 0xFF
        path.write_bytes(data)
        with open_volume(path) as volume:
            volume.read(0, 2)
            with pytest.raises(TomogramError, match="may be damaged"):
                volume.read(2, 4)

    def test_a_link_to_another_file_is_read_there(self, tmp_path, voxels, same):
        array = voxels()
        with h5py.File(tmp_path / "there.h5", "w") as file:
            file["volume"] = array
        with h5py.File(tmp_path / "here.h5", "w") as file:
            # As long as what is linked, so that a place there is one here as well.
            file["other"] = np.zeros((20, 20, 20), "f4")
            file["linked"] = h5py.ExternalLink("there.h5", "/volume")
        same(tmp_path / "here.h5/linked", array, voxel_size=10.0)

    def test_a_virtual_dataset(self, tmp_path, voxels, same):
        array = voxels()
        with h5py.File(tmp_path / "there.h5", "w") as file:
            file["volume"] = array
        layout = h5py.VirtualLayout(array.shape, array.dtype)
        layout[:] = h5py.VirtualSource(tmp_path / "there.h5", "volume", array.shape)
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_virtual_dataset("volume", layout)
        same(tmp_path / "a.h5", array, voxel_size=10.0)

    def test_behind_a_block_of_another_program(self, tmp_path, voxels, same):
        array = voxels()
        with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
            file["volume"] = array
        same(tmp_path / "a.h5", array, voxel_size=10.0)

    def test_a_path_is_advised_only_where_it_helps(self, tmp_path, voxels):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["channels"] = np.stack([voxels(), voxels()])
            file["words"] = "of no shape"
        with pytest.raises(TomogramError) as error:
            open_volume(tmp_path / "a.h5", 10.0)
        assert "/channels (2 x 6 x 9 x 7 float32)" in str(error.value)
        assert "/words (no array object)" in str(error.value)
        assert "Choose one" not in str(error.value)
