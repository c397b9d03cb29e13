"""EM files give the voxels that were written, in either byte order."""

import struct

import emfile
import numpy as np
import pytest

from dep.engine import TomogramError, VoxelSizeError, open_volume
from dep.engine.readers.registry import read_header

SHAPE = (6, 9, 7)
EM_TYPES = {"i1": 1, "i2": 2, "i4": 4, "f4": 5, "f8": 9}


class TestEm:
    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("kind", EM_TYPES)
    def test_types_and_byte_orders(self, tmp_path, kind, order, voxels, em, same):
        array = voxels(kind)
        volume = same(em(tmp_path / "TS_1.em", array, order, 13480), array, 13.48)
        assert volume.name == "TS_1"

    def test_what_another_program_writes(self, tmp_path, voxels, same):
        array = voxels("f4")
        emfile.write(tmp_path / "a.em", array)
        same(tmp_path / "a.em", array, voxel_size=10.0)
        assert read_header(tmp_path / "a.em").format == "EM"

    def test_without_a_pixel_size_it_must_be_given(self, tmp_path, voxels, em):
        with pytest.raises(VoxelSizeError, match=r"is 0\. Give it with --voxel-size"):
            open_volume(em(tmp_path / "a.em", voxels()))

    def test_truncated(self, tmp_path, voxels, em):
        path = em(tmp_path / "a.em", voxels())
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(TomogramError, match=r"truncated: expected 2024 bytes"):
            open_volume(path, 10.0)

    @pytest.mark.parametrize(
        ("at", "value", "words"), [(3, b"\x08", "complex"), (12, b"\1\0\0\0", "2D")]
    )
    def test_refused(self, tmp_path, at, value, words, voxels, em):
        data = bytearray(em(tmp_path / "a.em", voxels()).read_bytes())
        data[at : at + len(value)] = value
        (tmp_path / "a.em").write_bytes(data)
        with pytest.raises(TomogramError, match=words):
            open_volume(tmp_path / "a.em", 10.0)

    def test_a_header_without_sense_is_no_em(self, tmp_path, voxels, em):
        path = em(tmp_path / "a.em", voxels())
        path.write_bytes(b"\6\0\0\5" + bytes(600))
        with pytest.raises(
            TomogramError, match=r"not an EM file: .* found 6, 5 and 0 x 0"
        ):
            open_volume(path)

    @pytest.mark.parametrize("order", "<>")
    @pytest.mark.parametrize("machine", [0, 6])
    def test_the_length_decides_where_both_orders_make_sense(
        self, tmp_path, machine, order
    ):
        # 256 is 65536 in the other order, which a tomogram might be wide.
        plane = np.arange(1 << 16).astype("i1")
        head = struct.pack("4B", machine, 0, 0, 1)
        head += struct.pack(order + "3i", 256, 256, 256)
        path = tmp_path / "a.em"
        path.write_bytes(head.ljust(512, b"\0") + 256 * plane.tobytes())
        with open_volume(path, 10.0) as volume:
            assert volume.shape == (256, 256, 256)
            np.testing.assert_array_equal(volume.read(255, 256)[0].ravel(), plane)

    @pytest.mark.parametrize("kind", EM_TYPES)
    def test_emfile_and_this_agree(self, tmp_path, kind, voxels):
        path = tmp_path / "a.em"
        emfile.write(path, voxels(kind))
        _, array = emfile.read(path)
        with open_volume(path, 10.0) as volume:
            assert volume.dtype == array.dtype == kind
            np.testing.assert_array_equal(volume.array, array)

    @pytest.mark.parametrize(
        ("head", "found"),
        [
            (b"\6\0\0\5" + struct.pack("<3i", -5, 9, 9), "6, 5 and -5 x 9 x 9"),
            (b"\6\0\0\6" + struct.pack("<3i", 9, 9, 9), "6, 6 and 9 x 9 x 9"),
            (b"\7\0\0\5" + struct.pack("<3i", 9, 9, 9), "7, 5 and 9 x 9 x 9"),
            (b"\6\0\0\5" + struct.pack("<3i", 9, 9, 1 << 21), "9 x 9 x 2097152"),
        ],
    )
    def test_what_a_header_says_that_makes_no_sense(self, tmp_path, head, found):
        (tmp_path / "a.em").write_bytes(head.ljust(3000, b"\0"))
        with pytest.raises(TomogramError, match=f"not an EM file: .*found.* {found}"):
            open_volume(tmp_path / "a.em")
        (tmp_path / "a.em").write_bytes(head)
        with pytest.raises(TomogramError, match="16 bytes, which are less than"):
            read_header(tmp_path / "a.em")

    @pytest.mark.parametrize("edge", [1 << 20, 100_000])
    def test_sizes_far_beyond_the_file(self, tmp_path, edge):
        head = b"\6\0\0\5" + struct.pack("<3i", *(edge,) * 3)
        (tmp_path / "a.em").write_bytes(head.ljust(3000, b"\0"))
        with pytest.raises(TomogramError, match=rf"expected {512 + 4 * edge**3} bytes"):
            open_volume(tmp_path / "a.em", 10.0)
