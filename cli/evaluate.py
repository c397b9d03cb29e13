"""`dep evaluate`: compare picks with the truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dep.cli.evaluate_options import (
    RuleName,
    check_numbers,
    check_outputs,
    check_rule,
    shape_of,
    weights_of,
)
from dep.cli.failure import UsageError, guarded
from dep.cli.named import named_numbers
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from dep.engine.evaluation.report import Report
    from dep.engine.evaluation.sources import Gathered


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
    ignore_classes: Annotated[
        bool,
        typer.Option(
            "--ignore-classes",
            help="Localisation only: picks of any class, or of none, count. Particles "
            "keep the diameters of their classes.",
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

    A pick hits a particle when it lies within the particle's radius; one pick
    per particle, nearest pairs first. Classes of the truth that the model does
    not know (such as vesicles and gold beads) are left out. Many tomograms are
    told by name.
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
    weights = weights_of(weight or [])
    check_numbers(
        {"--beta": beta, "--hit-radius": hit_radius, "--voxel-size": voxel_size},
        bootstrap,
        seed,
    )
    check_rule(rule, bool(weight), occupancy, ignore_classes)
    check_outputs(csv, curve, plots, overwrite)
    known = Known(
        model=model,
        diameter=common_size,
        diameters=sizes,
        tomogram=tomogram,
        shape=shape_of(shape),
        voxel_size=voxel_size,
        contest=_contest_classes(rule),
        common=common,
        ignore_classes=ignore_classes,
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
