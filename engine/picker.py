"""Open a model once, pick many tomograms."""

import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from os import PathLike
from typing import Unpack

from dep.engine.bundled import model_path
from dep.engine.choices import (
    Device,
    KernelBackend,
    Progress,
    RuntimeName,
    RuntimePrecision,
    StatisticsKind,
)
from dep.engine.errors import SettingError
from dep.engine.interruption import go_on
from dep.engine.job import PickOptions, Request, Tomogram
from dep.engine.kernel_choice import check_kernels
from dep.engine.many import Advance, Line, Outcome
from dep.engine.mask import Masking
from dep.engine.mirrors import with_mirrors
from dep.engine.model_file import read_card
from dep.engine.picks import ModelIdentity, Picks
from dep.engine.runtime import Runtime, open_runtime
from dep.engine.settings import PickSettings, SettingOptions
from dep.engine.tile_planner import Box, Tiling
from dep.engine.turns import Turns


class Picker(Turns):
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
        Of the arithmetic. `auto` is float32; bf16 needs a processor that has it. On a
        GPU: what the file asks for, and float32 as TF32 unless f32 is asked for.
    runtime : {"auto", "openvino", "onnxruntime", "tensorrt"}
        `auto` takes TensorRT for plans; for ONNX files ONNX Runtime on a GPU, on a
        processor OpenVINO when it is installed.
    threads : int, optional
        Default: the cores that this process may use.
    batch : int, optional
        Tiles computed at once; default 1, on a GPU the plan's own or 4.
    gpu_memory : int, optional
        MiB of a GPU's memory that may be taken.
    cuda_graph : bool
        Record a plan's launches once and replay them.
    kernels : {"auto", "reference", "c", "cuda"}
        What assembles, pools and deduplicates.
    tile : int or (int, int, int), optional
        Edges of the tiles, z, y, x. Default: what computes the fewest voxels of each
        tomogram, where the network takes any; else the card's.
    memory : int, optional
        MiB that tiles and labels may take on a processor; default 900.
    mirrors : {1, 2, 4, 8}
        Average so many mirror images of each tile, at that many times the cost.

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
    tiling : Tiling
        How tomograms are cut into tiles.

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
        gpu_memory: int | None = None,
        cuda_graph: bool = False,
        kernels: KernelBackend = "auto",
        tile: int | Box | None = None,
        memory: int | None = None,
        mirrors: int = 1,
    ) -> None:
        check_kernels(kernels)
        self.path = model_path(model)
        card = read_card(self.path)
        identity = ModelIdentity.of(card, self.path)
        opened: Runtime = open_runtime(
            self.path,
            card,
            device=device,
            precision=precision,
            runtime=runtime,
            threads=threads,
            batch=batch,
            gpu_memory=gpu_memory,
            cuda_graph=cuda_graph,
        )
        box = (tile,) * 3 if isinstance(tile, int) else tile
        try:
            tiling = Tiling(card, opened.free, box, memory)
            opened = with_mirrors(opened, mirrors)
        except SettingError:
            opened.close()
            raise
        super().__init__(card, identity, opened, tiling, kernels)

    def pick(
        self,
        tomogram: Tomogram,
        voxel_size: float | None = None,
        *,
        name: str | None = None,
        invert: bool = False,
        rescale: bool = False,
        ignore_voxel_size: bool = False,
        statistics: StatisticsKind = "plain",
        mask: Masking | None = None,
        skip_empty: bool = False,
        lowpass: float | None = None,
        highpass: float | None = None,
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
        statistics : {"plain", "robust"}
            Normalise by mean and standard deviation, as in training, or by median and
            quartiles, which gold beads, hot voxels and bright edges do not move.
        mask : path or array (z, y, x), optional
            Of the tomogram's shape; voxels other than 0 are sample, and only those are
            picked. Of a folder, the mask that is called as the tomogram.
        skip_empty : bool
            Do not compute tiles in which nothing differs as much as a particle does.
        lowpass, highpass : float, optional
            Å: filter the tomogram while reading, so that of shorter (longer)
            wavelengths less than half the amplitude is left; both are a band-pass.
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
        DepError
            The picker is closed, or was closed meanwhile.
        """
        request = self._request(
            tomogram,
            voxel_size=voxel_size,
            name=name,
            ignore_voxel_size=ignore_voxel_size,
            mask=mask,
            invert=invert,
            rescale=rescale,
            statistics=statistics,
            skip_empty=skip_empty,
            lowpass=lowpass,
            highpass=highpass,
            t_seg=t_seg,
            t_lm=t_lm,
            t_dist=t_dist,
            iterations=iterations,
        )
        return self._finish(self._prepare(request, progress, go_on), progress, go_on)

    def pick_many(
        self,
        tomograms: Iterable[Tomogram | tuple[str, Tomogram]],
        *,
        progress: Callable[[Advance], None] | None = None,
        stop: threading.Event | None = None,
        **options: Unpack[PickOptions],
    ) -> Generator[Outcome, None, None]:
        """Pick tomograms one after the other and give each result when it is there.

        The next tomogram is opened and measured while the network has this one, and
        the caller's work on a result runs beside the network too. At most two open
        tomograms and three results exist at a time.

        Parameters
        ----------
        tomograms : iterable of paths, arrays (z, y, x), or pairs (name, either)
            Taken as they are needed.
        progress : callable, optional
            Called with every `Advance`, from the threads that work. What it raises
            ends the picking and is raised here.
        stop : threading.Event, optional
            Set it from anywhere to stop within a layer of the network. Not taking
            the remaining results (leaving the loop) stops just as soon.
        **options
            As for `pick`, for all of them.

        Yields
        ------
        Outcome
            In the order given. One tomogram that fails does not stop the others: its
            outcome holds the error.

        Raises
        ------
        SettingError
            A setting out of range.
        StoppedError
            While results are taken: `stop` was set. Those that were there have been
            given.
        """
        every = self._request("", **options)

        def named(one: Tomogram | tuple[str, Tomogram]) -> Request:
            name, tomogram = one if isinstance(one, tuple) else (every.name, one)
            return replace(every, tomogram=tomogram, name=name)

        line = Line(
            map(named, tomograms),
            self._prepare,
            self._finish,
            progress,
            stop or threading.Event(),
        )
        return line.results()

    def _request(
        self,
        tomogram: Tomogram,
        *,
        voxel_size: float | None = None,
        name: str | None = None,
        ignore_voxel_size: bool = False,
        mask: Masking | None = None,
        **settings: Unpack[SettingOptions],
    ) -> Request:
        return Request(
            tomogram,
            PickSettings.of(self.card, **settings),
            voxel_size,
            name,
            ignore_voxel_size,
            mask,
        )
