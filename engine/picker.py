"""Open a model once, pick many tomograms."""

import threading
from os import PathLike
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dep.engine.bundled import model_path
from dep.engine.card import ModelCard
from dep.engine.choices import (
    Device,
    KernelBackend,
    Progress,
    RuntimeName,
    RuntimePrecision,
)
from dep.engine.errors import (
    DepError,
    DeviceError,
    TomogramError,
)
from dep.engine.kernel_choice import check_kernels
from dep.engine.model_file import read_card
from dep.engine.normalise import Normaliser, measure
from dep.engine.picks import ModelIdentity, Picks
from dep.engine.pipeline import Streamed, stream
from dep.engine.resample import ResampledVolume
from dep.engine.runtime import Runtime, open_runtime
from dep.engine.settings import PickSettings
from dep.engine.stats import PickStats
from dep.engine.tiles import TilePlan, plan_tiles
from dep.engine.volume import Volume, open_volume
from dep.engine.voxel_frame import fit_voxel_size
from dep.kernels import deduplicate


class Picker:
    """A model that is ready to pick.

    A context manager. It may be handed from thread to thread and shared: tomograms go
    through the network one after the other.

    Parameters
    ----------
    model : path or None
        ``.onnx`` or ``.plan`` with its card. None or ``"default"``: the bundled model.
    device : {"auto", "cpu", "cuda"}
        Where to compute. One asked for by name is never replaced by another.
    precision : {"auto", "f32", "bf16"}
        Of the arithmetic. `auto` is float32; bf16 needs a processor that has it.
    runtime : {"auto", "openvino", "onnxruntime"}
        `auto` takes OpenVINO when it is installed.
    threads : int, optional
        Default: the cores that this process may use.
    batch : int, optional
        Tiles computed at once; default 1.
    kernels : {"auto", "reference", "c", "cuda"}
        What assembles, pools and deduplicates.

    Attributes
    ----------
    card : ModelCard
        Of the model.
    model : ModelIdentity
        Which model it is.
    path : Path
        Of the model file.
    runtime : Runtime
        What computes: name, device, precision, threads, batch.

    Raises
    ------
    ModelError, CardError
        The model file or its card is missing, damaged or inconsistent.
    DeviceError
        Device, runtime, precision or kernels are not to be had here.
    SettingError
        An unknown word or a number out of range.
    """

    def __init__(
        self,
        model: str | PathLike[str] | None = None,
        device: Device = "auto",
        *,
        precision: RuntimePrecision = "auto",
        runtime: RuntimeName = "auto",
        threads: int | None = None,
        batch: int | None = None,
        kernels: KernelBackend = "auto",
    ) -> None:
        check_kernels(kernels)
        self.path = model_path(model)
        self.card: ModelCard = read_card(self.path)
        self.model = ModelIdentity.of(self.card, self.path)
        self.runtime: Runtime = open_runtime(
            self.path,
            self.card,
            device=device,
            precision=precision,
            runtime=runtime,
            threads=threads,
            batch=batch,
        )
        self._kernels: KernelBackend = kernels
        self._busy = threading.Lock()
        self._closed = False

    def pick(
        self,
        tomogram: str | PathLike[str] | NDArray[Any],
        voxel_size: float | None = None,
        *,
        name: str | None = None,
        invert: bool = False,
        rescale: bool = False,
        ignore_voxel_size: bool = False,
        t_seg: float | None = None,
        t_lm: float | None = None,
        t_dist: float | None = None,
        iterations: int | tuple[int, ...] | None = None,
        progress: Progress | None = None,
    ) -> Picks:
        """Pick one tomogram.

        Parameters
        ----------
        tomogram : path or array (z, y, x)
            See `open_volume`.
        voxel_size : float, optional
            Ångström; overrules the header, required for arrays.
        name : str, optional
            What to call it; default: the file's name without suffixes.
        invert : bool
            Particles are bright here and dark for the model, or the other way round.
        rescale : bool
            Resample to the model's voxel size while reading. Picks are given in the
            tomogram's own voxels all the same.
        ignore_voxel_size : bool
            Pick in the tomogram's voxels whatever their size.
        t_seg, t_lm, t_dist, iterations : optional
            Instead of the card's; lengths in voxels that the network sees.
        progress : callable, optional
            See `dep.engine.choices.Progress`.

        Returns
        -------
        Picks
            Best first; `stats` says what it took, `warnings` what to know.

        Raises
        ------
        TomogramError, VoxelSizeError
            The tomogram cannot be used, has not the model's voxel size, or is too
            large for the memory there is.
        SettingError
            A setting out of range.
        DeviceError
            The runtime failed.
        """
        settings = PickSettings.of(
            self.card,
            t_seg=t_seg,
            t_lm=t_lm,
            t_dist=t_dist,
            iterations=iterations,
            invert=invert,
            rescale=rescale,
        )
        try:
            return self._pick(
                settings, tomogram, voxel_size, name, ignore_voxel_size, progress
            )
        except MemoryError as error:
            array = isinstance(tomogram, np.ndarray)
            message = (
                f"{name or 'tomogram' if array else tomogram}: not enough memory to "
                f"pick it ({str(error) or 'out of memory'}); end other programs or use "
                "a machine with more"
            )
            raise TomogramError(message) from error

    def _pick(
        self,
        settings: PickSettings,
        tomogram: str | PathLike[str] | NDArray[Any],
        voxel_size: float | None,
        name: str | None,
        ignore: bool,
        progress: Progress | None,
    ) -> Picks:
        """Pick with settings that are known to be right; see `pick`."""
        started = perf_counter()
        card = self.card
        with open_volume(
            tomogram,
            voxel_size,
            name=name,
            default_voxel_size=card.voxel_size if ignore else None,
        ) as volume:
            source, warnings = fit_voxel_size(
                volume, card, rescale=settings.rescale, ignore=ignore
            )
            plan = plan_tiles(source.shape, card.tile, card.margin)
            if progress is not None:
                progress(0, len(plan), "statistics")
            opened = perf_counter()
            statistics = measure(source)
            measured = perf_counter()
            streamed = self._stream(
                source,
                Normaliser.zscore(statistics, invert=settings.invert),
                plan,
                settings,
                progress,
            )
        if progress is not None:
            progress(len(plan), len(plan), "deduplicate")
        streaming_ended = perf_counter()
        xyz, class_id, score = _joined(streamed)
        kept = deduplicate(xyz, score, settings.t_dist, backend=self._kernels)
        ended = perf_counter()
        factor = source.factor if isinstance(source, ResampledVolume) else 1.0
        return Picks(
            xyz=(xyz[kept].astype(np.float64) * factor).astype(np.float32),
            class_id=class_id[kept],
            score=score[kept],
            classes=card.classes,
            tomogram=volume.name,
            shape=volume.shape,
            voxel_size=volume.voxel_size,
            model=self.model,
            settings=settings,
            stats=PickStats(
                open=opened - started,
                statistics=measured - opened,
                read=streamed.read,
                network=streamed.network,
                assemble=streamed.assemble,
                mp_nms=streamed.mp_nms,
                deduplicate=ended - streaming_ended,
                total=ended - started,
                tiles=len(plan),
                computed_voxels=plan.computed_voxels,
                owned_voxels=plan.owned_voxels,
                candidates=len(xyz),
                runtime=self.runtime.name,
                device=self.runtime.device,
                precision=self.runtime.precision,
                threads=self.runtime.threads,
            ),
            warnings=(*volume.warnings, *warnings, *_nothing(kept, card, volume)),
        )

    def _stream(
        self,
        source: Volume | ResampledVolume,
        normalise: Normaliser,
        plan: TilePlan,
        settings: PickSettings,
        progress: Progress | None,
    ) -> Streamed:
        """Stream with the network to ourselves, and say which tomogram failed."""
        with self._busy:
            if self._closed:
                message = f"{source.label}: the picker is closed"
                raise DepError(message)
            try:
                return stream(
                    source,
                    normalise,
                    plan,
                    self.runtime,
                    settings,
                    background=self.card.activation == "softmax",
                    backend=self._kernels,
                    progress=progress,
                )
            except DeviceError as error:
                message = f"{source.label}: {error}"
                raise DeviceError(message) from error
            except MemoryError as error:
                message = (
                    f"{source.label}: not enough memory for tiles of "
                    f"{plan.edge} voxels; use a smaller batch or a machine with more"
                )
                raise TomogramError(message) from error

    def close(self) -> None:
        """Release the model, once the tomogram in work is done."""
        with self._busy:
            self._closed = True
            self.runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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
