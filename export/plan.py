"""An ONNX file in, a TensorRT plan with its card out."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dep.engine.atomic import atomic_path
from dep.engine.card import ModelCard
from dep.engine.model_file import read_card
from dep.engine.plan_file import SUFFIX, PlanOrigin, plan_document, sha256
from dep.engine.runtime.tensorrt_api import TensorRt, load_tensorrt
from dep.export.errors import ExportError

# Called with (phase, steps done, steps in all) while TensorRT builds.
BuildProgress = Callable[[str, int, int], None]
MIB = 1 << 20


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
        The plan also runs with newer versions, perhaps slower.
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


def export_plan(
    model: str | Path,
    out: str | Path,
    options: PlanOptions | None = None,
    *,
    source: str | None = None,
    progress: BuildProgress | None = None,
) -> tuple[ModelCard, PlanOrigin]:
    """Build a TensorRT plan of an ONNX file.

    Parameters
    ----------
    model
        Written by `dep export`; its arithmetic is what the file asks for ("typed").
    out
        Ends in .plan. `<out>.json` is written beside it. Plan and document appear
        whole, the document last: a plan without one is refused by name.
    options
        See `PlanOptions`.
    source : str, optional
        What the command that builds it again begins from; default: `model`.
    progress : callable, optional
        Told what TensorRT is doing.

    Returns
    -------
    card, origin

    Raises
    ------
    DeviceError
        TensorRT is not there, or an option is not for it.
    ModelError, CardError
        The ONNX file cannot be used.
    ExportError
        TensorRT does not parse or build it; its own words are given.
    """
    model, out = Path(model), Path(out)
    options = options or PlanOptions()
    card = read_card(model)
    api = load_tensorrt(options.builder)  # type: ignore[arg-type]  # it checks the name
    _check(options, api)
    data, gpu = _build(api, model, card, options, progress)
    capability = _capability() if not api.is_rtx else None
    origin = PlanOrigin(
        builder=api.name,
        version=api.version,
        batch=options.batch,
        compute_capabilities=(
            options.compute_capabilities or ((capability,) if capability else ())
        ),
        gpu=gpu,
        version_compatible=options.version_compatible,
        hardware_compatible=options.hardware_compatible,
        onnx=model.name,
        onnx_sha256=sha256(model),
        command=_command(source or str(model), out, options, api),
    )
    beside = out.with_name(out.name + SUFFIX)
    # The old document goes first: it would describe a plan that is no more.
    beside.unlink(missing_ok=True)
    with atomic_path(out) as temporary:
        temporary.write_bytes(data)
    with atomic_path(beside) as temporary:
        temporary.write_text(plan_document(out, card, origin), encoding="utf-8")
    return card, origin


def _check(options: PlanOptions, api: TensorRt) -> None:
    """Refuse options that this TensorRT would ignore."""
    low, best, high = options.batch
    wrong = []
    if not 1 <= low <= best <= high:
        wrong.append(
            f"batch: expected fewest <= best <= most, 1 or more, found {options.batch}"
        )
    if api.is_rtx and options.hardware_compatible:
        wrong.append(
            "hardware-compatible: a plan of tensorrt_rtx runs on every GPU of its "
            "compute capabilities as it is; name those instead"
        )
    if api.is_rtx and options.timing_cache is not None:
        wrong.append("timing-cache: tensorrt_rtx measures nothing when it builds")
    if not api.is_rtx and options.compute_capabilities:
        wrong.append(
            "compute-capability: tensorrt builds for the GPU of this machine; "
            "tensorrt_rtx builds for others"
        )
    if options.workspace is not None and options.workspace < 1:
        wrong.append(f"workspace: expected 1 MiB or more, found {options.workspace}")
    if wrong:
        raise ExportError("; ".join(wrong))


def _build(
    api: TensorRt,
    model: Path,
    card: ModelCard,
    options: PlanOptions,
    progress: BuildProgress | None,
) -> tuple[bytes, str | None]:
    trt, logger = api.module, api.logger()
    builder = trt.Builder(logger)
    if builder is None:
        raise ExportError(_words(model, "cannot begin", logger))
    network = builder.create_network(api.network_flags())
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.read_bytes()):
        errors = [parser.get_error(k) for k in range(parser.num_errors)]
        said = [
            f"{one.node_operator()} {one.node_name()}: {one.desc()}" for one in errors
        ]
        message = f"{model}: {api.name} {api.version} does not parse it: " + "; ".join(
            said or logger.lines
        )
        raise ExportError(message)
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
    _target(api, config, options.compute_capabilities)
    cache = _timing_cache(config, options.timing_cache)
    monitor = None
    if progress is not None:
        monitor = config.progress_monitor = _monitor(trt, progress)
    data = builder.build_serialized_network(network, config)
    if monitor is not None and monitor.failure is not None:
        raise monitor.failure
    if data is None:
        raise ExportError(_words(model, f"{api.name} builds no plan", logger))
    if options.timing_cache is not None and cache is not None:
        with atomic_path(options.timing_cache) as temporary:
            temporary.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(data), None if api.is_rtx else _gpu_name()


def _target(api: TensorRt, config: Any, capabilities: tuple[str, ...]) -> None:  # noqa: ANN401
    """Choose the GPUs of a plan of tensorrt_rtx."""
    if not capabilities:
        return
    known = api.module.ComputeCapability
    config.num_compute_capabilities = len(capabilities)
    for index, one in enumerate(capabilities):
        target = getattr(known, "SM" + one.replace(".", ""), None)
        if target is None:
            names = ", ".join(
                f"{name[2:-1]}.{name[-1]}"
                for name in sorted(dir(known), key=lambda name: (len(name), name))
                if name.startswith("SM")
            )
            message = f"compute-capability: expected some of {names}, found {one!r}"
            raise ExportError(message)
        config.set_compute_capability(target, index)


def _timing_cache(config: Any, path: Path | None) -> Any:  # noqa: ANN401
    """Attach what earlier builds measured; another GPU's or version's is not taken."""
    if path is None:
        return None
    try:
        kept = path.read_bytes()
    except FileNotFoundError:
        kept = b""
    except OSError as error:
        message = f"{path}: the timing cache cannot be read ({error.strerror})"
        raise ExportError(message) from error
    cache = config.create_timing_cache(kept)
    if not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _monitor(trt: Any, progress: BuildProgress) -> Any:  # noqa: ANN401
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Hands on what TensorRT says; what the listener raises ends the build."""

        def __init__(self) -> None:
            super().__init__()
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
            return self.failure is None

        def _tell(self, phase: str, step: int) -> None:
            if self.failure is not None:
                return
            try:
                steps = self._steps.get(phase, step)
                progress(phase, min(step, steps), steps)
            except BaseException as error:  # noqa: BLE001 - raised after the build
                self.failure = error

    return Monitor()


def _words(model: Path, what: str, logger: Any) -> str:  # noqa: ANN401
    said = "; ".join(logger.lines[-3:]) or "it does not say why"
    return f"{model}: {what}: {said}"


def _command(source: str, out: Path, options: PlanOptions, api: TensorRt) -> str:
    words = ["dep", "export", source, "-o", str(out), "--with", api.name]
    low, best, high = options.batch
    words += ["--batch", f"{low},{best},{high}"]
    if options.workspace is not None:
        words += ["--workspace", str(options.workspace)]
    if options.version_compatible:
        words.append("--version-compatible")
    if options.hardware_compatible:
        words.append("--hardware-compatible")
    if options.compute_capabilities:
        words += ["--compute-capability", ",".join(options.compute_capabilities)]
    return shlex.join([*words, "--overwrite"])


def _capability() -> str | None:
    """Say the compute capability of the first GPU, where CuPy finds one."""
    device = _device()
    return None if device is None else str(device.capability)


def _gpu_name() -> str | None:
    device = _device()
    return None if device is None else str(device.name)


def _device() -> Any:  # noqa: ANN401
    from dep.kernels import BackendError
    from dep.kernels.cuda.cupy_device import default_device

    try:
        return default_device()
    except BackendError:
        return None
