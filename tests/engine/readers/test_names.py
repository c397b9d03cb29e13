"""Which files are tomograms by their names, and what they are called."""

import pytest

from dep.engine.readers.names import tomogram_name, tomograms_among


class TestNames:
    @pytest.mark.parametrize(
        ("place", "name"),
        [
            ("TS_01.zarr", "TS_01"),
            ("a/TS_01.ome.zarr/", "TS_01"),
            ("TS_01.zarr/1", "TS_01"),
            ("TS_01.ome.zarr/scale0/image", "TS_01"),
            ("TS_01.hdf", "TS_01"),
            ("TS_01.h5/odd/volume", "TS_01"),
            ("TS_01.ome.tif", "TS_01"),
            ("TS_01.em", "TS_01"),
            ("TS_01.npy", "TS_01"),
            ("a.h5/TS_01.mrc", "TS_01"),
            ("https://host/a/TS_01.zarr?version=2", "TS_01"),
            ("s3://bucket/TS%2001.zarr/0/", "TS 01"),
        ],
    )
    def test_of_containers_and_addresses(self, place, name):
        assert tomogram_name(place) == name

    @pytest.mark.parametrize(
        ("place", "name"),
        [
            ("ExperimentRuns/TS_01/VoxelSpacing10.000/wbp.zarr", "TS_01"),
            ("ExperimentRuns/TS_01/VoxelSpacing7.84/wbp.zarr/1", "TS_01"),
            ("a.b/TS_01/VoxelSpacing10/wbp.ome.zarr/", "TS_01"),
            ("https://host/TS_01/VoxelSpacing10.000/wbp.zarr/0", "TS_01"),
            ("https://host/VoxelSpacing10.000/wbp.zarr", "wbp"),
            ("TS_01/VoxelSpacing10.000/wbp.mrc", "wbp"),
            ("TS_01/VoxelSpacingOf/wbp.zarr", "wbp"),
            ("TS_01/VoxelSpacing13.480/Tomograms/100/TS_09.zarr", "TS_09"),
        ],
    )
    def test_copick_names_the_run(self, place, name):
        assert tomogram_name(place) == name

    def test_copick_from_within_the_run(self, tmp_path, monkeypatch):
        folder = tmp_path / "TS_01" / "VoxelSpacing10.000"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        for place in ("wbp.zarr", "../VoxelSpacing10.000/wbp.zarr", "./wbp.zarr/0"):
            assert tomogram_name(place) == "TS_01"

    def test_common_endings_count_where_no_other_is_there(self, tmp_path):
        for name in ("a.tif", "b.npy", "c.em", "notes.txt", ".hidden.mrc"):
            (tmp_path / name).touch()
        every = sorted(tmp_path.iterdir())
        found = [path.name for path in tomograms_among(every)]
        assert found == ["a.tif", "b.npy", "c.em"]
        (tmp_path / "d.zarr").mkdir()
        (tmp_path / "e.mrc.gz").touch()
        (tmp_path / "f.mrc").mkdir()  # a folder of that name is none
        every = sorted(tmp_path.iterdir())
        assert [path.name for path in tomograms_among(every)] == ["d.zarr", "e.mrc.gz"]
