"""Measures the peak memory of `dep pick` on the same tomogram in every format.

Makes a float32 tomogram of noise and dark blobs in a temporary folder, plane by plane,
in every format that dep reads, and picks each in a process of its own. The peak is of
that whole process, as the system counts it: interpreter, libraries, the model, and the
pages of mapped files that were resident.

    python benchmarks/memory_formats.py                     # 512 x 512 x 200, fast
    python benchmarks/memory_formats.py --rescale           # from voxels of 8 Å to 10
    python benchmarks/memory_formats.py --only mrc,hdf5-gzip --depth 800
    python benchmarks/memory_formats.py --json              # for programs

Needs ``dep[cpu,formats]``, and a folder (TMPDIR, or --folder) with room for the
tomogram twice.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIB = 1 << 20
SPACING, RADIUS = 40, 3  # voxels between blobs, and of a blob
EM_PC, EM_FLOAT = 6, 5  # machine and type of voxels, in the header's first word

Shape = tuple[int, int, int]
Write = Callable[[Path, Shape, float], None]


def planes(shape: Shape) -> Iterator[NDArray[np.float32]]:
    """Give noise with dark blobs on a grid, plane by plane (y, x)."""
    depth, height, width = shape
    rng = np.random.default_rng(2024)
    near = (np.arange(max(height, width)) + SPACING // 2) % SPACING - SPACING // 2
    square = near[:height, None] ** 2 + near[None, :width] ** 2
    for z in range(depth):
        plane = rng.standard_normal((height, width), np.float32)
        far = (z + SPACING // 2) % SPACING - SPACING // 2
        plane[square + far**2 <= RADIUS**2] -= 9
        # Few digits, as processed tomograms have, so that there is something to pack.
        yield np.round(plane * 64) / np.float32(64)


def layers(shape: Shape, deep: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Give (first plane, planes), `deep` of them at a time."""
    held: list[NDArray[np.float32]] = []
    first = 0
    for plane in planes(shape):
        held.append(plane)
        if len(held) == deep:
            yield first, np.stack(held)
            first, held = first + deep, []
    if held:
        yield first, np.stack(held)


def raw(path: Path, head: bytes, shape: Shape) -> None:
    """Write a header and the voxels after it."""
    with path.open("wb") as file:
        file.write(head)
        for plane in planes(shape):
            plane.tofile(file)


def mrc(path: Path, shape: Shape, voxel_size: float) -> None:
    """Write an MRC file."""
    depth, height, width = shape
    header = np.zeros(1, HEADER_DTYPE)
    for axis, length in zip("xyz", (width, height, depth), strict=True):
        header[f"n{axis}"] = header[f"m{axis}"] = length
        header["cella"][axis] = length * voxel_size
    header["mode"], header["ispg"], header["nversion"] = 2, 1, 20140
    header["map"] = mrcfile.constants.MAP_ID
    header["machst"] = [0x44, 0x44, 0, 0]
    raw(path, header.tobytes(), shape)


def mrc_gz(path: Path, shape: Shape, voxel_size: float) -> None:
    """Write an MRC file compressed with gzip."""
    import gzip

    plain = path.with_suffix("")
    mrc(plain, shape, voxel_size)
    with plain.open("rb") as file, gzip.open(path, "wb", compresslevel=1) as packed:
        shutil.copyfileobj(file, packed, 4 * MIB)
    plain.unlink()


def em(path: Path, shape: Shape, voxel_size: float) -> None:
    """Write an EM file."""
    head = np.zeros(128, "<i4")
    head[:4] = [EM_PC | EM_FLOAT << 24, *shape[::-1]]
    head[24 + 6] = round(voxel_size * 1000)
    raw(path, head.tobytes(), shape)


def npy(path: Path, shape: Shape, _voxel_size: float) -> None:
    """Write a NumPy file."""
    array = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for z, plane in enumerate(planes(shape)):
        array[z] = plane


def ome_zarr(path: Path, shape: Shape, voxel_size: float, edge: int, kind: int) -> None:
    """Write an OME-Zarr image of one level, in compressed chunks."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=2 if kind == 4 else 3)
    level = group.create_array(
        "0", shape=shape, dtype=np.float32, chunks=(edge, edge, edge)
    )
    for first, layer in layers(shape, edge):
        level[first : first + len(layer)] = layer
    axes = [{"name": one, "type": "space", "unit": "angstrom"} for one in "zyx"]
    scale = [{"type": "scale", "scale": [voxel_size] * 3}]
    image = {
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
        "version": f"0.{kind}",
    }
    if kind == 4:
        group.attrs["multiscales"] = [image]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}


def hdf5(path: Path, shape: Shape, voxel_size: float, chunk: Shape | None) -> None:
    """Write an HDF5 file as EMAN2 does; chunked and packed with gzip, or neither."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("MDF/images/0")
        how = {"chunks": chunk, "compression": 1} if chunk else {}
        image = group.create_dataset("image", shape, np.float32, **how)
        for axis in "xyz":
            group.attrs[f"EMAN.apix_{axis}"] = voxel_size
        for first, layer in layers(shape, chunk[0] if chunk else 1):
            image[first : first + len(layer)] = layer


def tiff(path: Path, shape: Shape, voxel_size: float, packing: str | None) -> None:
    """Write a stack of pages, packed or in one piece, as ImageJ writes BigTIFF."""
    import tifffile

    centimetre = 1e8 / voxel_size
    tifffile.imwrite(
        path,
        planes(shape),
        shape=shape,
        dtype=np.float32,
        compression=packing,
        photometric="minisblack",
        bigtiff=True,
        resolution=(centimetre, centimetre),
        resolutionunit="CENTIMETER",
        metadata=None,
    )


# Name -> ending, what writes it. Chunks are z, y, x.
FORMATS: dict[str, tuple[str, Write]] = {
    "mrc": (".mrc", mrc),
    "mrc-gz": (".mrc.gz", mrc_gz),
    "em": (".em", em),
    "npy": (".npy", npy),
    "zarr-0.4": (".zarr", lambda *a: ome_zarr(*a, 64, 4)),
    "zarr-0.5": (".zarr", lambda *a: ome_zarr(*a, 128, 5)),
    "hdf5": (".hdf", lambda *a: hdf5(*a, None)),
    "hdf5-gzip": (".hdf", lambda *a: hdf5(*a, (32, 64, 64))),
    "tiff": (".tif", lambda *a: tiff(*a, None)),
    "tiff-zlib": (".tif", lambda *a: tiff(*a, "zlib")),
}


def write(name: str, path: Path, shape: Shape, voxel_size: float) -> None:
    """Write the tomogram in one format."""
    FORMATS[name][1](path, shape, voxel_size)


def size_of(path: Path) -> int:
    """Say how many bytes a file or folder takes."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.is_file())


def measure(name: str, words: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write the tomogram, pick it in a process of its own, and say what that took."""
    shape = (words.depth, words.height, words.width)
    voxel_size = 8.0 if words.rescale else 10.0
    path = folder / f"tomogram{FORMATS[name][0]}"
    # Elsewhere, so that this process stays small: the system begins to count a new
    # one with the memory of its parent.
    writer = multiprocessing.get_context("spawn").Process(
        target=write, args=(name, path, shape, voxel_size)
    )
    writer.start()
    writer.join()
    if writer.exitcode:
        sys.exit(f"{name}: could not be written")
    command = [sys.executable, "-c", "from dep.cli.main import app; app()"]
    command += ["pick", path, "--engine", words.engine, "-o", folder / "picks"]
    command += ["--quiet", *words.option]
    command += ["--voxel-size", str(voxel_size)] if name == "npy" else []
    command += ["--rescale"] if words.rescale else []
    began = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)))
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{name}: dep pick ended with {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - began
    record = json.loads((folder / "picks" / "run.json").read_text())
    (entry,) = record["tomograms"].values()
    result = {
        "format": name,
        "bytes_on_disk": size_of(path),
        "peak": usage.ru_maxrss * 1024,
        "seconds": round(seconds, 1),
        "picks": entry["picks"],
        "tile": entry["stats"]["tile"],
    }
    shutil.rmtree(folder / "picks")
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return result


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--width", type=int, default=512, help="voxels along x")
    parser.add_argument("--height", type=int, default=512, help="voxels along y")
    parser.add_argument("--depth", type=int, default=200, help="voxels along z")
    parser.add_argument("--engine", metavar="MODEL", default="fast")
    parser.add_argument("--rescale", action="store_true", help="from voxels of 8 Å")
    parser.add_argument("--only", default=",".join(FORMATS), help=", ".join(FORMATS))
    parser.add_argument(
        "--option", action="append", default=[], help="of dep pick: --option=--robust"
    )
    parser.add_argument("--folder", type=Path, help="of the tomogram (default: TMPDIR)")
    parser.add_argument("--json", action="store_true", help="for programs")
    words = parser.parse_args()
    names = words.only.split(",")
    if unknown := [name for name in names if name not in FORMATS]:
        parser.error(f"no format {', '.join(unknown)}; there are {', '.join(FORMATS)}")
    found = []
    with tempfile.TemporaryDirectory(dir=words.folder) as folder:
        for name in names:
            found.append(measure(name, words, Path(folder)))
            if not words.json:
                one = found[-1]
                z, y, x = one["tile"]
                sys.stdout.write(
                    f"{name:<10}{one['bytes_on_disk'] / 1e6:>8.0f} MB on disk, peak "
                    f"{one['peak'] / MIB:>5.0f} MiB, {one['seconds']:>6.1f} s, "
                    f"{one['picks']} picks, tiles of {x} x {y} x {z}\n"
                )
                sys.stdout.flush()
    if words.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
