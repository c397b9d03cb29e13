"""Tomograms in, picks of a baseline out: the page that ties its parts together."""

import hashlib
import json
import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from dep.engine.baseline.dog import DogSettings, find_blobs
from dep.engine.baseline.found import Found
from dep.engine.baseline.matching import match_templates
from dep.engine.baseline.scipy_api import need_scipy
from dep.engine.baseline.template_settings import TemplateSettings
from dep.engine.choices import Progress, StatisticsKind
from dep.engine.errors import SettingError, TomogramError
from dep.engine.job import Tomogram
from dep.engine.many import Advance
from dep.engine.normalise import Normaliser, measure
from dep.engine.picks import Picks
from dep.engine.volume import Volume, open_volume
from dep.kernels import available_threads, deduplicate

MEMORY = 900  # MiB
STAGE = "filter"
# Of images of several levels the one that `dep pick` takes for its own models, so that
# picks of both count the same voxels.
NEAR = 10.0  # Å
Settings = DogSettings | TemplateSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How tomograms are read, and with what.

    Attributes
    ----------
    voxel_size : float or None
        Ångström; overrules the headers.
    invert : bool
        Particles are bright; otherwise they are dark.
    statistics : {"plain", "robust"}
        As for `Picker.pick`; robust also limits what gold and hot voxels can do.
    memory : int
        MiB that the work on a block may take.
    threads : int or None
        Of Fourier transforms; None: the cores that this process may use.
    """

    voxel_size: float | None = None
    invert: bool = False
    statistics: StatisticsKind = "plain"
    memory: int = MEMORY
    threads: int | None = None

    def __post_init__(self) -> None:
        size = self.voxel_size
        if size is not None and not 0 < size < math.inf:
            message = f"expected a voxel size above 0 Å, found {size:g}"
            raise SettingError(message)
        if self.memory < 1 or (self.threads is not None and self.threads < 1):
            message = (
                f"expected memory and threads of 1 or more, found {self.memory} MiB "
                f"and {self.threads}"
            )
            raise SettingError(message)


@dataclass(frozen=True, slots=True)
class Ending:
    """How one of many tomograms ended.

    Attributes
    ----------
    number : int
        In the order given, from 0.
    picks : Picks or None
        None where it failed.
    error : Exception or None
        Why it failed. A `DepError` has a message for people; another is a defect.
    """

    number: int
    picks: Picks | None
    error: Exception | None


def pick_baseline(
    tomogram: Tomogram,
    settings: Settings,
    reading: Reading | None = None,
    *,
    name: str | None = None,
    progress: Progress | None = None,
) -> Picks:
    """Pick one tomogram.

    Parameters
    ----------
    tomogram : path or array (z, y, x)
        See `open_volume`; an array needs ``reading.voxel_size``. Of several levels the
        one that serves 10 Å best, unless a voxel size is given.
    settings : DogSettings or TemplateSettings
        Which baseline, and how.
    reading : Reading, optional
        How the tomogram is read.
    name : str, optional
        What to call it; default: the file's name without suffixes.
    progress : callable, optional
        Called with (done, in all, "filter"); of blocks, or of orientations.

    Returns
    -------
    Picks
        Best first.

    Raises
    ------
    TomogramError, VoxelSizeError
        The tomogram cannot be used, or there is no memory for it.
    SettingError
        Settings that do not suit its voxels or the memory allowed.
    DepError
        SciPy is not installed.
    """
    need_scipy()
    reading = reading or Reading()
    near = NEAR if reading.voxel_size is None else None
    with open_volume(tomogram, reading.voxel_size, name=name, near=near) as volume:
        if progress is not None:
            progress(0, 1, STAGE)
        try:
            return _pick(volume, settings, reading, progress)
        except MemoryError as error:
            message = (
                f"{volume.label}: not enough memory to pick it; allow less (--memory)"
            )
            raise TomogramError(message) from error
        except SettingError as error:
            message = f"{volume.label}: {error}"
            raise SettingError(message) from error


def pick_each(
    tomograms: Iterable[Tomogram],
    settings: Settings,
    reading: Reading | None = None,
    progress: Callable[[Advance], None] | None = None,
) -> Generator[Ending, None, None]:
    """Pick tomograms one after the other; one that fails does not stop the others.

    Parameters
    ----------
    tomograms : iterable of paths or arrays
        Taken as they are needed.
    settings, reading
        As for `pick_baseline`, for all of them.
    progress : callable, optional
        Called with every `Advance`; what it raises ends everything.

    Raises
    ------
    DepError
        SciPy is not installed.
    """
    need_scipy()
    for number, tomogram in enumerate(tomograms):
        label = "tomogram" if isinstance(tomogram, np.ndarray) else str(tomogram)

        def tell(
            done: int, total: int, stage: str, number: int = number, label: str = label
        ) -> None:
            if progress is not None:
                progress(Advance(number, label, done, total, stage))

        try:
            picks = pick_baseline(tomogram, settings, reading, progress=tell)
        except Exception as error:  # noqa: BLE001 - the next one still counts
            yield Ending(number, None, error)
        else:
            yield Ending(number, picks, None)


def describe(settings: Settings) -> dict[str, Any]:
    """Give settings as JSON holds them; of templates what tells one from another."""
    if isinstance(settings, DogSettings):
        plain = asdict(settings)
    else:
        plain = {one.name: getattr(settings, one.name) for one in fields(settings)}
        plain["templates"] = [
            {
                "name": one.name,
                "file": one.label,
                "voxel_size": one.voxel_size,
                "digest": hashlib.sha256(one.density.tobytes()).hexdigest(),
            }
            for one in settings.templates
        ]
    described: dict[str, Any] = json.loads(json.dumps(plain))
    return described


def _pick(
    volume: Volume, settings: Settings, reading: Reading, progress: Progress | None
) -> Picks:
    statistics = measure(volume, kind=reading.statistics)
    # The filters look for bright particles.
    normalise = Normaliser.zscore(statistics, invert=not reading.invert)

    def advance(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, STAGE)

    size, memory = volume.voxel_size, reading.memory
    if isinstance(settings, DogSettings):
        found = find_blobs(volume, size, normalise, settings, memory, advance)
    else:
        threads = reading.threads or available_threads()
        found = match_templates(
            volume, size, normalise, settings, memory, advance, threads
        )
    return _conclude(volume, settings, reading, found)


def _conclude(
    volume: Volume, settings: Settings, reading: Reading, found: Found
) -> Picks:
    """Thresholds, deduplication by significance, and the best of them."""
    found = found.only(found.passes)
    kept = deduplicate(
        found.xyz, found.significance, settings.nearest(volume.voxel_size)
    )
    best = found.only(kept[: settings.number])
    best = best.only(np.argsort(-best.score, kind="stable"))
    warnings = volume.warnings
    if not len(best.xyz):
        contrast = "bright" if reading.invert else "dark"
        other = "without --invert" if reading.invert else "with --invert"
        warnings += (
            f"{volume.label}: nothing was found. Particles were taken to be "
            f"{contrast}: if they are not, run it {other}; or lower the threshold.",
        )
    return Picks(
        xyz=best.xyz,
        class_id=best.class_id,
        score=best.score,
        classes=settings.classes,
        tomogram=volume.name,
        shape=volume.shape,
        voxel_size=volume.voxel_size,
        warnings=warnings,
    )
