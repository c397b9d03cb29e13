"""Every format gives the voxels that were written, and says what is wrong with it."""

import struct

import emfile
import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine import TomogramError, VoxelSizeError, open_volume
from dep.engine.readers import chunks
from dep.engine.readers.header import Wish
from dep.engine.readers.names import tomogram_name, tomograms_among
from dep.engine.readers.registry import read_header

SHAPE = (6, 9, 7)
NUMBERS = ["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", "<f2", "<f4", ">f4", "<f8"]
FEW = ["i1", ">i2", "<u2", "<f2", ">f4"]
EM_TYPES = {"i1": 1, "i2": 2, "i4": 4, "f4": 5, "f8": 9}


def voxels(dtype="f4", shape=SHAPE, seed=0):
    numbers = np.random.default_rng(seed).normal(0, 30, shape).clip(-99, 99)
    return (np.abs(numbers) if np.dtype(dtype).kind == "u" else numbers).astype(dtype)


def em(path, array, order="<", pixel=0):
    """Write an EM file; emfile writes those of a PC, without a pixel size, alone."""
    machine = {"<": 6, ">": 3}[order]
    kind = EM_TYPES[array.dtype.str[1:]]
    head = struct.pack("4B", machine, 0, 0, kind)
    head += struct.pack(order + "3i", *array.shape[::-1])
    head += b"a comment".ljust(80, b"\0")
    parameters = [0] * 40
    parameters[6] = pixel
    head += struct.pack(order + "40i", *parameters) + bytes(256)
    path.write_bytes(head + array.astype(array.dtype.newbyteorder(order)).tobytes())
    return path


def eman(path, array, edges=(10, 10, 10), **options):
    with h5py.File(path, "w") as file:
        group = file.create_group("MDF/images/0")
        group.create_dataset("image", data=array, **options)
        for axis, edge in zip("xyz", edges, strict=True):
            group.attrs[f"EMAN.apix_{axis}"] = np.float32(edge)
    return path


def same(path, array, size=None, **how):
    """Compare all voxels, some planes, and the voxels as one array."""
    with open_volume(path, **how) as volume:
        assert volume.shape == array.shape
        np.testing.assert_array_equal(volume.read(0, 2), array[:2])
        np.testing.assert_array_equal(volume.read(1, array.shape[0]), array[1:])
        assert not volume.read(1, 2).flags.writeable
        np.testing.assert_array_equal(volume.array, array)
        assert not volume.array.flags.writeable
        if size is not None:
            assert volume.voxel_size == size
        return volume


class TestEm:
    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("kind", EM_TYPES)
    def test_types_and_byte_orders(self, tmp_path, kind, order):
        array = voxels(kind)
        volume = same(em(tmp_path / "TS_1.em", array, order, 13480), array, 13.48)
        assert volume.name == "TS_1"

    def test_what_another_program_writes(self, tmp_path):
        array = voxels("f4")
        emfile.write(tmp_path / "a.em", array)
        same(tmp_path / "a.em", array, voxel_size=10.0)
        assert read_header(tmp_path / "a.em").format == "EM"

    def test_without_a_pixel_size_it_must_be_given(self, tmp_path):
        with pytest.raises(VoxelSizeError, match=r"is 0\. Give it with --voxel-size"):
            open_volume(em(tmp_path / "a.em", voxels()))

    def test_truncated(self, tmp_path):
        path = em(tmp_path / "a.em", voxels())
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(TomogramError, match=r"truncated: expected 2024 bytes"):
            open_volume(path, 10.0)

    @pytest.mark.parametrize(
        ("at", "value", "words"), [(3, b"\x08", "complex"), (12, b"\1\0\0\0", "2D")]
    )
    def test_refused(self, tmp_path, at, value, words):
        data = bytearray(em(tmp_path / "a.em", voxels()).read_bytes())
        data[at : at + len(value)] = value
        (tmp_path / "a.em").write_bytes(data)
        with pytest.raises(TomogramError, match=words):
            open_volume(tmp_path / "a.em", 10.0)

    def test_a_header_without_sense_is_no_em(self, tmp_path):
        path = em(tmp_path / "a.em", voxels())
        path.write_bytes(b"\6\0\0\5" + bytes(600))
        with pytest.raises(TomogramError, match=r"not an MRC file.*EM, HDF5"):
            open_volume(path)


class TestNumpy:
    @pytest.mark.parametrize("dtype", [*NUMBERS, "?"])
    def test_types(self, tmp_path, dtype):
        array = voxels(dtype)
        np.save(tmp_path / "a.npy", array)
        volume = same(tmp_path / "a.npy", array, voxel_size=8.0)
        assert volume.warnings == ()

    def test_fortran_order_is_read_and_said(self, tmp_path):
        array = voxels()
        np.save(tmp_path / "a.npy", np.asfortranarray(array))
        volume = same(tmp_path / "a.npy", array, voxel_size=8.0)
        assert "z fastest" in volume.warnings[0]

    def test_axes_of_one_are_left_out(self, tmp_path):
        array = voxels()
        np.save(tmp_path / "a.npy", array[None, ..., None])
        same(tmp_path / "a.npy", array, voxel_size=8.0)

    def test_no_voxel_size_is_known(self, tmp_path):
        np.save(tmp_path / "a.npy", voxels())
        with pytest.raises(
            VoxelSizeError, match=r"NumPy files hold none.*--voxel-size"
        ):
            open_volume(tmp_path / "a.npy")

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.zeros((4, 5)), "a 2D image of 5 x 4"),
            (np.zeros((1, 4, 5)), "a 2D image of 5 x 4"),
            (np.zeros(4), "three dimensions"),
            (np.zeros((2, 3, 4, 5)), "array of 2 x 3 x 4 x 5"),
            (np.zeros((0, 4, 5)), "without voxels"),
            (np.zeros(SHAPE, "c8"), "type complex64 cannot be picked"),
            (np.zeros(SHAPE, "U2"), "whole or real numbers"),
        ],
    )
    def test_refused(self, tmp_path, array, words):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(TomogramError, match=words):
            open_volume(tmp_path / "a.npy", 10.0)

    def test_nothing_is_unpickled(self, tmp_path):
        np.save(tmp_path / "a.npy", np.full(SHAPE, None), allow_pickle=True)
        with pytest.raises(TomogramError, match="type object cannot be picked"):
            open_volume(tmp_path / "a.npy", 10.0)


class TestHdf5:
    @pytest.mark.parametrize("options", [{}, {"chunks": (2, 4, 7), "compression": 4}])
    @pytest.mark.parametrize("dtype", FEW)
    def test_what_eman2_writes(self, tmp_path, dtype, options):
        array = voxels(dtype)
        path = eman(tmp_path / "TS_2.hdf", array, (13.48,) * 3, **options)
        assert same(path, array, 13.48).name == "TS_2"
        assert read_header(path).format == "HDF5 (EMAN2)"

    def test_voxels_that_are_no_cubes(self, tmp_path):
        path = eman(tmp_path / "a.hdf", voxels(), (10, 10, 20))
        with pytest.raises(VoxelSizeError, match="differs by axis"):
            open_volume(path)

    def test_the_only_volume_of_a_file_is_meant(self, tmp_path):
        array = voxels()
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["deep/in/it"] = array[None]
            file["deep/in/it"].attrs["element_size_um"] = (1e-3,) * 4
            file["angles"] = np.arange(41)
        volume = same(tmp_path / "a.h5", array, 10.0)
        assert volume.dtype == array.dtype

    def test_one_of_several_is_named_by_its_path(self, tmp_path):
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

    def test_a_stack_of_images(self, tmp_path):
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
    def test_cut_short(self, tmp_path, options):
        path = eman(tmp_path / "a.hdf", voxels("f8", (30, 30, 30)), **options)
        path.write_bytes(path.read_bytes()[:-9000])
        with pytest.raises(TomogramError, match=r"a\.hdf: not an HDF5 file.*cut short"):
            open_volume(path)

    def test_a_chunk_that_is_damaged(self, tmp_path):
        path = eman(tmp_path / "a.hdf", voxels("i2"), chunks=(2, 9, 7), fletcher32=True)
        data = bytearray(path.read_bytes())
        at = data.index(voxels("i2")[2:4].tobytes())
        data[at] ^= 0xFF
        path.write_bytes(data)
        with open_volume(path) as volume:
            volume.read(0, 2)
            with pytest.raises(TomogramError, match="may be damaged"):
                volume.read(2, 4)


class TestTiff:
    IMAGEJ = ("u1", "<u2", "<f4")

    @pytest.mark.parametrize("dtype", FEW)
    @pytest.mark.parametrize("packing", [None, "zlib"])
    def test_types_and_packing(self, tmp_path, dtype, packing):
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
    def test_what_imagej_writes(self, tmp_path, dtype):
        array = voxels(dtype)
        tifffile.imwrite(
            tmp_path / "TS_4.tif",
            array,
            imagej=True,
            resolution=(1 / 1.348, 1 / 1.348),
            metadata={"spacing": 1.348, "unit": "nm", "axes": "ZYX"},
        )
        assert same(tmp_path / "TS_4.tif", array, 13.48).name == "TS_4"

    def test_ome_tiff(self, tmp_path):
        array = voxels()
        sizes = {f"PhysicalSize{axis}": 1.348e-3 for axis in "XYZ"}
        path = tmp_path / "TS_5.ome.tif"
        tifffile.imwrite(path, array, metadata={"axes": "ZYX", **sizes})
        assert same(path, array, 13.48).name == "TS_5"
        assert read_header(path).format == "OME-TIFF"

    def test_resolution_tags(self, tmp_path):
        tifffile.imwrite(
            tmp_path / "a.tif",
            voxels(),
            resolution=(1e7, 1e7),
            resolutionunit="CENTIMETER",
            photometric="minisblack",
        )
        assert open_volume(tmp_path / "a.tif").voxel_size == 10.0

    @pytest.mark.parametrize("resolution", [None, (72.0, 72.0)])
    def test_those_of_a_screen_say_nothing(self, tmp_path, resolution):
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

    def test_a_compression_that_needs_another_package_names_it(self, tmp_path):
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
    def test_cut_short(self, tmp_path, packing):
        array = voxels("f4", (20, 30, 30))
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, array, compression=packing, photometric="minisblack")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        with (
            pytest.raises(TomogramError, match=r"a\.tif: .*(truncated|cut short)"),
            open_volume(path, 10.0) as volume,
        ):
            volume.read(0, 20)


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(2, 9), st.integers(1, 9), st.integers(2, 9)),
    chunk=st.tuples(*[st.integers(1, 12)] * 3),
    dtype=st.sampled_from(NUMBERS),
    reads=st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9)), max_size=6),
    unpacked=st.booleans(),
    at_once=st.sampled_from([1, 200, 1 << 20]),
)
def test_chunks_of_any_shape_give_the_same_planes(
    shape, chunk, dtype, reads, unpacked, at_once
):
    array = voxels(dtype, shape)
    loaded = []

    def load(box):
        loaded.append(tuple(part.start for part in box))
        return array[box]

    store = chunks.ChunkStore(
        "a", shape, array.dtype, chunk, load, lambda: None, costly=unpacked
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "AT_ONCE", at_once)
        planes = chunks.planes_of(store)
        assert isinstance(planes, chunks.UnpackedPlanes) == unpacked
        for z in range(shape[0]):
            np.testing.assert_array_equal(planes.read(z, z + 1)[0], array[z])
        # Reading on in z decodes every chunk once.
        assert len(loaded) == len(set(loaded))
        for z0, length in reads:
            z0, z1 = min(z0, shape[0] - 1), min(z0 + length, shape[0])
            np.testing.assert_array_equal(planes.read(z0, z1), array[z0:z1])
        np.testing.assert_array_equal(planes.whole(), array)
    if unpacked:
        assert len(loaded) == len(set(loaded))


def test_layers_of_chunks_that_memory_does_not_hold_go_to_a_file(monkeypatch):
    array = voxels("f4", (8, 16, 16))
    store = chunks.ChunkStore(
        "a", array.shape, array.dtype, (4, 8, 8), array.__getitem__, lambda: None
    )
    assert isinstance(chunks.planes_of(store), chunks.ChunkedPlanes)
    monkeypatch.setattr(chunks, "MOST_IN_MEMORY", 4 * 16 * 16 * 4 - 1)
    planes = chunks.planes_of(store)
    assert isinstance(planes, chunks.UnpackedPlanes)
    assert planes.held(8) <= 4 * 16 * 16 * 4
    np.testing.assert_array_equal(planes.read(2, 7), array[2:7])


def test_a_window_holds_what_it_says():
    array = voxels("i1", (40, 10, 10))
    store = chunks.ChunkStore(
        "a", array.shape, array.dtype, (8, 10, 10), array.__getitem__, lambda: None
    )
    planes = chunks.ChunkedPlanes(store)
    for count, most in ((1, 8), (8, 16), (9, 16), (10, 24), (40, 40)):
        assert planes.held(count) == most * 100
        spans = [(z, z + count) for z in range(40 - count + 1)]
        needed = max(-(-z1 // 8) * 8 - z0 // 8 * 8 for z0, z1 in spans)
        assert most == min(needed, 40)


@pytest.mark.parametrize("extra", ["zarr", "h5py", "tifffile"])
def test_a_library_that_is_missing_is_said(tmp_path, monkeypatch, extra):
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
def test_damage_is_an_error_for_people(tmp_path_factory, data):
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


def test_a_path_in_what_is_no_container(tmp_path):
    mrcfile.write(tmp_path / "a.mrc", voxels())
    with pytest.raises(TomogramError, match=r"a\.mrc/x: no such file"):
        open_volume(tmp_path / "a.mrc" / "x")


def test_a_wish_for_a_level_means_nothing_to_other_formats(tmp_path):
    path = eman(tmp_path / "a.hdf", voxels())
    assert read_header(path, Wish(near=40.0)).shape == SHAPE
