"""Fixtures: voxels of a small tomogram, and images of it at several levels."""

import numpy as np
import pytest
import zarr

SHAPE = (12, 20, 16)


def make_voxels(dtype="f4", shape=SHAPE):
    return np.random.default_rng(0).normal(0, 30, shape).clip(-99, 99).astype(dtype)


@pytest.fixture(scope="session")
def voxels():
    return make_voxels


def write_image(
    path,
    array,
    version="0.4",
    size=0.5,
    unit="nanometer",
    levels=3,
    names="zyx",
    prefix="",
    **options,
):
    """Write an image whose levels are every second voxel of the one before."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    axes = [
        {"name": name, **({"type": "space", "unit": unit} if name in "zyx" else {})}
        for name in names
    ]
    datasets = []
    for number in range(levels):
        every = (slice(None, None, 2**number),) * 3
        part = array[..., *every]
        options.setdefault("chunks", (1,) * (part.ndim - 3) + (5, 8, 16))
        name = f"{prefix}{number}"
        group.create_array(name, shape=part.shape, dtype=part.dtype, **options)[:] = (
            part
        )
        scale = [1.0] * (part.ndim - 3) + [size * 2**number] * 3
        transformations = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": [0.0] * part.ndim},
        ]
        datasets.append({"path": name, "coordinateTransformations": transformations})
    multiscales = [{"axes": axes, "datasets": datasets, "name": "tomogram"}]
    if version == "0.4":
        multiscales[0]["version"] = version
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    return path


@pytest.fixture(scope="session")
def image():
    return write_image
