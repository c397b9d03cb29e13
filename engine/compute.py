"""Compute an open tomogram where its network is: on the processor, or on a GPU."""

from dep.engine.choices import Check, KernelBackend, Progress
from dep.engine.device_pipeline import stream_on_device
from dep.engine.errors import DeviceError, TomogramError
from dep.engine.job import Prepared
from dep.engine.pipeline import Streamed, stream
from dep.engine.runtime import Runtime
from dep.engine.runtime.gpu import GpuRuntime

# Kernels that take a network's scores where a GPU left them.
ON_DEVICE = ("auto", "cuda")


def compute(
    prepared: Prepared,
    runtime: Runtime,
    *,
    background: bool,
    kernels: KernelBackend,
    progress: Progress | None,
    check: Check,
) -> Streamed:
    """Stream a tomogram through a network, and say which one failed.

    Parameters
    ----------
    prepared : Prepared
        The tomogram.
    runtime : Runtime
        Nobody else may use it meanwhile.
    background : bool
        Channel 0 of the scores is background.
    kernels : {"auto", "reference", "c", "cuda"}
        What assembles and pools.
    progress : callable, optional
        Called before the first batch and after each.
    check : callable
        See `dep.engine.choices.Check`.

    Raises
    ------
    DeviceError
        The runtime failed.
    TomogramError
        It takes more memory than there is.
    """
    source, plan = prepared.source, prepared.plan
    settings = prepared.request.settings
    if progress is not None:
        progress(0, len(plan), "network")
    try:
        if isinstance(runtime, GpuRuntime) and kernels in ON_DEVICE:
            return stream_on_device(
                source,
                prepared.normalise,
                plan,
                runtime,
                settings,
                background=background,
                progress=progress,
                check=check,
            )
        return stream(
            source,
            prepared.normalise,
            plan,
            runtime,
            settings,
            background=background,
            backend=kernels,
            progress=progress,
            check=check,
        )
    except DeviceError as error:
        message = f"{source.label}: {error}"
        raise DeviceError(message) from error
    except MemoryError as error:
        message = (
            f"{source.label}: not enough memory for the network's tiles; use a smaller "
            "batch or a machine with more"
        )
        raise TomogramError(message) from error
