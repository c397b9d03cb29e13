"""NumPy's files are mapped, in either order of axes, and never unpickled."""

import numpy as np
import pytest

from dep.engine import TomogramError, VoxelSizeError, open_volume

SHAPE = (6, 9, 7)
NUMBERS = ["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", "<f2", "<f4", ">f4", "<f8"]


class TestNumpy:
    @pytest.mark.parametrize("dtype", [*NUMBERS, "?"])
    def test_types(self, tmp_path, dtype, voxels, same):
        array = voxels(dtype)
        np.save(tmp_path / "a.npy", array)
        volume = same(tmp_path / "a.npy", array, voxel_size=8.0)
        assert volume.warnings == ()

    def test_fortran_order_is_read_and_said(self, tmp_path, voxels, same):
        array = voxels()
        np.save(tmp_path / "a.npy", np.asfortranarray(array))
        volume = same(tmp_path / "a.npy", array, voxel_size=8.0)
        assert "z fastest" in volume.warnings[0]

    def test_axes_of_one_are_left_out(self, tmp_path, voxels, same):
        array = voxels()
        np.save(tmp_path / "a.npy", array[None, ..., None])
        same(tmp_path / "a.npy", array, voxel_size=8.0)

    def test_no_voxel_size_is_known(self, tmp_path, voxels):
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

    def test_an_archive_is_said_to_be_one(self, tmp_path, voxels):
        np.savez(tmp_path / "a.npz", voxels())
        for name in ("a.npz", "b.npy"):
            (tmp_path / "a.npz").replace(tmp_path / name)
            with pytest.raises(TomogramError, match=rf"{name}: a ZIP archive"):
                open_volume(tmp_path / name)
            (tmp_path / name).replace(tmp_path / "a.npz")

    @pytest.mark.parametrize(
        ("shape", "words"),
        [
            (
                "(10000000, 10000000, 10000000)",
                "truncated: expected 40000000000000",
            ),
            ("(-5, 4, 4)", "without voxels"),
            ('("a", 4, 4)', "not a NumPy file"),
            ("(4.0, 4, 4)", "not a NumPy file"),
            ("(4, 4, (4", "not a NumPy file"),
            ("(4, 4, 4)], [", "not a NumPy file"),
            ("{[]: 4}", "not a NumPy file"),
        ],
    )
    def test_headers_that_lie(self, tmp_path, shape, words):
        head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        head = head.ljust(117) + "\n"
        magic = b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little")
        (tmp_path / "a.npy").write_bytes(magic + head.encode() + bytes(999))
        with pytest.raises(TomogramError, match=words):
            open_volume(tmp_path / "a.npy", 10.0)
