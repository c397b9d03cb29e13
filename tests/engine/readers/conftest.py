"""Fixtures: voxels of a small tomogram, files that hold them, and how they compare."""

import struct

import h5py
import numpy as np
import pytest

from dep.engine import open_volume

SHAPE = (6, 9, 7)
EM_TYPES = {"i1": 1, "i2": 2, "i4": 4, "f4": 5, "f8": 9}


def make_voxels(dtype="f4", shape=SHAPE, seed=0):
    numbers = np.random.default_rng(seed).normal(0, 30, shape).clip(-99, 99)
    return (np.abs(numbers) if np.dtype(dtype).kind == "u" else numbers).astype(dtype)


@pytest.fixture(scope="session")
def voxels():
    return make_voxels


def write_em(path, array, order="<", pixel=0):
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


@pytest.fixture(scope="session")
def em():
    return write_em


def write_eman(path, array, edges=(10, 10, 10), **options):
    with h5py.File(path, "w") as file:
        group = file.create_group("MDF/images/0")
        group.create_dataset("image", data=array, **options)
        for axis, edge in zip("xyz", edges, strict=True):
            group.attrs[f"EMAN.apix_{axis}"] = np.float32(edge)
    return path


@pytest.fixture(scope="session")
def eman():
    return write_eman


def compare(path, array, size=None, **how):
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


@pytest.fixture(scope="session")
def same():
    return compare
