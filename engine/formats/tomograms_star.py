"""Read tomograms.star of RELION 4 and 5, and of Warp: what is known of tomograms.

Source: RELION's ``TomogramSet`` and its tomograms.star: block ``global`` with a row for
each tomogram: ``rlnTomoName``, ``rlnTomoTiltSeriesPixelSize`` (Å, unbinned),
``rlnTomoSizeX/Y/Z`` (unbinned pixels), ``rlnTomoTomogramBinning`` and
``rlnTomoReconstructedTomogram`` where tomograms were reconstructed in RELION 5,
``rlnVoltage`` (kV), ``rlnSphericalAberration`` (mm), ``rlnAmplitudeContrast``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dep.engine.errors import PicksError
from dep.engine.formats import star_text
from dep.engine.formats.fields import number
from dep.engine.formats.format import Optics
from dep.engine.formats.frame import Frame
from dep.engine.formats.star_file import Loop, StarFile, read_star
from dep.engine.mrc import MAX_EDGE

SIZES = ("rlnTomoSizeZ", "rlnTomoSizeY", "rlnTomoSizeX")
BINNING = "rlnTomoTomogramBinning"
VOLUMES = (
    "rlnTomoReconstructedTomogram",
    "rlnTomoReconstructedTomogramDenoised",
)


@dataclass(frozen=True, slots=True)
class TomogramSet:
    """Tomograms by RELION's names.

    Attributes
    ----------
    path : Path
        The file.
    frames : mapping of str to Frame
        Unbinned size and pixel size; also voxel size and shape of the tomogram that
        RELION reconstructed, where it did.
    optics : mapping of str to Optics
        Of those tomograms whose optics are all there.
    volumes : mapping of str to str
        RELION's name by the name of the reconstructed file without ending:
        ``rec_TS_01`` is ``TS_01``.
    groups : mapping of str to str
        RELION's optics group of each tomogram: what the file says, or the tomogram's
        own name.
    """

    path: Path
    frames: Mapping[str, Frame]
    optics: Mapping[str, Optics] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def star(self) -> Path | None:
        """The file, where it is a tomograms.star and no folder of tomograms."""
        return self.path if self.groups else None

    def optics_of(self, optics: Optics | None) -> Mapping[str, Optics]:
        """Give the optics by tomogram; those given overrule the file's own values."""
        if optics is None:
            return self.optics
        return {name: replace(optics, group=one) for name, one in self.groups.items()}


def read_tomograms(path: Path) -> TomogramSet:
    """Read a tomograms.star.

    Raises
    ------
    PicksError
        Not such a file, or a field that makes no sense.
    """
    file = read_star(path)
    loop = file.loop_of(star_text.UNBINNED)
    names = file.texts(loop, star_text.TOMOGRAM) if loop else []
    if loop is None or not names:
        message = (
            f"{path}: not a tomograms.star of RELION: expected a block with "
            f"{star_text.TOMOGRAM} and {star_text.UNBINNED}"
        )
        raise PicksError(message)
    rows = _Rows(file, loop)
    frames: dict[str, Frame] = {}
    optics: dict[str, Optics] = {}
    volumes: dict[str, str] = {}
    groups: dict[str, str] = {}
    for row, name in enumerate(names):
        frames[name] = rows.frame(row)
        groups[name] = rows.text("rlnOpticsGroupName", row) or name
        found = rows.optics(row, groups[name])
        if found is not None:
            optics[name] = found
        for tag in VOLUMES:
            volume = rows.text(tag, row)
            if volume:
                volumes[Path(volume).name.rsplit(".", 1)[0]] = name
    return TomogramSet(path, frames, optics, volumes, groups)


class _Rows:
    """The rows of the table, each column read once."""

    def __init__(self, file: StarFile, loop: Loop) -> None:
        self.file = file
        self.columns = {tag: file.texts(loop, tag) for tag in loop.tags}

    def text(self, tag: str, row: int) -> str | None:
        return self.columns[tag][row] if tag in self.columns else None

    def number(self, tag: str, row: int) -> float | None:
        text = self.text(tag, row)
        if text is None:
            return None
        return number(self.file.path, f"row {row + 1}, {tag}", text)

    def above_0(self, tag: str, row: int) -> float | None:
        value = self.number(tag, row)
        if value is not None and not value > 0:
            message = (
                f"{self.file.path}: row {row + 1}, {tag}: expected more than 0, found "
                f"{value:g}"
            )
            raise PicksError(message)
        return value

    def frame(self, row: int) -> Frame:
        pixel_size = self.above_0(star_text.UNBINNED, row)
        binning = self.above_0(BINNING, row)
        found = [self.number(tag, row) for tag in SIZES]
        edges = [int(value) for value in found if value is not None]
        unbinned: tuple[int, int, int] | None = None
        if len(edges) == 3 and all(0 < edge <= MAX_EDGE for edge in edges):
            unbinned = (edges[0], edges[1], edges[2])  # RELION's -999 is unknown
        shape: tuple[int, int, int] | None = None
        if unbinned and binning:
            z, y, x = (max(1, math.floor(edge / binning + 0.5)) for edge in unbinned)
            shape = (z, y, x)
        voxel_size = pixel_size * binning if pixel_size and binning else None
        return Frame(shape, voxel_size, None, pixel_size, unbinned)

    def optics(self, row: int, group: str) -> Optics | None:
        voltage, aberration, contrast = (
            self.number(tag, row) for tag in star_text.OPTICS
        )
        if voltage is None or aberration is None or contrast is None:
            return None
        return Optics(voltage, aberration, contrast, group)
