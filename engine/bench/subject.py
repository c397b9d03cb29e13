"""What is picked while it is measured: a tomogram of the user's, or made-up noise."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE  # type: ignore[import-untyped]

from dep.engine.card import ModelCard
from dep.engine.errors import TomogramError
from dep.engine.job import Prepared, Request, prepare
from dep.engine.picker import Picker
from dep.engine.picks import Picks
from dep.engine.settings import PickSettings

_FLOAT32 = 2  # MRC data mode
_LITTLE = b"\x44\x44\x00\x00"  # machine stamp
_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A tomogram and how to read it; see `Picker.pick` for the options.

    Attributes
    ----------
    path : Path
        A file: it is read as any tomogram is.
    made_up : bool
        It is noise, where no particle is to be expected.
    """

    path: Path
    voxel_size: float | None = None
    rescale: bool = False
    ignore_voxel_size: bool = False
    made_up: bool = False

    def options(self) -> dict[str, Any]:
        """Give the options of `Picker.pick`."""
        return {
            "voxel_size": self.voxel_size,
            "rescale": self.rescale,
            "ignore_voxel_size": self.ignore_voxel_size,
        }

    def pick(self, picker: Picker) -> Picks:
        """Pick it whole, as `dep pick` does."""
        return picker.pick(self.path, **self.options())

    def prepare(self, picker: Picker) -> Prepared:
        """Open it, measure it and plan its tiles for a picker."""
        settings = PickSettings.of(picker.card, rescale=self.rescale)
        request = Request(
            self.path,
            settings,
            self.voxel_size,
            ignore_voxel_size=self.ignore_voxel_size,
        )
        return prepare(request, picker.tiling)


@contextmanager
def made_up(shape: tuple[int, int, int], card: ModelCard) -> Iterator[Subject]:
    """Write a tomogram of white noise for as long as the context lasts.

    Parameters
    ----------
    shape : (int, int, int)
        z, y, x in voxels.
    card : ModelCard
        Whose voxel size it has; another model picks it at its own all the same.

    Raises
    ------
    TomogramError
        The temporary folder has no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="dep-bench-") as folder:
        path = Path(folder) / "noise.mrc"
        try:
            _write_noise(path, shape, card.voxel_size)
        except OSError as error:
            message = (
                f"{path}: cannot be written ({error.strerror}); choose a smaller "
                "shape, or another temporary folder (environment variable TMPDIR)"
            )
            raise TomogramError(message) from error
        yield Subject(path=path, ignore_voxel_size=True, made_up=True)


def _write_noise(path: Path, shape: tuple[int, int, int], voxel_size: float) -> None:
    """Write an MRC file plane by plane: it may be larger than memory."""
    depth, height, width = shape
    header = np.zeros((), HEADER_DTYPE)
    for name, edge in zip("xyz", (width, height, depth), strict=True):
        header[f"n{name}"] = header[f"m{name}"] = edge
        header["cella"][name] = edge * voxel_size
        header["cellb"][{"x": "alpha", "y": "beta", "z": "gamma"}[name]] = 90
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["mode"], header["ispg"], header["nversion"] = _FLOAT32, 1, 20141
    header["map"], header["machst"] = b"MAP ", np.frombuffer(_LITTLE, np.uint8)
    noise = np.random.default_rng(_SEED)
    with path.open("wb") as stream:
        stream.write(header.tobytes())
        for _ in range(depth):
            plane = noise.standard_normal((height, width), np.float32)
            stream.write(plane.astype("<f4", copy=False).tobytes())
