"""One tomogram on its way through a picker: opened and measured, then turned to picks.

What comes before the network and what comes after it need no device; a picker of many
tomograms does both beside the network (`dep.engine.many`).
"""

from dataclasses import dataclass, replace
from os import PathLike
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ModelCard
from dep.engine.choices import Check, KernelBackend, Progress
from dep.engine.emptiness import Blocks, reach_of, without_empty
from dep.engine.errors import TomogramError
from dep.engine.interruption import go_on
from dep.engine.mask import Mask, Masking, open_mask
from dep.engine.normalise import Normaliser, Statistics, measure
from dep.engine.picks import ModelIdentity, Picks
from dep.engine.pipeline import Streamed
from dep.engine.prefilter import FilteredVolume, filtered
from dep.engine.resample import ResampledVolume
from dep.engine.runtime import Runtime
from dep.engine.settings import PickSettings, SettingOptions
from dep.engine.stats import PickStats
from dep.engine.tile_planner import Tiling
from dep.engine.tiles import TilePlan
from dep.engine.volume import Volume, open_volume
from dep.engine.voxel_frame import fit_voxel_size
from dep.kernels import deduplicate, halo

Tomogram = str | PathLike[str] | NDArray[Any]


class PickOptions(SettingOptions, total=False):
    """Options of `Picker.pick`, which explains them."""

    voxel_size: float | None
    name: str | None
    ignore_voxel_size: bool
    mask: Masking | None


@dataclass(frozen=True)
class Request:
    """What to pick and how.

    Attributes
    ----------
    tomogram : path or array (z, y, x)
        See `open_volume`.
    settings : PickSettings
        All of them known to be right.
    voxel_size : float, optional
        Ångström; overrules the header, required for arrays.
    name : str, optional
        What to call it; default: the file's name without suffixes.
    ignore_voxel_size : bool
        Pick in the tomogram's voxels whatever their size.
    mask : path or array (z, y, x), optional
        Where particles may be; see `dep.engine.mask.open_mask`.
    """

    tomogram: Tomogram
    settings: PickSettings
    voxel_size: float | None = None
    name: str | None = None
    ignore_voxel_size: bool = False
    mask: Masking | None = None

    @property
    def label(self) -> str:
        """What messages call it before it is open."""
        if isinstance(self.tomogram, np.ndarray):
            return self.name or "tomogram"
        return str(self.tomogram)

    def out_of_memory(self, error: MemoryError) -> TomogramError:
        """Turn a lack of memory into an error that names the tomogram."""
        return TomogramError(
            f"{self.label}: not enough memory to pick it "
            f"({str(error) or 'out of memory'}); end other programs or use a machine "
            "with more"
        )


@dataclass(frozen=True)
class Prepared:
    """An open tomogram that the network can begin with; a context manager.

    Attributes
    ----------
    volume, source
        The tomogram, and what the network sees of it: itself, resampled or filtered.
    factor : float
        Coordinates that the network finds times this are the tomogram's own.
    plan : TilePlan
        Its tiles.
    statistics : Statistics
        Of all its voxels.
    warnings : tuple of str
        Remarks made so far.
    opening, measuring : float
        Seconds.
    mask : Mask, optional
        Where particles may be.
    """

    request: Request
    volume: Volume
    source: Volume | ResampledVolume | FilteredVolume
    factor: float
    plan: TilePlan
    statistics: Statistics
    warnings: tuple[str, ...]
    opening: float
    measuring: float
    mask: Mask | None = None

    def inside(self, streamed: Streamed) -> Streamed:
        """Keep candidates that lie inside the mask, if there is one."""
        if self.mask is None:
            return streamed
        inside = [self.mask.inside(part) for part in streamed.candidates]
        return replace(streamed, candidates=inside)

    @property
    def normalise(self) -> Normaliser:
        """From voxels as stored to what the network sees."""
        return Normaliser.zscore(self.statistics, invert=self.request.settings.invert)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.volume.close()
        if self.mask is not None:
            self.mask.close()


def prepare(
    request: Request,
    tiling: Tiling,
    progress: Progress | None = None,
    check: Check = go_on,
    kernels: KernelBackend = "auto",
) -> Prepared:
    """Open and measure a tomogram.

    `check` is called plane by plane.

    Raises
    ------
    TomogramError, VoxelSizeError
        It cannot be used, or has not the model's voxel size.
    """
    started = perf_counter()
    settings, card = request.settings, tiling.card
    mask: Mask | None = None
    volume = open_volume(
        request.tomogram,
        request.voxel_size,
        name=request.name,
        default_voxel_size=card.voxel_size if request.ignore_voxel_size else None,
        # A voxel size that is given is that of the level that was named, or the finest.
        near=card.voxel_size if request.voxel_size is None else None,
    )
    try:
        frame, warnings = fit_voxel_size(
            volume,
            card,
            rescale=request.settings.rescale,
            ignore=request.ignore_voxel_size,
        )
        factor = frame.factor if isinstance(frame, ResampledVolume) else 1.0
        source = filtered(frame, frame.voxel_size, settings.lowpass, settings.highpass)
        plan = tiling.plan(source.shape, source.held)
        source.widen(plan.tile[0])
        if request.mask is not None:
            mask = open_mask(request.mask, volume, factor)
            plan = mask.plan(plan, halo(settings.iterations))
        if progress is not None:
            progress(0, len(plan), "statistics")
        opened = perf_counter()
        blocks = Blocks(source.shape) if settings.skip_empty else None
        statistics = measure(
            source,
            lambda _done, _planes: check(),
            settings.statistics,
            blocks,
            kernels,
        )
        if blocks is not None:
            reach = reach_of([one.diameter for one in card.classes], card.voxel_size)
            plan = without_empty(plan, blocks, statistics.deviation, reach)
    except BaseException:
        volume.close()
        if mask is not None:
            mask.close()
        raise
    return Prepared(
        request,
        volume,
        source,
        factor,
        plan,
        statistics,
        (*volume.warnings, *warnings),
        opened - started,
        perf_counter() - opened,
        mask,
    )


def conclude(
    prepared: Prepared,
    streamed: Streamed,
    *,
    card: ModelCard,
    model: ModelIdentity,
    runtime: Runtime,
    kernels: KernelBackend,
    started: float,
) -> Picks:
    """Turn candidates into picks.

    Parameters
    ----------
    prepared, streamed
        Where they come from. Only what the tomogram was called and its size is asked
        of it here: it may be closed.
    card, model, runtime, kernels
        Of the picker.
    started : float
        When the work on this tomogram began (`time.perf_counter`).
    """
    settings, volume = prepared.request.settings, prepared.volume
    begun = perf_counter()
    xyz, class_id, score = _joined(streamed)
    kept = deduplicate(xyz, score, settings.t_dist, backend=kernels)
    ended = perf_counter()
    plan = prepared.plan
    return Picks(
        xyz=(xyz[kept].astype(np.float64) * prepared.factor).astype(np.float32),
        class_id=class_id[kept],
        score=score[kept],
        classes=card.classes,
        tomogram=volume.name,
        shape=volume.shape,
        voxel_size=volume.voxel_size,
        model=model,
        settings=settings,
        stats=PickStats(
            open=prepared.opening,
            statistics=prepared.measuring,
            read=streamed.read,
            network=streamed.network,
            assemble=streamed.assemble,
            mp_nms=streamed.mp_nms,
            deduplicate=ended - begun,
            total=ended - started,
            tiles=len(plan),
            tile=plan.tile,
            margin=plan.margin,
            skipped_tiles=len(plan.skipped),
            computed_voxels=plan.computed_voxels,
            owned_voxels=plan.owned_voxels,
            candidates=len(xyz),
            runtime=runtime.name,
            device=runtime.device,
            precision=runtime.precision,
            threads=runtime.threads,
        ),
        warnings=(
            *prepared.warnings,
            *streamed.warnings,
            *_nothing(kept, card, volume),
        ),
    )


def _joined(
    streamed: Streamed,
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Join the candidates of all slabs: xyz (n, 3), class, score."""
    parts = streamed.candidates
    return (
        np.concatenate([part.xyz for part in parts]),
        np.concatenate([part.class_id for part in parts]),
        np.concatenate([part.score for part in parts]),
    )


def _nothing(
    kept: NDArray[np.int64], card: ModelCard, volume: Volume
) -> tuple[str, ...]:
    if len(kept):
        return ()
    return (
        f"{volume.label}: nothing was found. The model expects "
        f"{card.contrast} particles in voxels of {card.voxel_size:g} Å: if they have "
        "the other contrast here, invert it (--invert).",
    )
