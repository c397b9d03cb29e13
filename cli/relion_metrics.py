"""`dep relion-metrics`: what refinement says of picks."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dep.cli.failure import UsageError, guarded, need
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from dep.engine.relion_metrics import Distribution, FscResult

app = typer.Typer(
    help="Judge picks by refinement: RELION's particle metrics, FSC, B-factor.",
    no_args_is_help=True,
)

WIDEST = 120  # characters of a table

AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write a table.", readable=False),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE.png", help="Draw a plot, as PNG.", readable=False
    ),
]


@app.command("particles")
@guarded
def particles(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]STAR...",
            help="RELION's particles after refinement or classification, such as "
            "run_data.star; those after the first are compared with it.",
        ),
    ],
    bins: Annotated[
        int, typer.Option(min=1, max=10_000, help="Of the histograms.")
    ] = 50,
    csv: Csv = None,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Show distributions of log-likelihood and of the largest pose probability.

    Of rlnLogLikeliContribution and rlnMaxValueProbDistribution, per file and class.
    """
    from dep.engine.relion_metrics import distributions, read_particles

    _plots(plot)
    found = distributions([read_particles(*_named(words)) for words in files], bins)
    _write(csv, plot, "distributions", found)
    if as_json:
        print_json({"distributions": [one.to_dict() for one in found]})
        return
    _show_distributions(found)


@app.command("fsc")
@guarded
def fsc(
    first: Annotated[
        Path, typer.Argument(metavar="HALF1", help="MRC.", readable=False)
    ],
    second: Annotated[
        Path, typer.Argument(metavar="HALF2", help="MRC.", readable=False)
    ],
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="MRC", help="Weights from 0 to 1, soft edge.", readable=False
        ),
    ] = None,
    mask_radius: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM", help="A soft ball of this radius instead of --mask."
        ),
    ] = None,
    randomise_from: Annotated[
        float | None,
        typer.Option(
            metavar="ÅNGSTRÖM",
            help="Random phases there and beyond (default: where the unmasked FSC "
            "falls below 0.8).",
        ),
    ] = None,
    voxel_size: Annotated[
        float | None,
        typer.Option(metavar="ÅNGSTRÖM", help="Overruling the headers."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random phases.")] = 0,
    csv: Csv = None,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Compute the gold-standard FSC of two half maps, and the resolution at 0.143.

    With a mask the curve is corrected for what the mask itself correlates, by phase
    randomisation (Chen et al., 2013).
    """
    from dep.engine.relion_metrics import ball_mask, gold_standard, open_halves

    if mask is not None and mask_radius is not None:
        message = "--mask and --mask-radius exclude each other"
        raise UsageError(message)
    if randomise_from is not None and mask is None and mask_radius is None:
        message = "--randomise-from says nothing without --mask or --mask-radius"
        raise UsageError(message)
    if randomise_from is not None and not randomise_from > 0:
        message = f"--randomise-from: expected Å above 0, found {randomise_from:g}"
        raise UsageError(message)
    if mask_radius is not None and not mask_radius > 0:
        message = f"--mask-radius: expected Å above 0, found {mask_radius:g}"
        raise UsageError(message)
    _plots(plot)
    one, other, weights, size = open_halves(first, second, mask, voxel_size)
    if mask_radius is not None:
        z, y, x = one.shape
        weights = ball_mask((z, y, x), mask_radius / size)
    result = gold_standard(
        one, other, size, weights, randomise_from=randomise_from, seed=seed
    )
    _write(csv, plot, "fsc", result)
    if as_json:
        print_json(result.to_dict())
        return
    _show_fsc(result)


@app.command("bfactor")
@guarded
def bfactor(
    pairs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|N:Å...",
            help="A file of particles and resolutions, or such pairs: 1000:8.1.",
        ),
    ],
    confidence: Annotated[
        float, typer.Option(help="Of the interval and the band.")
    ] = 0.95,
    csv: Csv = None,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Fit the Rosenthal-Henderson B-factor to particles and resolutions.

    1 / d² against ln N: B = 2 / slope, with its confidence interval and band.
    """
    from dep.engine.relion_metrics import fit_bfactor, read_pairs

    if not 0 < confidence < 1:
        message = f"--confidence: expected a number from 0 to 1, found {confidence:g}"
        raise UsageError(message)
    _plots(plot)
    fit = fit_bfactor(read_pairs(pairs), confidence)
    _write(csv, plot, "bfactor", fit)
    if as_json:
        print_json(fit.to_dict())
        return
    low, high = fit.interval
    typer.echo(
        f"B-factor   {fit.b_factor:.1f} Å² ({confidence:.0%}: {low:.1f} to {high:.1f})"
    )
    typer.echo(f"R²         {fit.r_squared:.4f} ({len(fit.pairs.particles)} pairs)")
    for one in fit.to_dict()["expected"]:
        # The line's own uncertainty; a single refinement scatters about it.
        best, worst = (
            "none" if one[end] is None else f"{one[end]:.2f}"
            for end in ("best", "worst")
        )
        typer.echo(
            f"expected   {one['resolution']:.2f} Å from {one['particles']:.0f} "
            f"particles ({confidence:.0%} of the line: {best} to {worst})"
        )


def _plots(plot: Path | None) -> None:
    if plot is not None:
        need(("matplotlib",), "plots", "--plot")


def _write(csv: Path | None, plot: Path | None, what: str, result: object) -> None:
    from dep.engine.relion_metrics import plots, tables

    writers: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
        "distributions": (tables.write_distributions, plots.plot_distributions),
        "fsc": (tables.write_curves, plots.plot_fsc),
        "bfactor": (tables.write_line, plots.plot_bfactor),
    }
    table, drawing = writers[what]
    if csv is not None:
        table(csv, result)
    if plot is not None:
        drawing(plot, result)


def _named(words: str) -> tuple[Path, str | None]:
    """Read NAME=FILE or FILE; a file whose own name holds a = is found as it is."""
    name, mark, path = words.partition("=")
    if not mark or Path(words).exists():
        return Path(words), None
    if not name.strip() or not path:
        message = f"expected FILE or NAME=FILE, found {words!r}"
        raise UsageError(message)
    return Path(path), name.strip()


def _show_distributions(found: "list[Distribution]") -> None:
    from rich.console import Console
    from rich.markup import escape

    from dep.cli.tables import plain_table

    console = Console(highlight=False)
    # A narrow terminal wraps numbers that do not fit; Rich would cut them.
    console.width = max(console.width, WIDEST)
    for metric in dict.fromkeys(one.metric for one in found):
        table = plain_table(
            "file",
            "class",
            "particles",
            "mean",
            "5 %",
            "25 %",
            "median",
            "75 %",
            "95 %",
            "> first",
            title=metric,
        )
        for one in found:
            if one.metric == metric:
                table.add_row(
                    escape(one.file),
                    "all" if one.class_id is None else str(one.class_id),
                    str(one.particles),
                    *map(_short, (one.mean, *one.quantiles)),
                    "" if one.above_first is None else f"{one.above_first:.3f}",
                )
        console.print(table)
        console.print()


def _short(value: float) -> str:
    """Three decimals, or none where that would be more than seven digits."""
    return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.0f}"


def _show_fsc(result: "FscResult") -> None:
    from dep.engine.relion_metrics.fsc import THRESHOLD, resolution_of

    for name, curve in result.curves.items():
        if name == "random":
            continue
        at, half = (
            resolution_of(result.frequency, curve, threshold)
            for threshold in (THRESHOLD, 0.5)
        )
        typer.echo(f"{name:<10} {at} at {THRESHOLD:g}, {half} at 0.5")
    if result.randomised_from is not None:
        start = 1 / result.frequency[result.randomised_from]
        typer.echo(f"phases at random from {start:.2f} Å on")
    for warning in result.warnings:
        typer.echo(f"note: {warning}")
