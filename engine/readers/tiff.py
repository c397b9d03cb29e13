"""Read TIFF stacks with tifffile: plain, ImageJ's, OME-TIFF and BigTIFF.

The only module that imports tifffile.
"""

import math
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import TomogramError
from dep.engine.readers.chunks import Box, ChunkStore, planes_of
from dep.engine.readers.header import Header, check_voxels, edge_of, three_axes
from dep.engine.readers.optional import need
from dep.engine.readers.planes import Planes, map_voxels
from dep.engine.readers.units import in_angstrom

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

# TIFF 6.0: byte order and 42; BigTIFF: 43.
MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# What tifffile takes rarer compressions from, LZW among them.
CODECS = "imagecodecs"
# The unit of resolution tags; 1 is none.
RESOLUTION_UNITS = {2: "inch", 3: "cm"}
# Voxels of a tomogram, Å. Resolution tags outside of it are those of screens.
SENSIBLE = (0.1, 1000.0)


def recognises(head: bytes) -> bool:
    """Say whether the first bytes of a file are those of a TIFF file."""
    return head.startswith(MAGICS)


def open_tiff(path: Path, stream: IO[bytes]) -> tuple[Header, Planes, list[str]]:
    """Open a TIFF stack: mapped where its planes lie in one piece, else page by page.

    Raises
    ------
    TomogramError
        Damaged, truncated, a single image, colours, or complex voxels; tifffile is not
        installed.
    """
    tifffile = need("tifffile", "tiff", path, "TIFF files")
    # tifffile leaves out the pages that a file cut short has lost, without an error.
    if _loses_pages(stream):
        reason = "its list of pages goes on beyond its end"
        raise _damaged(path, ValueError(reason))
    try:
        tiff: TiffFile = tifffile.TiffFile(path)
    except Exception as error:
        raise _damaged(path, error) from error
    try:
        lone = tiff.is_shaped and all(
            math.prod(one.shape[:-2]) == 1 for one in tiff.series
        )
        if lone:
            # Pages that tifffile wrote one by one, each described as an image of its
            # own: told by their sizes alone, equal ones make up a stack.
            tiff.close()
            tiff = tifffile.TiffFile(path, is_shaped=False)
        return _open(path, stream, tiff)
    except TomogramError:
        tiff.close()
        raise
    except Exception as error:  # tifffile raises whatever a damaged file makes it
        tiff.close()
        raise _damaged(path, error) from error


def _open(
    path: Path, stream: IO[bytes], tiff: "TiffFile"
) -> tuple[Header, Planes, list[str]]:
    series = _series(path, tiff)
    if "S" in series.axes and series.sizes.get("sample", 1) > 1:
        message = (
            f"{path}: a colour image of {' x '.join(map(str, series.shape))}. "
            "Expected a tomogram: a stack of images in grey."
        )
        raise TomogramError(message)
    axes = three_axes(str(path), series.shape)
    z, y, x = (int(series.shape[axis]) for axis in axes)
    dtype = np.dtype(series.dtype)
    check_voxels(str(path), dtype)
    edges, unknown = _voxel_edges(tiff)
    page: Any = series.pages[0]
    compression = page.compression.name.lower()
    header = Header(
        format="OME-TIFF" if tiff.is_ome else "TIFF",
        shape=(z, y, x),
        dtype=dtype.newbyteorder(tiff.byteorder),
        voxel_edges=edges,
        unknown=unknown,
        details={"compressed": "" if compression == "none" else compression},
    )
    if series.dataoffset is not None:
        planes, warnings = map_voxels(
            path, stream, series.dataoffset, header.shape, header.dtype
        )
        tiff.close()
        # What follows the voxels of a TIFF are its tables: nothing to remark.
        return header, planes, [] if warnings else list(warnings)
    if len(series.pages) != z:
        message = (
            f"{path}: {len(series.pages)} pages for {z} planes. Expected one page for "
            "each plane: write it anew, or convert it to MRC."
        )
        raise TomogramError(message)
    native = dtype.newbyteorder("=")

    def load(box: Box) -> NDArray[Any]:
        out = np.empty((box[0].stop - box[0].start, y, x), native)
        for number, index in enumerate(range(box[0].start, box[0].stop)):
            try:
                one: Any = series.pages[index]
                out[number] = one.asarray().reshape(y, x)
            except Exception as error:
                raise _damaged(path, error) from error
        return out[:, box[1], box[2]]

    store = ChunkStore(
        label=str(path),
        shape=header.shape,
        dtype=native,
        chunk=(1, y, x),
        load=load,
        close=tiff.close,
    )
    return header, planes_of(store), []


def _loses_pages(stream: IO[bytes]) -> bool:
    """Say whether the chain of pages (image file directories) leaves the file.

    Source: TIFF 6.0, section 2, and the design of BigTIFF: the header ends with the
    place of the first directory, and each directory with that of the next, or 0.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    magic = stream.read(4)
    order: Literal["little", "big"] = "little" if magic[:1] == b"I" else "big"
    large = 43 in magic[2:]
    # Bytes of a place, of the number of entries, and of an entry.
    place, count, entry = (8, 8, 20) if large else (4, 2, 12)
    at = 8 if large else 4  # where the place of the first directory stands
    seen = set()
    while True:
        stream.seek(at)
        start = int.from_bytes(stream.read(place), order)
        if start == 0 or start in seen:
            return False
        seen.add(start)
        stream.seek(start)
        entries = int.from_bytes(stream.read(count), order)
        at = start + count + entries * entry
        if at + place > size:
            return True


def _series(path: Path, tiff: "TiffFile") -> "TiffPageSeries":
    if not tiff.series:
        message = f"{path}: a TIFF file without images"
        raise TomogramError(message)
    # OME-TIFF and the like hold smaller copies and previews besides.
    found: TiffPageSeries = max(tiff.series, key=lambda one: math.prod(one.shape))
    return found


def _voxel_edges(tiff: "TiffFile") -> tuple[tuple[float, float, float], str]:
    """Give x, y, z in ångström, and why not where they are 0."""
    if tiff.is_ome and tiff.ome_metadata:
        return _ome_edges(tiff.ome_metadata)
    page: Any = tiff.pages[0]
    x, y = (_pixel(page, f"{axis}Resolution") for axis in "XY")
    if tiff.is_imagej and tiff.imagej_metadata:
        facts = tiff.imagej_metadata
        unit = str(facts.get("unit", ""))
        scale = in_angstrom(unit)
        if scale is None:
            return (0.0, 0.0, 0.0), f"has no unit that is a length ({unit or 'none'})"
        z = facts.get("spacing", 0.0)
        return (edge_of(x * scale), edge_of(y * scale), edge_of(z * scale)), "is 0"
    tag = page.tags.get("ResolutionUnit")
    scale = in_angstrom(RESOLUTION_UNITS.get(int(tag.value) if tag else 1, ""))
    if scale is None or not SENSIBLE[0] <= x * scale <= SENSIBLE[1]:
        return (0.0, 0.0, 0.0), "is not given"
    edge = edge_of(x * scale)
    # Plain TIFF knows no distance of planes: voxels are taken for cubes.
    return (edge, edge_of(y * scale), edge), "is not given"


def _pixel(page: "TiffPage", name: str) -> float:
    """Give the units for each pixel; the tag counts pixels for each unit."""
    tag = page.tags.get(name)
    if tag is None or not tag.value or not tag.value[0]:
        return 0.0
    numerator, denominator = tag.value
    return float(denominator) / float(numerator)


def _ome_edges(xml: str) -> tuple[tuple[float, float, float], str]:
    """Read the ``Pixels`` element of OME-XML; without a unit it counts micrometres."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return (0.0, 0.0, 0.0), "cannot be read: the OME-XML is damaged"
    pixels = next((one for one in root.iter() if one.tag.endswith("Pixels")), None)
    edges = []
    for axis in "XYZ":
        size = None if pixels is None else pixels.get(f"PhysicalSize{axis}")
        unit = "" if pixels is None else pixels.get(f"PhysicalSize{axis}Unit", "µm")
        scale = in_angstrom(unit)
        edges.append(edge_of(size, 9) * scale if size and scale else 0.0)
    return (edge_of(edges[0]), edge_of(edges[1]), edge_of(edges[2])), "is not given"


def _damaged(path: Path, error: Exception) -> TomogramError:
    if CODECS in str(error):
        return TomogramError(
            f"{path}: this compression needs {CODECS}, which is not installed: "
            f"pip install {CODECS} ({error})"
        )
    return TomogramError(
        f"{path}: not a TIFF file that can be read ({error}). It may be damaged or cut "
        "short: copy it again, or wait until it is written."
    )
