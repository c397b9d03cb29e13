"""Tomograms open whatever their dialect, and what cannot be picked is refused."""

import bz2
import contextlib
import gc
import gzip
import os
import re
import shutil
import struct
import subprocess
import sys

import mrcfile
import numpy as np
import pytest

from dep.engine import TomogramError, Volume, VoxelSizeError, open_volume
from dep.engine.mrc import read_header
from dep.engine.volume import tomogram_name

SHAPE = (4, 5, 6)
DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def voxels(dtype="i2"):
    rng = np.random.default_rng(1)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 10, SHAPE).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, SHAPE, dtype, endpoint=True)


def write(path, array, voxel_size=10.0, extended=None):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(array)
        mrc.set_volume()
        mrc.voxel_size = voxel_size
        if extended is not None:
            mrc.set_extended_header(extended)
            mrc.header.exttyp = b"FEI1"
    return path


def patch(path, at, value):
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("mode", DTYPES)
@pytest.mark.parametrize("suffix", [".mrc", ".rec", ".map", ".st"])
def test_every_mode_and_suffix(tmp_path, mode, suffix):
    array = voxels(DTYPES[mode])
    path = write(tmp_path / f"TS_01{suffix}", array)
    with open_volume(path) as volume:
        assert (volume.shape, volume.name) == (SHAPE, "TS_01")
        assert volume.voxel_size == 10.0
        assert volume.warnings == ()
        assert not volume.array.flags.owndata
        assert not volume.array.flags.writeable
        np.testing.assert_array_equal(volume.array, array)
        np.testing.assert_array_equal(volume.read(1, 3), array[1:3])
        assert read_header(path).mode == mode


@pytest.mark.parametrize("mode", DTYPES)
def test_the_other_byte_order(tmp_path, mode):
    array = voxels(DTYPES[mode])
    path = swapped(tmp_path / "big.mrc", array)
    with open_volume(path) as volume:
        np.testing.assert_array_equal(volume.array, array)
        assert volume.voxel_size == 10.0


def swapped(path, array):
    """Write a big-endian file by swapping header words and voxels of a small one."""
    data = write(path, array).read_bytes()
    words = np.frombuffer(data[:1024], "<u4").copy()
    text = [26, 27, 52, 53, *range(56, 256)]  # exttyp, version, MAP, stamp, labels
    kept = words[text]
    words = words.byteswap()
    words[text] = kept
    head = bytearray(words.tobytes())
    head[212:216] = b"\x11\x11\0\0"
    path.write_bytes(head + array.astype(array.dtype.newbyteorder(">")).tobytes())
    return path


def test_a_wrong_machine_stamp_is_seen_through(tmp_path):
    array = voxels("f4")
    path = patch(swapped(tmp_path / "a.mrc", array), 212, b"DD\0\0")
    with open_volume(path) as volume:
        np.testing.assert_array_equal(volume.array, array)
    path = patch(write(tmp_path / "b.mrc", array), 212, b"\0\0\0\0")
    with open_volume(path) as volume:
        np.testing.assert_array_equal(volume.array, array)


class TestSignednessOfBytes:
    @pytest.fixture
    def path(self, tmp_path):
        return write(tmp_path / "bytes.mrc", voxels("i1"))

    def test_signed_by_the_standard(self, path):
        assert open_volume(path).dtype == np.int8

    def test_unsigned_where_imod_says_so(self, path):
        patch(path, 152, struct.pack("<ii", 1146047817, 0))
        with open_volume(path) as volume:
            assert volume.dtype == np.uint8
            np.testing.assert_array_equal(volume.array, voxels("i1").view("u1"))

    def test_signed_where_imod_says_so(self, path):
        patch(path, 152, struct.pack("<ii", 1146047817, 1 | 4))
        assert open_volume(path).dtype == np.int8

    def test_other_modes_are_not_touched(self, tmp_path):
        path = write(tmp_path / "a.mrc", voxels("i2"))
        patch(path, 152, struct.pack("<ii", 1146047817, 0))
        assert open_volume(path).dtype == np.int16


def test_an_extended_header_is_stepped_over(tmp_path):
    array = voxels()
    path = write(tmp_path / "a.mrc", array, extended=np.zeros(768, "V1"))
    with open_volume(path) as volume:
        np.testing.assert_array_equal(volume.array, array)
    header = read_header(path)
    assert header.data_offset == 1024 + 768
    assert header.extended_type == "FEI1"


@pytest.mark.parametrize(
    ("pack", "kind"), [(gzip.compress, "gzip"), (bz2.compress, "bzip2")]
)
@pytest.mark.parametrize("name", ["TS_7.mrc.gz", "TS_7.mrc.bz2", "TS_7.mrc"])
def test_compression_is_told_by_content(tmp_path, pack, kind, name):
    array = voxels("f4")
    path = tmp_path / name
    path.write_bytes(pack(write(tmp_path / "plain.mrc", array).read_bytes()))
    assert read_header(path).compression == kind
    before = set(tmp_path.iterdir())
    with open_volume(path) as volume:
        assert volume.name == "TS_7"
        assert not volume.array.flags.owndata
        assert not volume.array.flags.writeable
        np.testing.assert_array_equal(volume.array, array)
    assert set(tmp_path.iterdir()) == before


def test_unpacking_leaves_nothing_behind(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    path = tmp_path / "a.mrc.gz"
    path.write_bytes(gzip.compress(write(tmp_path / "a.mrc", voxels()).read_bytes()))
    with open_volume(path):
        assert list(scratch.iterdir()) == []


class TestVoxelSize:
    def test_of_the_header_is_not_blurred_by_32_bits(self, tmp_path):
        assert (
            open_volume(write(tmp_path / "a.mrc", voxels(), 13.48)).voxel_size == 13.48
        )

    def test_given_overrules_the_header(self, tmp_path):
        assert open_volume(write(tmp_path / "a.mrc", voxels()), 7.5).voxel_size == 7.5

    def test_of_0_must_be_given(self, tmp_path):
        path = write(tmp_path / "a.mrc", voxels(), 0.0)
        with pytest.raises(VoxelSizeError, match=r"a\.mrc: .* is 0\. .*--voxel-size"):
            open_volume(path)
        assert open_volume(path, 5.0).voxel_size == 5.0
        assert open_volume(path, default_voxel_size=6.0).voxel_size == 6.0
        assert read_header(path).voxel_size is None

    def test_that_differs_by_axis_must_be_given(self, tmp_path):
        path = write(tmp_path / "a.mrc", voxels(), (10.0, 10.0, 20.0))
        with pytest.raises(VoxelSizeError, match=r"differs by axis \(10 x 10 x 20 Å\)"):
            open_volume(path)

    @pytest.mark.parametrize("size", [0, -1.0, float("nan"), float("inf")])
    def test_that_makes_no_sense(self, tmp_path, size):
        with pytest.raises(VoxelSizeError, match=r"makes no sense.*--voxel-size"):
            open_volume(write(tmp_path / "a.mrc", voxels()), size)


class TestRefused:
    def test_no_such_file(self, tmp_path):
        with pytest.raises(TomogramError, match=r"none\.mrc: no such file"):
            open_volume(tmp_path / "none.mrc")

    def test_a_directory(self, tmp_path):
        with pytest.raises(TomogramError, match="is a directory"):
            open_volume(tmp_path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_no_permission(self, tmp_path):
        path = write(tmp_path / "a.mrc", voxels())
        path.chmod(0)
        with pytest.raises(TomogramError, match="no permission"):
            open_volume(path)

    def test_no_permission_whoever_runs_this(self, tmp_path, monkeypatch):
        def refuse(*_args, **_kwargs):
            raise PermissionError(13, "Permission denied")

        path = write(tmp_path / "a.mrc", voxels())
        monkeypatch.setattr("pathlib.Path.open", refuse)
        with pytest.raises(TomogramError, match=r"a\.mrc: no permission to read"):
            open_volume(path)

    def test_empty(self, tmp_path):
        (tmp_path / "a.mrc").touch()
        with pytest.raises(TomogramError, match=r"a\.mrc: the file is empty"):
            open_volume(tmp_path / "a.mrc")

    @pytest.mark.parametrize("missing", [1, 100, 239])
    def test_truncated(self, tmp_path, missing):
        path = write(tmp_path / "a.mrc", voxels("i2"))
        path.write_bytes(path.read_bytes()[:-missing])
        with pytest.raises(
            TomogramError,
            match=rf"truncated: expected 1264 bytes .* found {1264 - missing}\.",
        ):
            open_volume(path)

    def test_truncated_inside_the_header(self, tmp_path):
        path = write(tmp_path / "a.mrc", voxels())
        path.write_bytes(path.read_bytes()[:700])
        with pytest.raises(TomogramError, match="not an MRC file"):
            open_volume(path)

    def test_truncated_before_it_was_packed(self, tmp_path):
        data = write(tmp_path / "a.mrc", voxels()).read_bytes()
        (tmp_path / "a.mrc.gz").write_bytes(gzip.compress(data[:-10]))
        with pytest.raises(TomogramError, match=r"found 1254 after unpacking"):
            open_volume(tmp_path / "a.mrc.gz")

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
    def test_cut_short_after_it_was_packed(self, tmp_path, pack):
        data = pack(write(tmp_path / "a.mrc", voxels("f4")).read_bytes())
        path = tmp_path / "a.mrc.gz"
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(TomogramError, match="damaged or cut short"):
            open_volume(path)

    def test_packed_bytes_that_are_damaged(self, tmp_path):
        data = bytearray(
            gzip.compress(write(tmp_path / "a.mrc", voxels("f4")).read_bytes())
        )
        data[len(data) // 2] ^= 0xFF
        path = tmp_path / "a.mrc.gz"
        path.write_bytes(data)
        with pytest.raises(TomogramError, match="gzip data is damaged"):
            open_volume(path)

    @pytest.mark.parametrize(
        "content", [b"x", b"#!/bin/sh\n" * 300, b"\0" * 4096, os.urandom(5000)]
    )
    def test_not_mrc(self, tmp_path, content):
        path = tmp_path / "a.mrc"
        path.write_bytes(content)
        with pytest.raises(TomogramError, match=r"a\.mrc: not an MRC file .*\.rec"):
            open_volume(path)

    @pytest.mark.parametrize(
        ("mode", "words"), [(3, "complex 16"), (4, "complex 32"), (101, "4-bit")]
    )
    def test_modes_that_are_no_tomogram(self, tmp_path, mode, words):
        path = write(tmp_path / "a.mrc", voxels())
        patch(path, 12, struct.pack("<i", mode))
        with pytest.raises(TomogramError, match=rf"MRC mode {mode} \({words}"):
            open_volume(path)

    def test_unknown_mode(self, tmp_path):
        patch(write(tmp_path / "a.mrc", voxels()), 12, struct.pack("<i", 77))
        with pytest.raises(TomogramError, match="not an MRC file"):
            open_volume(tmp_path / "a.mrc")

    @pytest.mark.parametrize("shape", [(5, 6), (1, 5, 6)])
    def test_an_image(self, tmp_path, shape):
        with mrcfile.new(tmp_path / "a.mrc") as mrc:
            mrc.set_data(np.zeros(shape, "f4"))
        with pytest.raises(TomogramError, match="a 2D image of 6 x 5 pixels"):
            open_volume(tmp_path / "a.mrc", 10.0)

    def test_a_stack_of_volumes(self, tmp_path):
        with mrcfile.new(tmp_path / "a.mrc") as mrc:
            mrc.set_data(np.zeros((2, *SHAPE), "f4"))
        with pytest.raises(TomogramError, match="a stack of 2 volumes of 6 x 5 x 4"):
            open_volume(tmp_path / "a.mrc", 10.0)

    def test_a_full_disk(self, tmp_path, monkeypatch):
        path = tmp_path / "a.mrc.gz"
        path.write_bytes(
            gzip.compress(write(tmp_path / "a.mrc", voxels()).read_bytes())
        )

        class Full:
            def write(self, _data):
                raise OSError(28, "No space left on device")

            def close(self):
                pass

        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
        with pytest.raises(TomogramError, match=r"No space left.*TMPDIR"):
            open_volume(path)

    def test_no_room_is_found_before_anything_is_unpacked(self, tmp_path, monkeypatch):
        array = np.zeros((64, 64, 64), "i1")
        plain = write(tmp_path / "a.mrc", array).read_bytes()
        path = tmp_path / "a.mrc.gz"
        path.write_bytes(gzip.compress(plain))
        usage = shutil.disk_usage(tmp_path)._replace(free=len(plain) - 1)
        with monkeypatch.context() as full:
            full.setattr("shutil.disk_usage", lambda _folder: usage)
            with pytest.raises(TomogramError, match=r"0\.3 MiB needed.*TMPDIR"):
                open_volume(path)
        usage = usage._replace(free=len(plain))
        monkeypatch.setattr("shutil.disk_usage", lambda _folder: usage)
        with open_volume(path) as volume:
            assert volume.shape == (64, 64, 64)

    def test_what_unpacks_to_more_than_its_header_says_does_not_fill_the_disk(
        self, tmp_path
    ):
        plain = write(tmp_path / "a.mrc", voxels()).read_bytes()
        path = tmp_path / "a.mrc.gz"
        path.write_bytes(gzip.compress(plain + bytes(64 << 20)))
        with open_volume(path) as volume:
            (warning,) = volume.warnings
            np.testing.assert_array_equal(volume.array, voxels())
        ignored = int(re.search(r"at least (\d+) bytes after the last", warning)[1])
        assert 0 < ignored < 8 << 20


def test_bytes_after_the_last_voxel_are_mentioned(tmp_path):
    path = write(tmp_path / "a.mrc", voxels())
    path.write_bytes(path.read_bytes() + b"more")
    with open_volume(path) as volume:
        assert volume.warnings == (
            f"{path}: 4 bytes after the last voxel were ignored",
        )
        np.testing.assert_array_equal(volume.array, voxels())


class TestArrays:
    def test_are_used_as_they_are(self):
        array = voxels("f4")
        with open_volume(array, 10.0, name="mine") as volume:
            assert np.shares_memory(volume.array, array)
            assert volume.name == "mine"

    def test_need_a_voxel_size(self):
        with pytest.raises(VoxelSizeError, match="voxel_size="):
            open_volume(voxels())

    @pytest.mark.parametrize("shape", [(5,), (5, 6), (2, 3, 4, 5)])
    def test_of_other_dimensions(self, shape):
        with pytest.raises(TomogramError, match="three dimensions"):
            open_volume(np.zeros(shape), 10.0)

    def test_without_voxels(self):
        with pytest.raises(TomogramError, match="without voxels"):
            open_volume(np.zeros((4, 0, 4)), 10.0)

    @pytest.mark.parametrize("dtype", ["c8", "U3", "O"])
    def test_of_other_things(self, dtype):
        with pytest.raises(TomogramError, match="whole or real numbers"):
            open_volume(np.zeros(SHAPE, dtype), 10.0)


class TestCutShortWhileMapped:
    EDGES = (64, 40, 44)
    BYTES = 1024 + 64 * 40 * 44

    @pytest.fixture
    def path(self, tmp_path):
        array = np.arange(64 * 40 * 44).reshape(self.EDGES) % 99
        return write(tmp_path / "a.mrc", array.astype("i1"))

    def test_is_an_error_and_does_not_kill_the_process(self, path):
        """In a process of its own, which a signal would end."""
        code = (
            "import os, sys\n"
            "from dep.engine import TomogramError, open_volume\n"
            "volume = open_volume(sys.argv[1])\n"
            "os.truncate(sys.argv[1], 5000)\n"
            "try:\n"
            "    volume.read(40, 60).sum()\n"
            "except TomogramError as error:\n"
            "    sys.exit(str(error))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert f"expected {self.BYTES} bytes, found 5000" in done.stderr
        assert "a.mrc: the file was cut short while it was read" in done.stderr

    def test_a_file_that_grows_or_is_replaced_is_read_on(self, path):
        with open_volume(path) as volume:
            before = volume.read(0, 64).copy()
            with path.open("ab") as stream:
                stream.write(b"more")
            np.testing.assert_array_equal(volume.read(0, 64), before)
            path.unlink()
            path.write_bytes(b"another")
            np.testing.assert_array_equal(volume.read(0, 64), before)

    @pytest.mark.skipif(
        not os.path.isdir("/proc/self/fd"),  # noqa: PTH112 - of a constant
        reason="the system does not list open files",
    )
    @pytest.mark.parametrize("close", [True, False])
    def test_the_file_is_let_go(self, path, close):
        def held():
            links = []
            for one in os.listdir("/proc/self/fd"):  # noqa: PTH208 - links vanish
                with contextlib.suppress(OSError):
                    links.append(os.readlink(f"/proc/self/fd/{one}"))  # noqa: PTH115
            return links.count(str(path))

        volume = open_volume(path)
        assert held() >= 1
        if close:
            volume.close()
        del volume
        gc.collect()
        assert held() == 0


def test_a_closed_tomogram_says_so(tmp_path):
    volume = open_volume(write(tmp_path / "a.mrc", voxels()))
    plane = volume.read(0, 1)
    volume.close()
    with pytest.raises(TomogramError, match=r"a\.mrc: the tomogram is closed"):
        volume.read(0, 1)
    np.testing.assert_array_equal(plane, voxels()[:1])
    assert isinstance(volume, Volume)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("TS_01.mrc", "TS_01"),
        ("/data/001.rec", "001"),
        ("a.b.MRC.GZ", "a.b"),
        ("rec_7.map.bz2", "rec_7"),
        ("TS_01_10.00Apx.mrc", "TS_01_10.00Apx"),
        ("tomogram.dat", "tomogram.dat"),
        (".mrc", ".mrc"),
    ],
)
def test_a_tomogram_is_named_after_its_file(file, name):
    assert tomogram_name(file) == name
