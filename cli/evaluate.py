"""`dep evaluate`: compare picks with the truth."""

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dep.cli.failure import UsageError, guarded, need
from dep.cli.named import named_numbers
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from dep.engine.evaluation.report import Report
    from dep.engine.evaluation.sources import Gathered


class RuleName(StrEnum):
    """Contests whose rule is a preset."""

    czii = "czii"
    shrec = "shrec"


@guarded
def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PICKS... TRUTH",
            help="Coordinates of one tomogram or of many, files or folders of them; "
            "the last holds what is really there.",
            readable=False,
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Take class table and diameters from this model "
            "(default: the picks' own or the STAR file's beside them, else the "
            "bundled model's).",
            readable=False,
        ),
    ] = None,
    diameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]ÅNGSTRÖM",
            help="Diameters in place of a model's: of each class, or one for all.",
        ),
    ] = None,
    tomogram: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Take only this one."),
    ] = None,
    common: Annotated[
        bool,
        typer.Option(
            "--common",
            help="Leave out tomograms that have no picks "
            "(default: all their particles are missed).",
        ),
    ] = False,
    voxel_size: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM", help="Of the tomogram (default: the picks' or model's)."
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Size of the tomogram in voxels, for RELION 5 files that lack it.",
        ),
    ] = None,
    hit_radius: Annotated[
        float,
        typer.Option(
            metavar="FACTOR", help="A pick hits within this times the radius."
        ),
    ] = 1.0,
    beta: Annotated[
        float,
        typer.Option(help="Of F_beta: recall counts this many times precision."),
    ] = 1.0,
    rule: Annotated[
        RuleName | None,
        typer.Option(
            help="Score by a contest's rule too: CZII (Kaggle 2024) or SHREC 2021."
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="Of a class in CZII's score (default: the contest's, else 1; 0: not "
            "scored).",
        ),
    ] = None,
    occupancy: Annotated[
        Path | None,
        typer.Option(
            metavar="MRC",
            help="For SHREC's rule: a volume whose voxels hold the row in TRUTH of the "
            "particle there, or a folder of them.",
            readable=False,
        ),
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(metavar="N", help="95 % intervals from N bootstrap draws."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write figures per tomogram and class."),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write precision and recall at every threshold (CSV)."
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write pictures: precision-recall, confusion, distances, scores.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON document.")
    ] = False,
) -> None:
    """Score picks against the truth of one tomogram or of many.

    A pick hits a particle when it lies within the particle's radius; one pick per
    particle, nearest pairs first. Classes of the truth that the model does not know
    (such as vesicles and gold beads) are left out. Many tomograms are told by name.
    """
    from dep.engine.evaluation.sources import Known, gather

    if len(paths) < 2:
        message = f"expected PICKS... TRUTH: after {paths[0]} the truth is missing"
        raise UsageError(message)
    *picks, truth = paths
    common_size, sizes = named_numbers(diameter or [], "--diameter")
    if model is not None and diameter:
        message = "--model and --diameter: give one of the two"
        raise UsageError(message)
    weights = _weights(weight or [])
    _check(
        {"--beta": beta, "--hit-radius": hit_radius, "--voxel-size": voxel_size},
        bootstrap,
        seed,
    )
    _check_rule(rule, bool(weight), occupancy)
    _check_outputs(csv, curve, plots, overwrite)
    known = Known(
        model=model,
        diameter=common_size,
        diameters=sizes,
        tomogram=tomogram,
        shape=shape_of(shape),
        voxel_size=voxel_size,
        contest=_contest_classes(rule),
        common=common,
    )
    gathered = gather(picks, truth, known)
    report = _report(gathered, rule, weights, occupancy, beta, hit_radius)
    if bootstrap is not None:
        report = report.with_intervals(bootstrap, seed)
    written = _write(report, csv, curve, plots, overwrite)
    if as_json:
        document = {
            **report.to_dict(),
            "voxel_size": gathered.voxel_size,
            "class_table": gathered.source,
            "left_out": gathered.left_out,
            "notes": list(gathered.notes),
            "written": [str(path) for path in written],
        }
        print_json(document)
        return
    from rich.console import Console

    from dep.cli.evaluate_tables import show

    console = Console(highlight=False)
    show(report, gathered, console)
    for path in written:
        console.print(f"wrote {path}", markup=False, soft_wrap=True)


def shape_of(words: str | None) -> tuple[int, int, int] | None:
    """Read X,Y,Z as a shape (z, y, x).

    Raises
    ------
    UsageError
        Not three whole numbers above 0.
    """
    if words is None:
        return None
    numbers = [word.strip() for word in words.split(",")]
    if len(numbers) != 3 or not all(
        one.isascii() and one.isdigit() and int(one) > 0 for one in numbers
    ):
        message = (
            "--shape: expected the tomogram's size in voxels as X,Y,Z (such as "
            f"928,960,300), found {words!r}"
        )
        raise UsageError(message)
    x, y, z = (int(one) for one in numbers)
    return z, y, x


def _weights(words: list[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name.strip() or not 0 <= value < math.inf:
            message = (
                f"--weight: expected NAME=NUMBER, the number 0 or above, found {word!r}"
            )
            raise UsageError(message)
        if name.strip() in weights:
            message = f"--weight: said twice for {name.strip()}"
            raise UsageError(message)
        weights[name.strip()] = value
    return weights


def _check(numbers: dict[str, float | None], draws: int | None, seed: int) -> None:
    from dep.engine.evaluation.bootstrap import MOST_REPLICATES

    for option, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            message = f"{option}: expected a number above 0, found {value}"
            raise UsageError(message)
    if draws is not None and not 2 <= draws <= MOST_REPLICATES:
        message = f"--bootstrap: expected 2 to {MOST_REPLICATES} draws, found {draws}"
        raise UsageError(message)
    if seed < 0:
        message = f"--seed: expected 0 or above, found {seed}"
        raise UsageError(message)


def _check_rule(rule: RuleName | None, weighted: bool, occupancy: Path | None) -> None:
    if weighted and rule is not RuleName.czii:
        message = "--weight goes with --rule czii"
        raise UsageError(message)
    if rule is RuleName.shrec and occupancy is None:
        message = (
            "--rule shrec needs --occupancy: the volume whose voxels hold the number "
            "of the particle there"
        )
        raise UsageError(message)
    if occupancy is not None and rule is not RuleName.shrec:
        message = "--occupancy goes with --rule shrec"
        raise UsageError(message)


def _check_outputs(
    csv: Path | None, curve: Path | None, plots: Path | None, overwrite: bool
) -> None:
    """Refuse outputs that are there or cannot be made, before anything is read."""
    if plots is not None:
        need(("matplotlib",), "plots", "--plots")
        if plots.exists() and not plots.is_dir():
            message = f"--plots: {plots}: is a file, expected a folder"
            raise UsageError(message)
    targets = [path for path in (csv, curve) if path is not None]
    if len(targets) == 2 and targets[0] == targets[1]:
        message = f"--csv and --curve: both would be written to {csv}"
        raise UsageError(message)
    for path in targets:
        if path.exists() and not overwrite:
            message = f"{path}: is there already; --overwrite replaces it"
            raise UsageError(message)


def _contest_classes(rule: RuleName | None) -> tuple[Any, ...]:
    if rule is not RuleName.czii:
        return ()
    from dep.engine.evaluation.czii import CLASSES

    return CLASSES


def _report(
    gathered: "Gathered",
    rule: RuleName | None,
    weights: dict[str, float],
    occupancy: Path | None,
    beta: float,
    factor: float,
) -> "Report":
    from dep.engine.evaluation.events import events_of
    from dep.engine.evaluation.report import report_on

    cases = gathered.cases
    events = events_of(cases, factor)
    result = None
    if rule is RuleName.czii:
        from dep.engine.evaluation.czii import czii

        result = czii(cases, events, weights)
    elif rule is RuleName.shrec and occupancy is not None:
        from dep.engine.evaluation.shrec import occupancies_of, shrec

        result = shrec(cases, events, occupancies_of(occupancy, cases))
    return report_on(cases, beta=beta, factor=factor, events=events, rule=result)


def _write(
    report: "Report",
    csv: Path | None,
    curve: Path | None,
    plots: Path | None,
    overwrite: bool,
) -> list[Path]:
    from dep.engine.evaluation.report import write_csv, write_curves

    written = []
    if plots is not None:
        from dep.engine.evaluation.plots import draw_all, pictures

        there = [name for name in pictures(report) if (plots / name).exists()]
        if there and not overwrite:
            message = (
                f"{plots}: holds {', '.join(there)} already; --overwrite replaces them"
            )
            raise UsageError(message)
    if csv is not None:
        write_csv(report, csv)
        written.append(csv)
    if curve is not None:
        write_curves(report, curve)
        written.append(curve)
    if plots is not None:
        written += draw_all(report, plots)
    return written
