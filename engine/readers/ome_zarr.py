"""Read OME-Zarr images (NGFF 0.4 on Zarr 2, 0.5 on Zarr 3), local and by address.

Source: "Next-generation file formats (NGFF)", https://ngff.openmicroscopy.org/0.4 and
/0.5. Voxels of a level are counted from the centre of its first one, whatever its
``translation`` says.

The only module that imports zarr, and with it fsspec.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import TomogramError
from dep.engine.readers import remote
from dep.engine.readers.blosc import is_cut_short
from dep.engine.readers.chunks import Box, ChunkStore, planes_of
from dep.engine.readers.files import is_file
from dep.engine.readers.header import Header, Level, Wish, check_voxels, three_axes
from dep.engine.readers.levels import choose_level
from dep.engine.readers.multiscales import Multiscales, read_multiscales
from dep.engine.readers.names import Location, is_url
from dep.engine.readers.optional import need
from dep.engine.readers.planes import Planes

if TYPE_CHECKING:
    import zarr
    from zarr.storage import FsspecStore

# Any of these in a folder makes it one of Zarr's.
MARKS = ("zarr.json", ".zgroup", ".zarray")
# What zarr says where it does not know how chunks are packed.
NO_CODEC = ("codec not available", "Unknown codec")
ABSENT = f" (none of {', '.join(MARKS)}): is it copied completely, and the path right?"
SHOWN = 8  # members of a group named in a message
DEEPEST = 2  # parts of a level's path: "0", or "scale0/image"


def is_zarr(folder: Path) -> bool:
    """Say whether a folder is a Zarr group or array; no if it may not be searched."""
    return any(is_file(folder / mark) for mark in MARKS)


def open_zarr(location: Location, wish: Wish) -> tuple[Header, Planes, list[str]]:
    """Open one level of an OME-Zarr image, or a Zarr array.

    Parameters
    ----------
    location : path or address
        Of an image, or of one level of it.
    wish : Wish
        Which level of an image.

    Raises
    ------
    TomogramError
        No such folder or address, no answer in time, no image, other axes than z, y, x
        of more than one voxel; zarr is not installed.
    """
    label = str(location).rstrip("/")
    need("zarr", "zarr", label, "OME-Zarr images")
    node = _node(label)
    image, arrays, name = _image(label, node)
    if image is None:
        (name,) = arrays
        levels: tuple[Level, ...] = ()
    else:
        levels = image.levels({key: one.shape for key, one in arrays.items()})
        if not name:
            name = choose_level(levels, wish).name
    array = arrays[name]
    own = label if not image or label.endswith(f"/{name}") else f"{label}/{name}"
    check_voxels(own, array.dtype)
    axes = image.axes(own, array.shape) if image else three_axes(own, array.shape)
    z, y, x = (int(array.shape[axis]) for axis in axes)
    three_axes(own, (z, y, x))
    edges, unknown = image.edges(name) if image else ((0.0, 0.0, 0.0), "is not given")
    chunks = [int(array.chunks[axis]) for axis in axes]
    if min(array.chunks) < 1:
        message = f"{own}: chunks of {chunks} voxels: the metadata is damaged"
        raise TomogramError(message)
    header = Header(
        format=f"OME-Zarr {image.version}" if image else "Zarr",
        shape=(z, y, x),
        dtype=np.dtype(array.dtype),
        voxel_edges=edges,
        unknown=unknown,
        level=name if image else "",
        levels=levels,
        details={
            "zarr_format": array.metadata.zarr_format,
            "chunks_xyz": chunks[::-1],
        },
    )
    store = ChunkStore(
        label=own,
        shape=header.shape,
        dtype=header.dtype,
        chunk=(chunks[0], chunks[1], chunks[2]),
        load=_loader(own, array, axes),
        close=array.store.close,
        costly=is_url(label),
    )
    return header, planes_of(store), _missing(own, array)


def _node(label: str) -> "zarr.Array[Any] | zarr.Group":
    """Open what lies at a path or an address, for reading."""
    import zarr

    try:
        with warnings.catch_warnings():
            # Of servers that answer to every name. Not ours to pass on.
            warnings.simplefilter("ignore", UserWarning)
            store = _remote(label) if is_url(label) else label
            return remote.again(label, lambda: zarr.open(store, mode="r"))
    except TomogramError:
        raise
    except FileNotFoundError as error:
        message = f"{label}: no Zarr image here{_among(label) or ABSENT}"
        raise TomogramError(message) from error
    except ImportError as error:
        message = (
            f"{label}: this kind of address needs a package that is not installed "
            f"({error})"
        )
        raise TomogramError(message) from error
    except Exception as error:  # whatever a server or damaged metadata makes of it
        raise _failed(label, error) from error


def _remote(url: str) -> "FsspecStore":
    """Make a store of an address."""
    options = remote.options(url)
    from zarr.storage import FsspecStore

    return FsspecStore.from_url(url, storage_options=options, read_only=True)


def _image(
    label: str, node: "zarr.Array[Any] | zarr.Group"
) -> "tuple[Multiscales | None, dict[str, zarr.Array[Any]], str]":
    """Give the image's metadata, its levels that are there, and the level named.

    Of an array that belongs to no image: no metadata, and the array.
    """
    import zarr

    if isinstance(node, zarr.Array):
        image, name = _owner(label)
        return image, {name: node}, name
    image = read_multiscales(label, node.attrs.asdict())
    if image is None:
        return None, {"": _only_array(label)}, ""
    arrays: dict[str, zarr.Array[Any]] = {}
    for path in image.paths:
        try:
            found = remote.again(label, partial(node.__getitem__, path))
        except (KeyError, FileNotFoundError):
            continue  # an image of which only some levels were copied
        except Exception as error:
            raise _failed(label, error) from error
        if isinstance(found, zarr.Array):
            arrays[path] = found
    if not arrays:
        message = (
            f"{label}: none of the image's levels ({', '.join(image.paths)}) is there. "
            "Copy it again, with at least one of them."
        )
        raise TomogramError(message)
    return image, arrays, ""


def _owner(label: str) -> tuple[Multiscales | None, str]:
    """Find the image that an array is a level of, and what it calls it."""
    parent, name = label, ""
    for _ in range(DEEPEST):
        parent, _, last = parent.rpartition("/")
        name = f"{last}/{name}" if name else last
        image = _image_at(parent)
        if image is not None and name in image.paths:
            return image, name
    return None, ""


def _image_at(label: str) -> Multiscales | None:
    """Read the image at a path or an address, if there is one."""
    import zarr

    if not label or not (is_url(label) or is_zarr(Path(label))):
        return None
    try:
        node = _node(label)
    except TomogramError:
        return None
    if isinstance(node, zarr.Array):
        return None
    return read_multiscales(label, node.attrs.asdict())


def _only_array(label: str) -> "zarr.Array[Any]":
    """Take the only volume of a group that is no image."""
    import zarr

    names: list[str] = []  # servers do not list
    if not is_url(label):
        inside = sorted(Path(label).iterdir())
        names = [folder.name for folder in inside if is_zarr(folder)]
    members = [_node(f"{label}/{name}") for name in names]
    volumes = [
        one
        for one in members
        if isinstance(one, zarr.Array) and sum(length > 1 for length in one.shape) == 3
    ]
    if len(volumes) == 1:
        return volumes[0]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    held = f" It holds {', '.join(names[:SHOWN])}{more}." if names else ""
    message = (
        f"{label}: a Zarr group, but no OME-Zarr image: it has no 'multiscales'.{held} "
        f"Name the image or array inside: {label}/{names[0] if names else 'NAME'}"
    )
    raise TomogramError(message)


def _among(label: str) -> str:
    """Say what there is where a level that is not there was asked for."""
    parent, _, name = label.rpartition("/")
    image = _image_at(parent)
    if image is None:
        return ""
    return f": no level {name!r} of {parent}, which has {', '.join(image.paths)}"


def _loader(
    label: str, array: "zarr.Array[Any]", axes: Sequence[int]
) -> Callable[[Box], NDArray[Any]]:
    """Make what reads a box of an array (z, y, x)."""

    def load(box: Box) -> NDArray[Any]:
        index: list[slice | int] = [0] * len(array.shape)
        for axis, part in zip(axes, box, strict=True):
            index[axis] = part
        _check_chunks(label, array, index)

        def ask() -> NDArray[Any]:
            return np.asarray(array[tuple(index)])

        try:
            return remote.again(label, ask)
        except MemoryError:
            raise
        except Exception as error:  # codecs and servers raise what they like
            raise _failed(label, error) from error

    return load


def _check_chunks(
    label: str, array: "zarr.Array[Any]", index: Sequence[slice | int]
) -> None:
    """Refuse chunks of a local array that were cut short and would not be noticed."""
    kinds = [type(codec).__name__ for codec in array.compressors[-1:]]
    if is_url(label) or array.shards or kinds not in (["Blosc"], ["BloscCodec"]):
        return
    ranges = (
        range(part.start // edge, -(-part.stop // edge))
        if isinstance(part, slice)
        else (0,)
        for part, edge in zip(index, array.chunks, strict=True)
    )
    for place in itertools.product(*ranges):
        chunk = Path(label) / array.metadata.encode_chunk_key(place)
        if is_cut_short(chunk):
            message = f"{chunk}: the chunk is cut short. Copy the image again."
            raise TomogramError(message)


def _missing(label: str, array: "zarr.Array[Any]") -> list[str]:
    """Say how many chunks of a local array are not there: its fill is read there."""
    if is_url(label) or not array.store.supports_listing:
        return []
    stored = array.shards or array.chunks
    wanted = math.prod(
        -(-length // edge) for length, edge in zip(array.shape, stored, strict=True)
    )
    each = math.prod(
        edge // inner for edge, inner in zip(stored, array.chunks, strict=True)
    )
    absent = wanted - array.nchunks_initialized // each
    if absent <= 0:
        return []
    return [
        f"{label}: {absent} of {wanted} chunks are not there and are taken for "
        f"{array.fill_value}: is the copy complete?"
    ]


def _failed(label: str, error: Exception) -> TomogramError:
    if is_url(label):
        return remote.failed(label, error)
    said = str(error) or type(error).__name__
    if any(words in said for words in NO_CODEC):
        return TomogramError(
            f"{label}: its chunks are packed by a codec that is not installed "
            f"({said}). Install the package that has it, or write the image with "
            "another, such as Blosc or Zstandard."
        )
    return TomogramError(
        f"{label}: cannot be read ({said}). It may be damaged or cut short: copy it "
        "again."
    )
