"""What is known of tomograms besides picks: from headers or RELION's list."""

from pathlib import Path
from typing import TYPE_CHECKING

from dep.engine.errors import DepError, PicksError
from dep.engine.formats.frame import Frame
from dep.engine.formats.tomograms_star import TomogramSet, read_tomograms

if TYPE_CHECKING:
    from dep.engine.picks import Picks

# A reconstruction is a few voxels larger or smaller than its size divided by the
# binning, and a voxel size in a header may be rounded: beyond that it is another frame.
FEW_VOXELS = 2.0
ROUNDED = 0.01


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


def misfit(picks: "Picks", frame: Frame, source: Path) -> str | None:
    """Say how a tomogram differs in size from what is known of it; None: it does not.

    Coordinates from the centre would be wrong: axes were exchanged, or the tomogram was
    cut.

    Parameters
    ----------
    picks
        Of the tomogram; shape and voxel size are looked at.
    frame
        What is known: the unbinned size, or else shape and voxel size.
    source
        Which says so, for the message.
    """
    if picks.shape is None or picks.voxel_size is None:
        return None
    if frame.unbinned_shape and frame.pixel_size:
        edges, size = frame.unbinned_shape, frame.pixel_size
    elif frame.shape and frame.voxel_size:
        edges, size = frame.shape, frame.voxel_size
    else:
        return None
    own = [edge * picks.voxel_size for edge in picks.shape]
    known = [edge * size for edge in edges]
    slack = FEW_VOXELS * max(picks.voxel_size, size)
    if all(
        abs(one - other) <= slack + ROUNDED * other
        for one, other in zip(own, known, strict=True)
    ):
        return None
    found, expected = (
        " x ".join(f"{edge:.0f}" for edge in reversed(some)) for some in (own, known)
    )
    return (
        f"{picks.tomogram}: is {found} Å (x, y, z), but {source} says {expected} Å; "
        "coordinates from the centre are wrong where the tomogram was turned, cut or "
        "has another voxel size than it says"
    )
