"""`dep export -o MODEL.plan`: an ONNX file on the way, then TensorRT, then a check."""

import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dep.cli.export import check_place, make_onnx
from dep.cli.export_options import ONNX, Asked, as_word
from dep.cli.failure import UsageError, say, words_of
from dep.cli.progress import EVERY, Reporter, reporting
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from dep.engine.plan_file import PlanOrigin
    from dep.export import Comparison, PlanOptions
    from dep.train.deployed import DeployedNetwork

BUILDERS = ("auto", "tensorrt", "tensorrt_rtx")
# How long a bar stays, seconds, before it is another phase's: TensorRT has many.
HOLD = 0.5


def make_plan(asked: Asked, for_plans: dict[str, Any], *, as_json: bool) -> None:
    """Carry out the command.

    Parameters
    ----------
    asked
        What to export.
    for_plans
        Options of the plan that were given.
    as_json
        Write one document instead of lines.
    """
    keep, check = for_plans.pop("keep_onnx", None), for_plans.pop("check", False)
    # What lies there may be no document of a plan's: as little replaced unasked.
    check_place(asked.out.with_name(asked.out.name + ".json"), asked.overwrite)
    if asked.half_weights:
        message = (
            "--half-weights: for .onnx files only; for a small plan take --precision "
            "fp16"
        )
        raise UsageError(message)
    direct = _is_direct(asked)
    _check_words(asked, keep, direct=direct, check=check)
    options = _options(for_plans)
    if check:
        from dep.export.check import need_gpu

        need_gpu()
    document: dict[str, Any] = {"card": None, "comparison": None}
    with tempfile.TemporaryDirectory(prefix="dep-") as folder:
        model, words = asked.source, [as_word(asked.source)]
        if direct and asked.precision is not None:
            words += ["--precision", asked.precision]
        if not direct:
            asked, words = _with_precision(asked)
            # `dep info` shows the name: of no file that is anybody's, if none stays.
            name = keep.name if keep else f"{asked.out.stem}.not-kept{ONNX}"
            model = Path(folder) / name
            document = make_onnx(asked, model, quiet=as_json)
        checking = _Checking(asked, model, direct=direct) if check else None
        origin, seconds = _build(asked.out, model, options, words, checking)
        if keep is not None:
            _copy(model, keep)
    from dep.engine.model_file import read_card

    document["card"] = read_card(asked.out).to_dict()
    document["check"] = (
        [asdict(one) for one in checking.comparisons] if checking else None
    )
    document["built"] = asdict(origin)
    if as_json:
        print_json(document)
        return
    _show(asked.out, origin, seconds, checking.comparisons if checking else [])
    if keep is not None:
        typer.echo(f"kept:      {keep} ({keep.stat().st_size / 1e6:.1f} MB)")
    typer.echo(f"next:      dep pick TOMOGRAM.mrc --engine {asked.out}")


def _is_direct(asked: Asked) -> bool:
    """Say whether the source is the ONNX file to build from, as it is."""
    if asked.source.suffix != ONNX:
        return False
    from dep.engine.model_file import read_card

    own = read_card(asked.source).precision
    changes = bool(asked.picking or asked.told or asked.calibrate)
    if not changes and asked.precision in (None, own):
        return True
    if own == "int8":
        message = (
            f"{asked.source}: its weights have 8 bits, of which no other network can "
            "be made; leave out all but the plan's options, or begin with the "
            "checkpoint or a model file of another precision"
        )
        raise UsageError(message)
    return False


def _check_words(asked: Asked, keep: Path | None, *, direct: bool, check: bool) -> None:
    """Refuse words that do not go together."""
    if direct and keep is not None:
        message = (
            f"--keep-onnx: the plan is built of {asked.source} itself, which stays "
            "as it is"
        )
        raise UsageError(message)
    if direct and asked.check_on is not None and not check:
        message = (
            f"--check-on: nothing is compared when a plan is built of {asked.source} "
            "as it is; add --check to compare the plan on a GPU"
        )
        raise UsageError(message)
    if keep is not None:
        if keep.suffix != ONNX:
            message = f"--keep-onnx {keep}: expected a name that ends in {ONNX}"
            raise UsageError(message)
        check_place(keep, asked.overwrite)
        if keep.resolve() == asked.source.resolve():
            message = f"--keep-onnx {keep}: is what the plan is made of; name another"
            raise UsageError(message)


def _with_precision(asked: Asked) -> tuple[Asked, list[str]]:
    """Settle the precision, and give the words that make the ONNX file again."""
    precision = asked.precision
    if precision is None and asked.source.suffix == ONNX:
        from dep.engine.model_file import read_card

        precision = read_card(asked.source).precision
    asked = replace(asked, precision=precision or "fp32")
    return asked, asked.words(asked.precision or "fp32")


def _options(for_plans: dict[str, Any]) -> "PlanOptions":
    """Read how to build, and find what builds, before anything long begins."""
    from dep.export import ExportError, PlanOptions
    from dep.export.plan import find_builder

    known = dict(for_plans)
    if known.get("builder", "auto") not in BUILDERS:
        message = f"--with: expected {', '.join(BUILDERS)}, found {known['builder']}"
        raise UsageError(message)
    if "batch" in known:
        known["batch"] = _batch(known["batch"])
    if "compute_capability" in known:
        words = known.pop("compute_capability").split(",")
        named = dict.fromkeys(word.strip() for word in words)
        known["compute_capabilities"] = tuple(named)
    options = PlanOptions(**known)
    try:
        find_builder(options)
    except ExportError as error:
        raise UsageError(words_of(error)) from error
    return options


def _batch(words: str) -> tuple[int, int, int]:
    try:
        numbers = [int(word) for word in words.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not 1 <= numbers[0] <= numbers[1] <= numbers[2]:
        message = (
            f"--batch: expected one number, or MIN,BEST,MOST with 1 <= MIN <= BEST <= "
            f"MOST, found {words!r}"
        )
        raise UsageError(message)
    return numbers[0], numbers[1], numbers[2]


class _Checking:
    """What `--check` compares with, and what comes of it."""

    def __init__(self, asked: Asked, model: Path, *, direct: bool) -> None:
        from dep.export.check import network_of
        from dep.export.sources import open_source

        self.comparisons: list[Comparison] = []
        self._model = model
        self._tomogram = asked.check_on
        self._network: DeployedNetwork | None
        if direct:
            self._network, why = network_of(model)
            if self._network is None:
                say(f"--check compares plan and ONNX file, without torch: {why}")
            return
        source = open_source(asked.source, asked.picking, asked.published())
        self._network = source.network
        if self._tomogram is None:
            self._tomogram = source.tomogram or next(iter(asked.calibrate), None)

    def check(self) -> Any:  # noqa: ANN401 - as `export_plan` takes it
        from dep.export.check import plan_check

        return plan_check(
            self._model, self._tomogram, self._network, self.comparisons.extend
        )


@dataclass
class _Shown:
    """Shows TensorRT's phases one after the other; those of a moment are left out."""

    reporter: Reporter
    hold: float
    phase: str = ""
    since: float = -1e9

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if phase != self.phase:
            if now - self.since < self.hold:
                return
            self.phase, self.since = phase, now
            self.reporter.begin(f"TensorRT: {phase}", 1, 1)
        self.reporter.advance(done, total)


def _build(
    out: Path,
    model: Path,
    options: "PlanOptions",
    words: list[str],
    checking: _Checking | None,
) -> tuple["PlanOrigin", float]:
    from dep.export import export_plan

    began = time.monotonic()
    with reporting(quiet=False) as reporter:
        shown = _Shown(reporter, HOLD if sys.stderr.isatty() else EVERY)
        _, origin = export_plan(
            model,
            out,
            options,
            words=words,
            progress=shown,
            check=checking.check() if checking else None,
        )
        seconds = time.monotonic() - began
        reporter.done(str(out), seconds=round(seconds, 1), built_by=origin.builder)
    return origin, seconds


def _copy(model: Path, keep: Path) -> None:
    from dep.engine.atomic import atomic_path

    with atomic_path(keep) as temporary:
        shutil.copyfile(model, temporary)


def _show(
    out: Path, origin: "PlanOrigin", seconds: float, comparisons: "list[Comparison]"
) -> None:
    for one in comparisons:
        typer.echo(f"checked:   {one}")
    typer.echo(f"model:     {out} ({out.stat().st_size / 1e6:.1f} MB), {out}.json")
    typer.echo(f"built by:  {origin.builder} {origin.version} in {seconds:.1f} s")
    if not comparisons:
        typer.echo(
            "not run:   the plan was built and not run here; --check runs it on a GPU "
            "and compares its picks"
        )
