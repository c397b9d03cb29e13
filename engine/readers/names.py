"""Which files and folders are tomograms by their names, and what they are called."""

import os
import re
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from dep.engine.readers.files import is_file, is_folder

COMPRESSED_SUFFIXES = (".gz", ".bz2")
# Endings that tomograms share with nothing else that lies beside them, and endings of
# anything: in a folder the latter count only where there are none of the former.
OWN_SUFFIXES = (".mrc", ".rec", ".map", ".st", ".hdf", ".zarr")
COMMON_SUFFIXES = (".em", ".h5", ".hdf5", ".tif", ".tiff", ".npy")
TOMOGRAM_SUFFIXES = (*OWN_SUFFIXES, *COMMON_SUFFIXES)
# What may stand before the ending and is no part of the name.
OME = ".ome"
# Files and folders that hold several tomograms or levels, each with a path in it.
CONTAINER_SUFFIXES = (".zarr", ".h5", ".hdf5", ".hdf")
FOLDER_SUFFIX = ".zarr"

Location = str | PathLike[str]

_SPACING = re.compile(r"VoxelSpacing\d+(\.\d+)?")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_url(location: Location) -> bool:
    """Tell an address (``https://``, ``s3://``) from a path."""
    return isinstance(location, str) and _URL.match(location) is not None


def tomogram_name(location: Location) -> str:
    """Name a tomogram after its file: ``TS_01.mrc.gz`` becomes ``TS_01``.

    So do ``TS_01.ome.zarr``, a level of it (``TS_01.zarr/1``), a dataset in a file
    (``TS_01.h5/data``), and addresses of these.

    copick calls the tomograms of all runs alike (``wbp.zarr``) and tells them apart by
    folders: ``ExperimentRuns/TS_01/VoxelSpacing10.000/wbp.zarr`` is ``TS_01``.
    """
    if is_url(location):
        parts = PurePosixPath(unquote(urlsplit(str(location)).path)).parts
    else:
        parts = Path(location).parts
        if any(bare_name(part).endswith(FOLDER_SUFFIX) for part in parts):
            # From within a run's folder too; links keep their names.
            parts = Path(os.path.abspath(location)).parts  # noqa: PTH100
    run = _copick_run(parts)
    if run is not None:
        return run
    name = parts[-1] if parts else ""
    if not bare_name(name).endswith(TOMOGRAM_SUFFIXES):
        inside = (
            part for part in parts[::-1] if bare_name(part).endswith(CONTAINER_SUFFIXES)
        )
        name = next(inside, name)
    for suffixes in (COMPRESSED_SUFFIXES, TOMOGRAM_SUFFIXES, (OME,)):
        for suffix in suffixes:
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                name = name[: -len(suffix)]
                break
    return name


def _copick_run(parts: tuple[str, ...]) -> str | None:
    """Give the run of ``RUN/VoxelSpacing10.000/TYPE.zarr`` or of a level of it."""
    for run, spacing, image in zip(parts, parts[1:], parts[2:], strict=False):
        if _SPACING.fullmatch(spacing) and image.lower().endswith(FOLDER_SUFFIX):
            return run.strip("/") or None
    return None


def is_tomogram_name(name: str, suffixes: tuple[str, ...] = TOMOGRAM_SUFFIXES) -> bool:
    """Say whether a file of this name is a tomogram, going by its ending."""
    return not name.startswith(".") and bare_name(name).endswith(suffixes)


def tomograms_among(paths: Iterable[Path]) -> list[Path]:
    """Keep the files and folders that are tomograms, going by their endings.

    Endings that anything may have (`COMMON_SUFFIXES`) count only where no file has one
    of a tomogram's own.
    """
    every = list(_tomograms(paths))
    own = [path for path in every if is_tomogram_name(path.name, OWN_SUFFIXES)]
    return own or every


def _tomograms(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not is_tomogram_name(path.name):
            continue
        folder = path.name.lower().endswith(FOLDER_SUFFIX)
        if is_folder(path) if folder else is_file(path):
            yield path


def bare_name(name: str) -> str:
    """Give a name in lower case, without what says that it is compressed."""
    name = name.lower()
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name
