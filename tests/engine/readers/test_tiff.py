"""Stacks of TIFF pages, plain, packed, ImageJ's and OME-TIFF, give their planes."""

import struct

import numpy as np
import pytest
import tifffile

from dep.engine import TomogramError, VoxelSizeError, open_volume
from dep.engine.readers.registry import read_header

SHAPE = (6, 9, 7)
FEW = ["i1", ">i2", "<u2", "<f2", ">f4"]


class TestTiff:
    IMAGEJ = ("u1", "<u2", "<f4")

    @pytest.mark.parametrize("dtype", FEW)
    @pytest.mark.parametrize("packing", [None, "zlib"])
    def test_types_and_packing(self, tmp_path, dtype, packing, voxels, same):
        array = voxels(dtype)
        path = tmp_path / "a.tif"
        tifffile.imwrite(
            path,
            array,
            compression=packing,
            byteorder=">" if dtype[0] == ">" else "<",
            photometric="minisblack",
        )
        same(path, array, voxel_size=10.0)

    @pytest.mark.parametrize("dtype", IMAGEJ)
    def test_what_imagej_writes(self, tmp_path, dtype, voxels, same):
        array = voxels(dtype)
        tifffile.imwrite(
            tmp_path / "TS_4.tif",
            array,
            imagej=True,
            resolution=(1 / 1.348, 1 / 1.348),
            metadata={"spacing": 1.348, "unit": "nm", "axes": "ZYX"},
        )
        assert same(tmp_path / "TS_4.tif", array, 13.48).name == "TS_4"

    def test_ome_tiff(self, tmp_path, voxels, same):
        array = voxels()
        sizes = {f"PhysicalSize{axis}": 1.348e-3 for axis in "XYZ"}
        path = tmp_path / "TS_5.ome.tif"
        tifffile.imwrite(path, array, metadata={"axes": "ZYX", **sizes})
        assert same(path, array, 13.48).name == "TS_5"
        assert read_header(path).format == "OME-TIFF"

    def test_resolution_tags(self, tmp_path, voxels):
        tifffile.imwrite(
            tmp_path / "a.tif",
            voxels(),
            resolution=(1e7, 1e7),
            resolutionunit="CENTIMETER",
            photometric="minisblack",
        )
        assert open_volume(tmp_path / "a.tif").voxel_size == 10.0

    @pytest.mark.parametrize("resolution", [None, (72.0, 72.0)])
    def test_those_of_a_screen_say_nothing(self, tmp_path, resolution, voxels):
        tifffile.imwrite(
            tmp_path / "a.tif",
            voxels(),
            photometric="minisblack",
            resolution=resolution,
            resolutionunit="INCH" if resolution else None,
        )
        with pytest.raises(VoxelSizeError, match=r"is not given\. .*--voxel-size"):
            open_volume(tmp_path / "a.tif")

    @pytest.mark.parametrize(
        ("array", "how", "words"),
        [
            (np.zeros((9, 7), "f4"), {}, "a 2D image of 7 x 9"),
            (np.zeros((9, 7, 3), "u1"), {"photometric": "rgb"}, "a colour image"),
            (np.zeros((5, 9, 7, 3), "u1"), {"photometric": "rgb"}, "a colour image"),
            (np.zeros(SHAPE, "c8"), {"photometric": "minisblack"}, "complex64"),
        ],
    )
    def test_refused(self, tmp_path, array, how, words):
        tifffile.imwrite(tmp_path / "a.tif", array, **how)
        with pytest.raises(TomogramError, match=words):
            open_volume(tmp_path / "a.tif", 10.0)

    def test_a_compression_that_needs_another_package_names_it(self, tmp_path, voxels):
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, voxels(), compression="zlib", photometric="minisblack")
        data = path.read_bytes()
        # Tag 259, Compression, of type 3 and length 1: 8 is zlib, 50001 is WebP.
        tag = struct.pack("<HHI", 259, 3, 1)
        zlib, webp = (tag + struct.pack("<H", value) for value in (8, 50001))
        assert data.count(zlib) == SHAPE[0]
        path.write_bytes(data.replace(zlib, webp))
        with (
            open_volume(path, 10.0) as volume,
            pytest.raises(TomogramError, match="pip install imagecodecs"),
        ):
            volume.read(0, 2)

    @pytest.mark.parametrize("packing", [None, "zlib"])
    def test_cut_short(self, tmp_path, packing, voxels):
        array = voxels("f4", (20, 30, 30))
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, array, compression=packing, photometric="minisblack")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        with (
            pytest.raises(TomogramError, match=r"a\.tif: .*(truncated|cut short)"),
            open_volume(path, 10.0) as volume,
        ):
            volume.read(0, 20)

    @pytest.mark.parametrize("packing", [None, "zlib"])
    def test_pages_that_were_written_one_by_one(self, tmp_path, packing, voxels, same):
        array = voxels()
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for plane in array:
                file.write(plane, photometric="minisblack", compression=packing)
        same(tmp_path / "a.tif", array, voxel_size=10.0)

    def test_of_two_stacks_the_larger_alone(self, tmp_path, voxels, same):
        array = voxels()
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for stack in (array[:4], array):
                file.write(stack, photometric="minisblack")
        same(tmp_path / "a.tif", array, voxel_size=10.0)
