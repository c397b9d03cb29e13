"""Let TensorRT build a plan's bytes of an ONNX file."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dep.engine.card import ModelCard
from dep.engine.runtime.tensorrt_api import TensorRt
from dep.export import timing_cache
from dep.export.errors import ExportError

# Called with (phase, steps done, steps in all) while TensorRT builds.
BuildProgress = Callable[[str, int, int], None]
MIB = 1 << 20
MOST_TILES = 64  # at once; more than any GPU's memory holds
MOST_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """How to build a plan.

    Attributes
    ----------
    builder : {"auto", "tensorrt", "tensorrt_rtx"}
        Which TensorRT.
    batch : (int, int, int)
        Fewest, best and most tiles at once.
    workspace : int, optional
        MiB that a layer may use for itself; TensorRT's default is all there is.
    version_compatible : bool
        `tensorrt` only: the plan also runs with newer versions, perhaps slower.
    hardware_compatible : bool
        `tensorrt` only: it also runs on other GPUs from Ampere on, perhaps slower.
    compute_capabilities : tuple of str
        `tensorrt_rtx` only: for these ("8.6"); none: for all that it knows.
    timing_cache : path, optional
        `tensorrt` only: measurements of earlier builds, read and kept here. Made for
        one GPU and one version: others begin afresh.
    """

    builder: str = "auto"
    batch: tuple[int, int, int] = (1, 4, 8)
    workspace: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    compute_capabilities: tuple[str, ...] = ()
    timing_cache: Path | None = None


def check_options(options: PlanOptions, api: TensorRt) -> None:
    """Refuse options that are wrong, or that this TensorRT would ignore.

    Raises
    ------
    ExportError
        Listing all of them.
    """
    low, best, high = options.batch
    wrong = []
    if not 1 <= low <= best <= high <= MOST_TILES:
        wrong.append(
            f"batch: expected fewest <= best <= most, 1 to {MOST_TILES}, found "
            f"{options.batch}"
        )
    if api.is_rtx and options.hardware_compatible:
        wrong.append(
            "hardware-compatible: a plan of tensorrt_rtx runs on every GPU of its "
            "compute capabilities as it is; name those instead"
        )
    if api.is_rtx and options.version_compatible:
        wrong.append(
            "version-compatible: tensorrt_rtx does not bring what runs such a plan "
            "with newer versions; build the plan again after an upgrade"
        )
    if api.is_rtx and options.timing_cache is not None:
        wrong.append("timing-cache: tensorrt_rtx measures nothing when it builds")
    if not api.is_rtx and options.compute_capabilities:
        wrong.append(
            "compute-capability: tensorrt builds for the GPU of this machine; "
            "tensorrt_rtx builds for others"
        )
    if options.workspace is not None and not 1 <= options.workspace <= MOST_MIB:
        wrong.append(
            f"workspace: expected 1 to {MOST_MIB} MiB, found {options.workspace}"
        )
    if api.is_rtx:
        known = _capabilities(api)
        wrong += [
            f"compute-capability: expected some of {', '.join(known)}, found {one!r}"
            for one in options.compute_capabilities
            if one not in known
        ]
    if wrong:
        raise ExportError("; ".join(wrong))


def _capabilities(api: TensorRt) -> dict[str, Any]:
    """Name the compute capabilities that a TensorRT-RTX builds for: SM86 is 8.6."""
    names = [
        name for name in dir(api.module.ComputeCapability) if name.startswith("SM")
    ]
    return {
        f"{name[2:-1]}.{name[-1]}": getattr(api.module.ComputeCapability, name)
        for name in sorted(names, key=lambda name: (len(name), name))
    }


def build(
    api: TensorRt,
    model: Path,
    card: ModelCard,
    options: PlanOptions,
    progress: BuildProgress | None,
) -> bytes:
    """Parse an ONNX file and build a plan of it.

    Parameters
    ----------
    api, options
        With which TensorRT, and how.
    model, card
        The file and its card.
    progress
        Told what TensorRT is doing, from another thread; what it raises ends the
        build.

    Raises
    ------
    ExportError
        TensorRT does not parse or build it; its own words are given.
    """
    trt, logger = api.module, api.logger()
    builder = trt.Builder(logger)
    if builder is None:
        raise ExportError(_words(model, f"{api.name} cannot begin", logger))
    network = builder.create_network(api.network_flags())
    _parse(api, network, model, logger)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    edge = (1, card.tile, card.tile, card.tile)
    profile.set_shape(
        network.get_input(0).name, *[(batch, *edge) for batch in options.batch]
    )
    config.add_optimization_profile(profile)
    if options.workspace is not None:
        config.set_memory_pool_limit(
            trt.MemoryPoolType.WORKSPACE, options.workspace * MIB
        )
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.compute_capabilities:
        known = _capabilities(api)
        config.num_compute_capabilities = len(options.compute_capabilities)
        for index, one in enumerate(options.compute_capabilities):
            config.set_compute_capability(known[one], index)
    if options.timing_cache is not None:
        timing_cache.attach(config, options.timing_cache)
    data = _run(trt, builder, network, config, progress)
    if data is None:
        raise ExportError(_words(model, f"{api.name} builds no plan", logger))
    if options.timing_cache is not None:
        timing_cache.keep(config, options.timing_cache)
    return bytes(data)


def _parse(api: TensorRt, network: Any, model: Path, logger: Any) -> None:  # noqa: ANN401
    parser = api.module.OnnxParser(network, logger)
    if parser.parse(model.read_bytes()):
        return
    errors = [parser.get_error(k) for k in range(parser.num_errors)]
    said = [f"{one.node_operator()} {one.node_name()}: {one.desc()}" for one in errors]
    words = "; ".join(said or logger.lines)
    message = f"{model}: {api.name} {api.version} does not parse it: {words}"
    raise ExportError(message)


def _run(
    trt: Any,  # noqa: ANN401
    builder: Any,  # noqa: ANN401
    network: Any,  # noqa: ANN401
    config: Any,  # noqa: ANN401
    progress: BuildProgress | None,
) -> Any:  # noqa: ANN401
    """Build in a thread of its own, and wait.

    Ctrl-C is raised in the main thread, wherever Python happens to be: inside a
    callback of TensorRT's it could not be handed on, and would end the process.
    """
    monitor = _monitor(trt, progress)
    config.progress_monitor = monitor
    with ThreadPoolExecutor(1, "tensorrt") as pool:
        result = pool.submit(builder.build_serialized_network, network, config)
        try:
            data = result.result()
        except BaseException:
            monitor.stopped = True
            raise
    if monitor.failure is not None:
        raise monitor.failure
    return data


def _monitor(trt: Any, progress: BuildProgress | None) -> Any:  # noqa: ANN401
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Hands on what TensorRT says; what the listener raises ends the build."""

        def __init__(self) -> None:
            super().__init__()
            self.stopped = False
            self.failure: BaseException | None = None
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            del parent
            self._steps[phase] = steps
            self._tell(phase, 0)

        def phase_finish(self, phase: str) -> None:
            self._tell(phase, self._steps.pop(phase, 0))

        def step_complete(self, phase: str, step: int) -> bool:
            self._tell(phase, step + 1)
            return not self.stopped

        def _tell(self, phase: str, step: int) -> None:
            if self.stopped or progress is None:
                return
            try:
                steps = self._steps.get(phase, step)
                progress(phase, min(step, steps), steps)
            except BaseException as error:  # noqa: BLE001 - raised after the build
                self.failure, self.stopped = error, True

    return Monitor()


def _words(model: Path, what: str, logger: Any) -> str:  # noqa: ANN401
    said = "; ".join(logger.lines[-3:]) or "it does not say why"
    return f"{model}: {what}: {said}"
