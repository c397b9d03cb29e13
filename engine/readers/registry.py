"""Open a tomogram by what it is: the content decides, whatever the name says."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dep.engine.errors import TomogramError
from dep.engine.mrc import MrcHeader, open_mrc
from dep.engine.mrc import read_header as read_mrc_header
from dep.engine.readers import em, hdf5, numpy_file, ome_zarr, tiff
from dep.engine.readers.files import is_file, is_folder, open_file
from dep.engine.readers.header import Header, Wish
from dep.engine.readers.names import FOLDER_SUFFIX, Location, is_url
from dep.engine.readers.planes import Planes

HEAD = 1024  # bytes that tell a format
ZIP_MAGIC = b"PK\x03\x04"
ANY = Wish()


@dataclass(frozen=True, slots=True)
class Opened:
    """An open tomogram.

    Attributes
    ----------
    header : Header
        What it says of itself.
    planes : Planes
        Its voxels.
    warnings : tuple of str
        Remarks made while opening.
    """

    header: Header
    planes: Planes
    warnings: tuple[str, ...]


def open_tomogram(location: Location, wish: Wish = ANY) -> Opened:
    """Open a tomogram of any format.

    Parameters
    ----------
    location : path or address
        A file; the folder of an OME-Zarr image, or its address; or a level or dataset
        in one of these, by its path after theirs.
    wish : Wish
        Which level, where there are several and none is named.

    Raises
    ------
    TomogramError
        It cannot be opened, or is no tomogram.
    """
    if is_url(location):
        return _opened(ome_zarr.open_zarr(location, wish))
    path, inner = _split(Path(location))
    if is_folder(path):
        if ome_zarr.is_zarr(path) or path.name.lower().endswith(FOLDER_SUFFIX):
            return _opened(ome_zarr.open_zarr(path / inner, wish))
        path, inner = Path(location), ""
    with open_file(path) as stream:
        head = stream.read(HEAD)
        if inner and not hdf5.recognises(head):
            message = f"{location}: no such file ({path} is no folder)"
            raise TomogramError(message)
        return _open(path, stream, head, inner)


def read_header(location: Location, wish: Wish = ANY) -> Header:
    """Read what a tomogram says of itself, and none of its voxels.

    Raises
    ------
    TomogramError
        As `open_tomogram`; a compressed file that is cut short is not found here.
    """
    if not is_url(location):
        path = Path(location)
        if is_file(path):
            with open_file(path) as stream:
                head = stream.read(HEAD)
            if _kind(head) is None:
                _refuse(path, head)
                return _of_mrc(read_mrc_header(path))
    opened = open_tomogram(location, wish)
    opened.planes.close()
    return opened.header


def bytes_of(location: Location) -> int | None:
    """Say how many bytes a tomogram takes on disk, all of its levels; None: unknown."""
    if is_url(location):
        return None
    path = container_of(Path(location))
    if is_file(path):
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def container_of(path: Path) -> Path:
    """Give the file or Zarr folder that a path leads into; itself where it is one."""
    return _split(path)[0]


def is_there(path: Path) -> bool:
    """Say whether a path is a file, a Zarr folder, or may be one in either."""
    return is_file(path) or ome_zarr.is_zarr(path) or bool(_split(path)[1])


def _open(path: Path, stream: IO[bytes], head: bytes, inner: str) -> Opened:
    kind = _kind(head)
    if kind is None:
        _refuse(path, head)
        data = open_mrc(path)
        return Opened(_of_mrc(data.header), data.planes, data.warnings)
    if kind is hdf5:
        return _opened(hdf5.open_hdf5(path, stream, inner))
    if kind is tiff:
        return _opened(tiff.open_tiff(path, stream))
    if kind is numpy_file:
        return _opened(numpy_file.open_numpy(path, stream))
    return _opened(em.open_em(path, stream))


def _refuse(path: Path, head: bytes) -> None:
    """Say what is wrong with a file that its name or content tells not to be MRC."""
    if head.startswith(ZIP_MAGIC):
        message = (
            f"{path}: a ZIP archive (.npz, .zip), expected a tomogram: unpack it; one "
            "array is best saved with numpy.save"
        )
        raise TomogramError(message)
    is_mrc = head[208:211] == b"MAP"
    if head and not is_mrc and path.name.lower().endswith(em.SUFFIX):
        raise em.senseless(path, head)


def _kind(head: bytes) -> object:
    """Tell a format's module by the first bytes; None: MRC, or nothing known."""
    # EM comes last: it has no magic number, only a header that makes sense.
    for module in (hdf5, tiff, numpy_file):
        if module.recognises(head):
            return module
    if head[208:211] != b"MAP" and em.recognises(head):
        return em
    return None


def _opened(found: tuple[Header, Planes, list[str]]) -> Opened:
    header, planes, warnings = found
    return Opened(header, planes, tuple(warnings))


def _of_mrc(header: MrcHeader) -> Header:
    return Header(
        format="MRC",
        shape=header.shape,
        dtype=header.dtype,
        voxel_edges=header.voxel_edges,
        unknown="is 0",
        details={
            "mode": header.mode,
            "extended_header": header.extended_type,
            "labels": [" ".join(label.split()) for label in header.labels if label],
        },
        compression=header.compression,
    )


def _split(location: Path) -> tuple[Path, str]:
    """Split a path at the file or Zarr folder that exists: (it, the path in it)."""
    if is_file(location) or is_folder(location):
        return location, ""
    for parent in location.parents:
        if is_file(parent) or ome_zarr.is_zarr(parent):
            return parent, location.relative_to(parent).as_posix()
        if is_folder(parent):
            break
    return location, ""
