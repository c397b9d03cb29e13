"""What is known of tomograms besides picks: from headers or RELION's list."""

from pathlib import Path

from dep.engine.errors import DepError, PicksError
from dep.engine.formats.frame import Frame
from dep.engine.formats.tomograms_star import TomogramSet, read_tomograms


def known_tomograms(path: Path) -> TomogramSet:
    """Read shape, voxel size and more of tomograms, by name.

    Parameters
    ----------
    path
        RELION's or Warp's tomograms.star; a tomogram, or a folder of them.

    Raises
    ------
    PicksError
        None of these, or not to be read.
    """
    if path.suffix.lower() == ".star":
        try:
            return read_tomograms(path)
        except OSError as error:
            message = f"{path}: cannot be read ({error.strerror or error})"
            raise PicksError(message) from error
        except UnicodeDecodeError as error:
            message = f"{path}: not a text file in UTF-8 (byte {error.start})"
            raise PicksError(message) from error
    return TomogramSet(path, _headers(path))


def _headers(path: Path) -> dict[str, Frame]:
    from dep.engine.readers.names import (
        TOMOGRAM_SUFFIXES,
        tomogram_name,
        tomograms_among,
    )
    from dep.engine.readers.registry import is_there, read_header

    if not path.is_dir() or is_there(path):
        header = read_header(path)
        return {tomogram_name(path): Frame(header.shape, header.voxel_size)}
    frames: dict[str, Frame] = {}
    faults: list[str] = []
    for one in tomograms_among(sorted(path.iterdir())):
        try:
            header = read_header(one)
        except DepError as error:
            faults.append(str(error))
            continue
        frames[tomogram_name(one)] = Frame(header.shape, header.voxel_size)
    if not frames:
        message = f"{path}: no tomograms ({' '.join(TOMOGRAM_SUFFIXES)}) in this folder"
        raise PicksError("\n  ".join([message, *faults]))
    return frames
