"""The picks of one tomogram: frozen arrays with all that is needed to use them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dep.engine.card import ClassInfo, ModelCard
from dep.engine.errors import PicksError
from dep.engine.settings import PickSettings
from dep.engine.stats import PickStats

if TYPE_CHECKING:
    from dep.engine.formats import Conventions
    from dep.engine.formats.frame import Centre


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model made the picks: its name, file, and digest of the weights."""

    name: str
    file: str
    weights_digest: str
    software: str

    @classmethod
    def of(cls, card: ModelCard, path: Path) -> Self:
        """Take the identity from a card and the model file's path."""
        return cls(card.name, path.name, card.weights_digest, card.software)


@dataclass(frozen=True, slots=True, eq=False)
class Picks:
    """The picks of one tomogram.

    Attributes
    ----------
    xyz : (n, 3) float32
        x, y, z in voxels of the tomogram as given, 0-based: the centre of the first
        voxel is 0.
    class_id : (n,) int32
        From 1; ``classes[class_id - 1]`` is the class.
    score : (n,) float32
        In [0, 1] for picks of this software, best first.
    classes : tuple of ClassInfo
        The class table; a diameter of 0 is unknown.
    tomogram : str
        Its name.
    shape : (int, int, int) or None
        Of the tomogram, z, y, x in voxels; None where a file does not say.
    voxel_size : float or None
        Ångström; None where a file does not say.
    model : ModelIdentity or None
        Which model made the picks.
    settings : PickSettings or None
        How they were made.
    stats : PickStats or None
        What making them took.
    warnings : tuple of str
        What a user should know about them.

    Raises
    ------
    PicksError
        Arrays that do not fit each other, or values that make no sense.
    """

    xyz: NDArray[np.float32]
    class_id: NDArray[np.int32]
    score: NDArray[np.float32]
    classes: tuple[ClassInfo, ...]
    tomogram: str
    shape: tuple[int, int, int] | None = None
    voxel_size: float | None = None
    model: ModelIdentity | None = None
    settings: PickSettings | None = None
    stats: PickStats | None = None
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        xyz = _frozen(self.xyz, np.float32)
        class_id = _frozen(self.class_id, np.int32)
        score = _frozen(self.score, np.float32)
        if xyz.ndim != 2 or xyz.shape[1] != 3:
            message = f"{self.tomogram}: expected coordinates (n, 3), found {xyz.shape}"
            raise PicksError(message)
        if class_id.shape != (len(xyz),) or score.shape != (len(xyz),):
            message = (
                f"{self.tomogram}: {len(xyz)} coordinates, but classes of shape "
                f"{class_id.shape} and scores of shape {score.shape}"
            )
            raise PicksError(message)
        if not (np.isfinite(xyz).all() and np.isfinite(score).all()):
            message = f"{self.tomogram}: coordinates or scores that are not finite"
            raise PicksError(message)
        if len(xyz) and not 1 <= class_id.min() <= class_id.max() <= len(self.classes):
            message = (
                f"{self.tomogram}: class ids from {class_id.min()} to "
                f"{class_id.max()}, expected 1 to {len(self.classes)}"
            )
            raise PicksError(message)
        object.__setattr__(self, "xyz", xyz)
        object.__setattr__(self, "class_id", class_id)
        object.__setattr__(self, "score", score)

    def __len__(self) -> int:
        return len(self.xyz)

    @property
    def class_names(self) -> list[str]:
        """Name of each pick's class."""
        return [self.classes[number - 1].name for number in self.class_id]

    def counts(self) -> dict[str, int]:
        """How many picks each class has, in the order of the class table."""
        many = np.bincount(self.class_id, minlength=len(self.classes) + 1)[1:]
        return {
            one.name: int(count) for one, count in zip(self.classes, many, strict=True)
        }

    def write(
        self,
        path: str | PathLike[str],
        format: str | None = None,  # noqa: A002
        conventions: "Conventions | None" = None,
        *,
        pixel_size: float | None = None,
    ) -> Path:
        """Write a coordinate file, whole or not at all.

        Parameters
        ----------
        path : path
            Missing folders are made.
        format : str, optional
            A name in `dep.engine.formats.FORMATS`: "relion5", "csv", "dynamo" ...
            Default: by the suffix; ``.star`` is RELION 5.
        conventions : Conventions, optional
            What the format may need to know besides the picks.
        pixel_size : float, optional
            Å, of the unbinned tilt series, in place of the conventions' own.

        Returns
        -------
        Path
            The file written.

        Warns
        -----
        LossWarning
            The format has no place for some of what the picks hold.

        Raises
        ------
        PicksError
            An unknown format, a file that cannot be written, or a format that needs
            the tomogram's shape or voxel size where those are unknown.
        """
        from dep.engine.formats import Conventions, write_one

        conventions = conventions or Conventions()
        if pixel_size is not None:
            conventions = replace(conventions, pixel_size=pixel_size)
        return write_one(self, Path(path), format, conventions)

    @classmethod
    def read(
        cls,
        path: str | PathLike[str],
        format: str | None = None,  # noqa: A002
        *,
        tomogram: str | None = None,
        classes: Sequence[ClassInfo] | None = None,
        shape: tuple[int, int, int] | None = None,
        voxel_size: float | None = None,
        pixel_size: float | None = None,
        centre: "Centre" = "half",
    ) -> "Picks":
        """Read a coordinate file of one tomogram.

        STAR files written by this software hold the class table, shape and voxel size
        in a comment; other files do not, and what is given here fills the gap.

        Parameters
        ----------
        path : path
            The file.
        format : str, optional
            A name in `dep.engine.formats.FORMATS`. Default: by the suffix, and for
            ``.star`` and other shared ones by the content.
        tomogram : str, optional
            Which one to take from a file of several; otherwise what to call it where
            the file does not say.
        classes : sequence of ClassInfo, optional
            The class table. Default: the file's own, or the classes it holds in the
            order of their appearance.
        shape : (int, int, int), optional
            Of the tomogram (z, y, x); RELION 5 coordinates need it.
        voxel_size : float, optional
            Ångström; RELION 5 coordinates need it.
        pixel_size : float, optional
            Ångström, of the unbinned tilt series; RELION 4 coordinates need it where
            the file does not say.
        centre : {"half", "floor", "middle"}, optional
            Which place RELION 5 coordinates count from: half the size (RELION's own),
            that rounded down, or the middle of the box, (size - 1) / 2.

        Raises
        ------
        PicksError
            A missing or malformed file (with its line or field), several tomograms and
            none chosen, or a class that is not in the table.
        """
        from dep.engine.formats import read_picks
        from dep.engine.formats.frame import Frame

        return read_picks(
            Path(path),
            format,
            tomogram=tomogram,
            classes=None if classes is None else tuple(classes),
            frame=Frame(shape, voxel_size, None, pixel_size),
            centre=centre,
        )


def _frozen(values: ArrayLike, dtype: Any) -> NDArray[Any]:  # noqa: ANN401 - a dtype
    array = np.array(values, dtype=dtype)  # our own copy
    array.setflags(write=False)
    return array
