"""Read HDF5 files with h5py: EMAN2's, and any that hold one volume.

EMAN2 keeps image N as the dataset ``/MDF/images/N/image``, and its header as attributes
``EMAN.*`` of the group around it. Voxels that it compressed are read as the whole
numbers that are stored: normalisation makes of these what it makes of the real ones,
which are a linear function of them.

The only module that imports h5py.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import TomogramError
from dep.engine.readers.chunks import Box, ChunkStore, planes_of
from dep.engine.readers.header import Header, check_voxels, edge_of, three_axes
from dep.engine.readers.optional import need
from dep.engine.readers.planes import Planes, map_voxels

if TYPE_CHECKING:
    import h5py  # type: ignore[import-untyped]

MAGIC = b"\x89HDF\r\n\x1a\n"
USER_BLOCK = 512  # bytes of another program before it, MATLAB's; larger ones are rare
EMAN_IMAGES = "MDF/images"
EMAN_EDGES = ("EMAN.apix_x", "EMAN.apix_y", "EMAN.apix_z")
# Written by ilastik and Fiji's HDF5 plugin: z, y, x in micrometres.
ELEMENT_SIZE = "element_size_um"
MICROMETRE = 1e4  # Å
AT_ONCE = 4 << 20  # bytes read at once where nothing is chunked
SHOWN = 8  # datasets named in a message


def recognises(head: bytes) -> bool:
    """Say whether the first bytes of a file are those of an HDF5 file."""
    return MAGIC in (head[: len(MAGIC)], head[USER_BLOCK:][: len(MAGIC)])


def open_hdf5(
    path: Path, stream: IO[bytes], inner: str
) -> tuple[Header, Planes, list[str]]:
    """Open one dataset of an HDF5 file: mapped where it lies in one piece.

    Parameters
    ----------
    path, stream
        The file.
    inner : str
        The dataset, or a group around it; empty: the only volume there is.

    Raises
    ------
    TomogramError
        Damaged, truncated, no such dataset, several, or none that is a volume; h5py is
        not installed.
    """
    library = need("h5py", "hdf5", path, "HDF5 files")
    try:
        # Locks fail on many network drives, and nothing is written here.
        file: h5py.File = library.File(path, "r", locking=False)
    except OSError as error:
        raise _damaged(path, error) from error
    try:
        dataset = _choose(path, file, inner, library.Dataset)
        return _open(path, stream, dataset, file.close)
    except TomogramError:
        file.close()
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        file.close()
        raise _damaged(path, error) from error


def _choose(
    path: Path, file: "h5py.File", inner: str, kind: "type[h5py.Dataset]"
) -> "h5py.Dataset":
    """Find the dataset that is meant."""
    if inner:
        try:
            found = file[inner]
        except KeyError as error:
            message = f"{path}: no {inner} in this file{_listing(path, file, kind)}"
            raise TomogramError(message) from error
        if isinstance(found, kind):
            return found
    start: h5py.Group = found if inner else file
    every = _datasets(start, kind)
    volumes = [one for one in every if _is_volume(one)]
    if len(volumes) == 1:
        return volumes[0]
    if not inner and EMAN_IMAGES in file and len(file[EMAN_IMAGES]) > 1:
        message = (
            f"{path}: a stack of {len(file[EMAN_IMAGES])} images or volumes. Expected "
            f"one tomogram{_listing(path, file, kind)}"
        )
    else:
        message = (
            f"{path}: {len(volumes) or 'no'} volumes in this file, expected one"
            f"{_listing(path, file, kind)}"
        )
    raise TomogramError(message)


def _datasets(start: "h5py.Group", kind: "type[h5py.Dataset]") -> "list[h5py.Dataset]":
    found: list[h5py.Dataset] = []

    def visit(_name: str, one: object) -> None:
        if isinstance(one, kind):
            found.append(one)

    start.visititems(visit)
    return found


def _is_volume(dataset: "h5py.Dataset") -> bool:
    lengths = [length for length in dataset.shape or () if length > 1]
    return len(lengths) == 3 and dataset.dtype.kind in "iufb"


def _listing(path: Path, file: "h5py.File", kind: "type[h5py.Dataset]") -> str:
    """Say which datasets there are, and how one is chosen."""
    every = _datasets(file, kind)
    if not every:
        return "; it holds no datasets at all."
    every.sort(key=lambda one: not _is_volume(one))  # volumes first
    named = [f"{one.name} ({_size(one)} {one.dtype})" for one in every[:SHOWN]]
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    held = f". It holds {', '.join(named)}{more}"
    if not _is_volume(every[0]):
        return f"{held}: none has three dimensions (z, y, x) of numbers."
    return f"{held}. Choose one by its path after the file's: {path}{every[0].name}"


def _size(dataset: "h5py.Dataset") -> str:
    return " x ".join(map(str, dataset.shape or ())) or "no array"


def _open(
    path: Path,
    stream: IO[bytes],
    dataset: "h5py.Dataset",
    close: Callable[[], None],
) -> tuple[Header, Planes, list[str]]:
    label = f"{path}{dataset.name}"
    shape = dataset.shape or ()
    check_voxels(label, dataset.dtype)
    axes = three_axes(label, shape)
    z, y, x = (int(shape[axis]) for axis in axes)
    edges, eman = _voxel_edges(dataset, axes)
    chunks = tuple(dataset.chunks[axis] for axis in axes) if dataset.chunks else ()
    header = Header(
        format="HDF5 (EMAN2)" if eman else "HDF5",
        shape=(z, y, x),
        dtype=dataset.dtype,
        voxel_edges=edges,
        details={
            "dataset": dataset.name,
            "chunks_xyz": list(chunks[::-1]),
            "compressed": dataset.compression or "",
        },
    )
    # Of a dataset that is linked from another file, the place is one in that file.
    here = Path(dataset.file.filename).samefile(path)
    offset = dataset.id.get_offset() if here and not chunks else None
    if offset is not None and dataset.dtype.kind in "iuf":
        planes, _ = map_voxels(path, stream, offset, header.shape, dataset.dtype)
        close()
        return header, planes, []

    def load(box: Box) -> NDArray[Any]:
        index: list[slice | int] = [0] * len(shape)
        for axis, part in zip(axes, box, strict=True):
            index[axis] = part
        try:
            voxels: NDArray[Any] = dataset[tuple(index)]
        except (OSError, RuntimeError, ValueError) as error:
            raise _damaged(path, error) from error
        return voxels

    store = ChunkStore(
        label=label,
        shape=header.shape,
        dtype=np.dtype(dataset.dtype),
        chunk=_chunk(chunks, header.shape, dataset.dtype.itemsize),
        load=load,
        close=close,
    )
    return header, planes_of(store), []


def _chunk(
    chunks: tuple[int, ...], shape: tuple[int, int, int], size: int
) -> tuple[int, int, int]:
    """Give what is read at once (z, y, x)."""
    if len(chunks) == 3:
        return chunks[0], chunks[1], chunks[2]
    plane = math.prod(shape[1:]) * size
    return max(1, AT_ONCE // plane), shape[1], shape[2]


def _voxel_edges(
    dataset: "h5py.Dataset", axes: tuple[int, ...]
) -> tuple[tuple[float, float, float], bool]:
    """Give x, y, z in ångström, 0 where unknown; and whether EMAN2 wrote them."""
    around = dataset.parent.attrs
    x, y, z = (edge_of(_number(around.get(name))) for name in EMAN_EDGES)
    eman = any(name.startswith("EMAN.") for name in around)
    if eman:
        return (x, y, z), True
    sizes = np.ravel(dataset.attrs.get(ELEMENT_SIZE, ()))
    if len(sizes) == len(dataset.shape or ()):
        sizes = sizes[list(axes)]
    if len(sizes) == 3:
        z, y, x = (edge_of(float(one) * MICROMETRE) for one in sizes)
    return (x, y, z), False


def _number(value: object) -> object:
    """Take a number out of an array of one."""
    return np.ravel(value)[0] if np.size(value) == 1 else value  # type: ignore[arg-type, call-overload]


def _damaged(path: Path, error: Exception) -> TomogramError:
    return TomogramError(
        f"{path}: not an HDF5 file that can be read ({error}). It may be damaged, cut "
        "short or still be written: copy it again, or wait."
    )
