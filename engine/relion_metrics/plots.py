"""Plots of metrics as PNG; the only module here that imports Matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.engine.atomic import atomic_path
from dep.engine.errors import DepError
from dep.engine.relion_metrics.bfactor import BFactor
from dep.engine.relion_metrics.distributions import Distribution
from dep.engine.relion_metrics.fsc import THRESHOLD, FscResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any colour vision tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DPI = 150
_CURVES = {
    "unmasked": ("no mask", "#56B4E9"),
    "masked": ("masked", "#E69F00"),
    "random": ("masked, random phases", "#D55E00"),
    "corrected": ("corrected", "#000000"),
}


def plot_distributions(path: Path, found: Sequence[Distribution]) -> None:
    """Draw the histograms of whole files, one panel for each metric."""
    whole = [one for one in found if one.class_id is None]
    metrics = list(dict.fromkeys(one.metric for one in whole))
    figure = _figure(5.2 * len(metrics), 3.8)
    files = list(dict.fromkeys(one.file for one in whole))
    for column, metric in enumerate(metrics, start=1):
        axes: Any = figure.add_subplot(1, len(metrics), column)
        for one in whole:
            if one.metric == metric:
                colour = COLOURS[files.index(one.file) % len(COLOURS)]
                label = f"{one.file} ({one.particles})"
                share = one.counts / one.particles
                axes.stairs(share, one.edges, color=colour, label=label, lw=1.4)
                axes.axvline(one.quantiles[2], color=colour, ls=":", lw=1)
        axes.set_xlabel(metric)
        axes.set_ylabel("share of particles")
        axes.legend(
            fontsize=8, title="file (particles); dots: median", title_fontsize=8
        )
    _save(figure, path)


def plot_fsc(path: Path, result: FscResult) -> None:
    """Draw the curves over frequency, with the resolution marked."""
    figure = _figure(6.4, 4.2)
    axes: Any = figure.add_subplot()
    for name, curve in result.curves.items():
        label, colour = _CURVES[name]
        axes.plot(result.frequency[1:], curve[1:], color=colour, label=label, lw=1.5)
    axes.axhline(THRESHOLD, color="0.5", lw=0.8, ls="--")
    axes.axhline(0, color="0.8", lw=0.8, zorder=0)
    resolution = result.resolution()
    if resolution.angstrom is not None:
        axes.axvline(1 / resolution.angstrom, color="0.5", lw=0.8, ls=":")
    if result.randomised_from is not None:
        start = result.frequency[result.randomised_from]
        axes.axvspan(start, result.frequency[-1], color="0.95", zorder=0, lw=0)
    axes.set_title(f"{resolution} at FSC = {THRESHOLD:g}", fontsize=10)
    axes.set_xlim(0, result.frequency[-1])
    axes.set_ylim(min(-0.1, float(np.min(result.best[1:])) - 0.05), 1.03)
    axes.set_xlabel("spatial frequency (1/Å); grey: phases at random")
    axes.set_ylabel("Fourier shell correlation")
    axes.legend(fontsize=8)
    _save(figure, path)


def plot_bfactor(path: Path, fit: BFactor) -> None:
    """Draw pairs, line and band, the axes as Rosenthal and Henderson have them."""
    figure = _figure(6.0, 4.2)
    axes: Any = figure.add_subplot()
    n, d = fit.pairs.particles, fit.pairs.resolution
    many = np.geomspace(n.min() / 1.3, 2 * n.max(), 200)
    line, low, high = fit.band(many)
    axes.fill_between(many, low, high, color="#56B4E9", alpha=0.3, lw=0)
    axes.plot(many, line, color="#0072B2", lw=1.5)
    axes.plot(n, 1 / d**2, "o", color="#000000", ms=4)
    axes.set_xscale("log")
    axes.set_xlabel("particles")
    axes.set_ylabel("1 / resolution² (1/Å²)")
    second = axes.secondary_yaxis("right", functions=(lambda y: y, lambda y: y))
    ticks = [t for t in axes.get_yticks() if t > 0]
    second.set_yticks(ticks, [f"{1 / t**0.5:.2f} Å" for t in ticks])
    lower, upper = fit.interval
    axes.set_title(
        f"B = {fit.b_factor:.0f} Å² ({fit.confidence:.0%}: {lower:.0f} to {upper:.0f})",
        fontsize=10,
    )
    _save(figure, path)


def _figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        message = (
            "plots need Matplotlib, which is not installed: pip install 'dep[plots]'"
        )
        raise DepError(message) from error
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    with atomic_path(path) as part:
        figure.savefig(part, format="png")
