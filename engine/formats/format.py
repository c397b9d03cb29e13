"""What a coordinate format is: its file name, what it holds, its writer and reader.

The interface is explained in `dep.engine.formats.registry`.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dep.engine.formats.frame import Centre, Frame
from dep.engine.formats.table import Table

if TYPE_CHECKING:
    from dep.engine.picks import Picks

NAME = "{name}"
# Files to be written, whole, in the order in which they take their names.
Files = dict[Path, str | bytes]


class Holds(enum.Flag):
    """What a format has a place for, besides coordinates."""

    NOTHING = 0
    SCORE = enum.auto()
    CLASS = enum.auto()  # told apart, if only by number
    CLASS_NAME = enum.auto()
    TOMOGRAM = enum.auto()  # its name
    SEVERAL = enum.auto()  # tomograms in one file (or folder)


@dataclass(frozen=True, slots=True)
class Optics:
    """What RELION calls the optics of a tilt series.

    Attributes
    ----------
    voltage : float
        kV.
    aberration : float
        Spherical, mm.
    contrast : float
        Amplitude contrast, as a fraction.
    group : str
        The group's name; tomograms with the same name and values are one group.
    """

    voltage: float
    aberration: float
    contrast: float
    group: str = "opticsGroup1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """What a writer may need to know besides the picks; all of it has a default.

    Attributes
    ----------
    pixel_size : float or None
        Å, of the unbinned tilt series; for formats that count in its pixels.
    centre : {"half", "floor", "middle"}
        Which place RELION 5 is told to be the tomogram's centre.
    frames : mapping of str to Frame
        What is known of tomograms, by name, beyond what their picks say.
    tomograms_star : Path or None
        RELION's or Warp's tomograms.star, for an optimisation set.
    optics : Optics or None
        Of all tomograms that `optics_of` does not name.
    optics_of : mapping of str to Optics
        By tomogram.
    box : int or None
        Edge of crYOLO's boxes in voxels; None: the diameter of each pick's class.
    """

    pixel_size: float | None = None
    centre: Centre = "half"
    frames: Mapping[str, Frame] = field(default_factory=dict)
    tomograms_star: Path | None = None
    optics: Optics | None = None
    optics_of: Mapping[str, Optics] = field(default_factory=dict)
    box: int | None = None

    def frame_of(self, picks: "Picks") -> Frame:
        """Say all that is known of the tomogram of some picks."""
        own = Frame(picks.shape, picks.voxel_size, picks.classes, self.pixel_size)
        return own.or_else(self.frames.get(picks.tomogram, Frame()))


Writer = Callable[[Sequence["Picks"], Path, Conventions], Files]
Reader = Callable[[Path, Frame], Table]
Recogniser = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One coordinate format.

    Attributes
    ----------
    title : str
        Whose it is, in a few words: "RELION 5 particles".
    pattern : str
        What the picks of a tomogram are called: "{name}.star", "{name}_info.json". Of
        a folder: the path in it that belongs to the tomogram alone,
        "ExperimentRuns/{name}/Picks".
    holds : Holds
        What it has a place for. What it lacks is told to the user by the registry.
    write : Writer
        See the registry.
    read : Reader
        See the registry.
    recognise : callable or None
        From the first 64 KiB of a file: is it of this format? For formats that share
        a suffix; None: any file of the suffix may be.
    suffixes : tuple of str
        Endings of files that are read, lower case, besides the pattern's own.
    folder : bool
        Its picks are a folder of files rather than one file.
    is_root : callable or None
        Whether a folder that is read is of this format.
    in_unbinned_pixels : bool
        It cannot be written without the unbinned pixel size.
    """

    title: str
    pattern: str
    holds: Holds
    write: Writer
    read: Reader
    recognise: Recogniser | None = None
    suffixes: tuple[str, ...] = ()
    folder: bool = False
    is_root: Callable[[Path], bool] | None = None
    in_unbinned_pixels: bool = False

    @property
    def suffix(self) -> str:
        """Ending of the files written, all that follows the tomogram's name."""
        return "" if self.folder else self.pattern.removeprefix(NAME)

    @property
    def endings(self) -> tuple[str, ...]:
        """Endings of the files read."""
        own = () if self.folder else (self.suffix,)
        return tuple(dict.fromkeys((*own, *self.suffixes)))

    def path_of(self, folder: Path, name: str) -> Path:
        """Name the output of one tomogram in a folder of outputs."""
        return folder / self.pattern.replace(NAME, name)

    def target_of(self, folder: Path, name: str) -> Path:
        """Name what the writer is given for it: the folder itself, of a folder."""
        return folder if self.folder else self.path_of(folder, name)

    def root_of(self, path: Path) -> Path:
        """Give what the writer is given for a path that `path_of` named."""
        return path.parents[self.pattern.count("/")] if self.folder else path

    def name_of(self, path: Path) -> str:
        """Name the tomogram after a file that does not say which one it is of."""
        for ending in self.endings:
            if path.name.lower().endswith(ending.lower()) and len(path.name) > len(
                ending
            ):
                return path.name[: -len(ending)]
        return path.stem
