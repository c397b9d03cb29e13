"""An ONNX file in, a TensorRT plan with its card out."""

import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dep.engine.atomic import atomic_path
from dep.engine.card import ModelCard
from dep.engine.model_file import read_card
from dep.engine.plan_file import SUFFIX, PlanOrigin, plan_document, sha256
from dep.engine.runtime.tensorrt_api import TensorRt, load_tensorrt
from dep.export.build import BuildProgress, PlanOptions, build, check_options
from dep.export.errors import ExportError
from dep.export.timing_cache import default_timing_cache

__all__ = ["BuildProgress", "PlanOptions", "export_plan", "find_builder"]

# Called with a plan and its card before the plan takes its name.
PlanCheck = Callable[[Path, ModelCard], None]


def find_builder(options: PlanOptions) -> TensorRt:
    """Load the TensorRT that is asked for, and refuse options that are not for it.

    Raises
    ------
    DeviceError
        It is not there; says what to install.
    ExportError
        An option is wrong, or this TensorRT would ignore it.
    """
    api = load_tensorrt(options.builder)  # type: ignore[arg-type]  # it checks the name
    check_options(options, api)
    return api


def export_plan(
    model: str | Path,
    out: str | Path,
    options: PlanOptions | None = None,
    *,
    words: Sequence[str] = (),
    progress: BuildProgress | None = None,
    check: PlanCheck | None = None,
) -> tuple[ModelCard, PlanOrigin]:
    """Build a TensorRT plan of an ONNX file.

    Parameters
    ----------
    model
        Written by `dep export`; its arithmetic is what the file asks for ("typed").
    out
        Ends in .plan. `<out>.json` is written beside it. Both appear whole or not at
        all, the document last: a plan without one is refused by name.
    options
        See `PlanOptions`. `tensorrt` without a timing cache takes one in the user's
        folder for caches.
    words : sequence of str, optional
        What follows `dep export` in the command that builds it again, up to the
        plan's own options: the source, and how it becomes `model`. Default: `model`.
    progress : callable, optional
        Told what TensorRT is doing, from another thread; what it raises ends the
        build.
    check : callable, optional
        Called with the finished plan, its document beside it, under a passing name;
        when it raises, nothing is left behind, and an older plan stays.

    Returns
    -------
    card, origin

    Raises
    ------
    DeviceError
        TensorRT is not there.
    ModelError, CardError
        The ONNX file cannot be used.
    ExportError
        An option is not for this TensorRT. TensorRT does not parse or build the file;
        its own words are given. The plan cannot be written.
    """
    model, out = Path(model), Path(out)
    options = options or PlanOptions()
    card = read_card(model)
    api = find_builder(options)
    device = None if api.is_rtx else _device()
    gpu = None if device is None else str(device.name)
    cache = options.timing_cache or default_timing_cache(api, gpu)
    data = build(api, model, card, replace(options, timing_cache=cache), progress)
    built_on = () if device is None else (str(device.capability),)
    origin = PlanOrigin(
        builder=api.name,
        version=api.version,
        batch=options.batch,
        compute_capabilities=options.compute_capabilities or built_on,
        gpu=gpu,
        version_compatible=options.version_compatible,
        hardware_compatible=options.hardware_compatible,
        onnx=model.name,
        onnx_sha256=sha256(model),
        command=_command(words or [str(model)], out, options, api),
    )
    _write(data, out, card, origin, check)
    return card, origin


def _write(
    data: bytes,
    out: Path,
    card: ModelCard,
    origin: PlanOrigin,
    check: PlanCheck | None,
) -> None:
    """Write plan and document beside their place, check them, and let them in."""
    with _naming(out):
        folder = tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)
    with folder:
        plan = Path(folder.name) / out.name
        with _naming(out):
            plan.write_bytes(data)
            text = plan_document(plan, card, origin)
            plan.with_name(plan.name + SUFFIX).write_text(text, encoding="utf-8")
        if check is not None:
            check(plan, card)
        with _naming(out):
            _take_names(plan, out, text)


def _take_names(plan: Path, out: Path, text: str) -> None:
    beside = out.with_name(out.name + SUFFIX)
    # The old document goes first: it would describe a plan that is no more.
    beside.unlink(missing_ok=True)
    try:
        with atomic_path(out) as temporary:
            plan.replace(temporary)
        with atomic_path(beside) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except BaseException:
        # Old or new, it has lost its document and can be used no more.
        out.unlink(missing_ok=True)
        raise


@contextmanager
def _naming(out: Path) -> Iterator[None]:
    """Name the plan in errors of the disk, rather than what it is called meanwhile."""
    try:
        yield
    except OSError as error:
        message = f"{out}: cannot be written ({error.strerror or error})"
        raise ExportError(message) from error


def _command(
    words: Sequence[str], out: Path, options: PlanOptions, api: TensorRt
) -> str:
    command = ["dep", "export", *words, "-o", str(out), "--with", api.name]
    command += ["--batch", ",".join(map(str, options.batch))]
    if options.workspace is not None:
        command += ["--workspace", str(options.workspace)]
    if options.version_compatible:
        command.append("--version-compatible")
    if options.hardware_compatible:
        command.append("--hardware-compatible")
    if options.compute_capabilities:
        command += ["--compute-capability", ",".join(options.compute_capabilities)]
    return shlex.join([*command, "--overwrite"])


def _device() -> Any:  # noqa: ANN401
    """Find the first GPU, by CuPy."""
    from dep.kernels import BackendError
    from dep.kernels.cuda.cupy_device import default_device

    try:
        return default_device()
    except BackendError:
        return None
