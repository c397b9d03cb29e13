"""Where coordinates live: a tomogram's sampling, and how a file counts in it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ClassInfo
from dep.engine.errors import MissingFactError, PicksError
from dep.engine.formats.fields import LARGEST

# Which place of an axis of n voxels is its centre, the first voxel's centre being 0:
# half: n / 2, not rounded (RELION 5; voxel n / 2 where n is even);
# floor: n // 2 (EMAN2); middle: (n - 1) / 2, the middle of the box.
Centre = Literal["half", "floor", "middle"]
CENTRES: tuple[Centre, ...] = get_args(Centre)

# What may be missing, and how it is given in Python and on the command line.
_SHAPE = ("shape", "shape=...", "--shape X,Y,Z")
_VOXEL_SIZE = ("voxel size", "voxel_size=...", "--voxel-size")


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of a tomogram; None is unknown.

    Attributes
    ----------
    shape : (int, int, int) or None
        z, y, x in voxels of the tomogram that is picked in.
    voxel_size : float or None
        Å, of the same.
    classes : tuple of ClassInfo or None
        The class table.
    pixel_size : float or None
        Å, of the unbinned tilt series that the tomogram was made of.
    unbinned_shape : (int, int, int) or None
        z, y, x in unbinned pixels, where it is not `shape` times the binning.
    origin : (float, float, float) or None
        x, y, z in voxels, which centred coordinates of a file count from, where the
        file says it itself. No convention is asked for then.
    """

    shape: tuple[int, int, int] | None = None
    voxel_size: float | None = None
    classes: tuple[ClassInfo, ...] | None = None
    pixel_size: float | None = None
    unbinned_shape: tuple[int, int, int] | None = None
    origin: tuple[float, float, float] | None = None

    def or_else(self, other: "Frame") -> "Frame":
        """Fill what this frame does not know from another."""
        return Frame(
            *(
                getattr(self, one.name) or getattr(other, one.name)
                for one in fields(self)
            )
        )

    def need_shape(self, name: str, form: str) -> tuple[int, int, int]:
        """Give the shape (z, y, x), which a format cannot do without.

        Raises
        ------
        MissingFactError
            It is unknown; names the tomogram and the format, says how to give it.
        """
        if self.shape is None:
            raise _missing(name, form, _SHAPE)
        return self.shape

    def need_voxel_size(self, name: str, form: str) -> float:
        """Give the voxel size in Å; raise as `need_shape`."""
        if self.voxel_size is None:
            raise _missing(name, form, _VOXEL_SIZE)
        return self.voxel_size

    def need_sampling(self, name: str, form: str) -> tuple[tuple[int, int, int], float]:
        """Give shape and voxel size in Å; raise as `need_shape`, of both at once."""
        if self.shape is None and self.voxel_size is None:
            raise _missing(name, form, _SHAPE, _VOXEL_SIZE)
        return self.need_shape(name, form), self.need_voxel_size(name, form)

    def need_pixel_size(self, name: str, form: str) -> float:
        """Give the unbinned pixel size in Å; raise as `need_shape`."""
        if self.pixel_size is None:
            message = (
                f"{name}: {form} counts in unbinned pixels, whose size is unknown; "
                "give it (pixel_size=... in Python, --pixel-size on the command line; "
                "the voxel size itself where the tomogram is not binned)"
            )
            raise MissingFactError(message)
        return self.pixel_size

    def need_centre(
        self, name: str, form: str, convention: Centre
    ) -> tuple[NDArray[np.float64], float]:
        """Give the tomogram's centre, x, y, z in voxels, and the voxel size in Å.

        Raise as `need_shape`.
        """
        centre = self.centre(convention)
        if centre is None or self.voxel_size is None:
            self.need_sampling(name, form)
            raise AssertionError  # what has shape and voxel size has a centre
        return centre, self.voxel_size

    def centre(self, convention: Centre = "half") -> NDArray[np.float64] | None:
        """Give the tomogram's centre, x, y, z in voxels; None where it is unknown.

        The unbinned tomogram's, where its size is known: it need not be a multiple of
        the binning.
        """
        if self.unbinned_shape and self.pixel_size and self.voxel_size:
            edges = np.array(self.unbinned_shape[::-1], np.float64)
            return _centre(edges, convention) * self.pixel_size / self.voxel_size
        if self.shape is None:
            return None
        return _centre(np.array(self.shape[::-1], np.float64), convention)


def _missing(name: str, form: str, *facts: tuple[str, str, str]) -> MissingFactError:
    what, in_python, option = (
        " and ".join(words) for words in zip(*facts, strict=True)
    )
    is_unknown = "is unknown; give it" if len(facts) == 1 else "are unknown; give both"
    return MissingFactError(
        f"{name}: {form} needs the tomogram's {what}, which {is_unknown} "
        f"({in_python} in Python, {option} on the command line)"
    )


def _centre(edges: NDArray[np.float64], convention: Centre) -> NDArray[np.float64]:
    if convention == "half":
        return edges / 2
    return np.floor(edges / 2) if convention == "floor" else (edges - 1) / 2


@dataclass(frozen=True, slots=True)
class Counting:
    """How a file counts coordinates; as it stands: in voxels from the first one.

    Readers take away fixed offsets themselves (formats that count from 1); what needs
    the tomogram's shape or voxel size is left to `to_voxels`.

    Attributes
    ----------
    angstrom : bool
        In ångström, not in pixels.
    pixel_size : float or None
        Å, of the pixels that are counted in, where the file says and they need not be
        the tomogram's voxels.
    centred : bool
        From the tomogram's centre, not from the centre of its first voxel.
    centre : {"half", "floor", "middle"} or None
        Which centre, where the format fixes it; None: RELION 5's, or as the user says.
    """

    angstrom: bool = False
    pixel_size: float | None = None
    centred: bool = False
    centre: Centre | None = None

    @property
    def plain(self) -> bool:
        """Pixels from the first one: a binning divides them."""
        return not self.angstrom and not self.centred

    def to_voxels(
        self,
        path: Path,
        xyz: NDArray[np.float64],
        frame: Frame,
        centre: Centre = "half",
    ) -> NDArray[np.float64]:
        """Turn coordinates (n, 3) of a file into voxels of the tomogram.

        Unbinned pixels of a tomogram whose voxel size is unknown stay as they are.

        Raises
        ------
        MissingFactError
            The tomogram's shape or voxel size is needed and unknown.
        PicksError
            The voxel size is so small that coordinates are lost.
        """
        origin: NDArray[np.float64] | float = 0.0
        if self.centred:
            middle = (
                np.array(frame.origin)
                if frame.origin
                else frame.centre(self.centre or centre)
            )
            if middle is None or frame.voxel_size is None:
                message = (
                    f"{path}: counts coordinates from the tomogram's centre, but its "
                    "shape or voxel size is unknown; give both (shape=..., "
                    "voxel_size=... in Python, --shape X,Y,Z and --voxel-size on the "
                    "command line)"
                )
                raise MissingFactError(message)
            origin = middle
        scale = 1.0
        if self.angstrom:
            if frame.voxel_size is None:
                message = (
                    f"{path}: counts coordinates in ångström, but the tomogram's "
                    "voxel size is unknown; give it (voxel_size=... in Python, "
                    "--voxel-size on the command line)"
                )
                raise MissingFactError(message)
            scale = frame.voxel_size
        elif self.pixel_size and frame.voxel_size:
            scale = frame.voxel_size / self.pixel_size
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            voxels: NDArray[np.float64] = xyz / scale + origin
        if len(voxels) and not np.abs(voxels).max() <= LARGEST:
            message = (
                f"{path}: coordinates in voxels of {frame.voxel_size:g} Å are not "
                "finite"
            )
            raise PicksError(message)
        return voxels


VOXELS = Counting()
