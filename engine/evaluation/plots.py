"""Pictures of an evaluation: precision-recall, confusion, distances, scores.

Matplotlib is imported when they are drawn; it is in the `plots` extra.
"""

import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dep.engine.atomic import atomic_path
from dep.engine.evaluation.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dep.engine.evaluation.curve import Curve

# Okabe & Ito, "Color Universal Design" (2008): distinct to everyone. Lines of one
# colour are told apart by their dashes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))
INK, SOFT, FAINT, GRID = "#1b1f24", "#5b6570", "#7fa8c9", "#d9dee3"
HIT, MISS = COLOURS[0], COLOURS[1]
MOST_COUNTED = 40  # classes, in the confusion matrix: more leave no room for numbers
LONGEST = 24  # letters of a class name
DPI = 150


def draw_all(report: Report, folder: Path) -> list[Path]:
    """Write all pictures there is something to draw in; missing folders are made.

    Parameters
    ----------
    report : Report
        What to draw.
    folder : path
        ``precision_recall.png``, ``confusion.png``, ``distances.png``, ``scores.png``.

    Returns
    -------
    list of Path
        The pictures written. Without hits there are no distances, and where all picks
        have the same score there is neither a curve nor a histogram of scores.

    Raises
    ------
    PicksError
        One cannot be written.
    """
    wanted: dict[str, tuple[bool, Callable[[Report], Figure]]] = {
        "precision_recall.png": (not report.one_score, draw_precision_recall),
        "confusion.png": (bool(report.cases.names), draw_confusion),
        "distances.png": (report.total.localisation.hits > 0, draw_distances),
        "scores.png": (not report.one_score, draw_scores),
    }
    written = []
    for name, (there, draw) in wanted.items():
        if there:
            target = io.BytesIO()
            with warnings.catch_warnings():
                # Names in scripts that the font lacks are shown as boxes.
                warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
                draw(report).savefig(target, format="png", dpi=DPI, bbox_inches="tight")
            with atomic_path(folder / name) as part:
                part.write_bytes(target.getvalue())
            written.append(folder / name)
    return written


def pictures(report: Report) -> list[str]:
    """Name what `draw_all` would write."""
    names = ["confusion.png"] if report.cases.names else []
    names += ["distances.png"] if report.total.localisation.hits else []
    return names + ([] if report.one_score else ["precision_recall.png", "scores.png"])


def draw_precision_recall(report: Report) -> "Figure":
    """Draw the curves over thresholds, with the best F1 of each marked."""
    classes = {n: c for n, c in report.class_curves.items() if c.particles}
    figure, axes = _figure(8.6 if len(classes) > 1 else 6.2, 5.6)
    _iso_f1(axes)
    # First, so that it hides no class where all are near 1.
    label = f"{report.curve.average_precision:.3f}  localisation"
    _curve(axes, report.curve, label, color=INK, linewidth=3.2)
    if len(classes) > 1:
        told = len(classes) <= len(COLOURS) * len(DASHES)
        for index, (name, curve) in enumerate(classes.items()):
            if not told:  # more than lines can tell apart
                mean = f"{report.mean_average_precision:.3f}"
                label = "" if index else f"{mean}  mean of {len(classes)} classes"
                _curve(axes, curve, label, color=FAINT, linewidth=0.7)
                continue
            colour = COLOURS[index % len(COLOURS)]
            dash = DASHES[index // len(COLOURS)]
            label = f"{curve.average_precision:.3f}  {_short(name)}"
            _curve(axes, curve, label, color=colour, linestyle=dash, linewidth=1.3)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    axes.set_title("Precision and recall over thresholds of the score")
    legend = axes.legend(
        title="average precision",
        loc="upper left" if len(classes) > 1 else "lower left",
        bbox_to_anchor=(1.07, 1) if len(classes) > 1 else None,
        frameon=False,
        alignment="left",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    _foot(figure, "dot: the threshold of the best F1; grey lines: equal F1")
    return figure


def _curve(axes: "Axes", curve: "Curve", label: str, **style: Any) -> None:  # noqa: ANN401
    axes.plot(curve.recall, curve.precision, label=label, **style)
    best = curve.best()
    if best is not None:
        at = curve.recall[best], curve.precision[best]
        axes.plot(
            *at,
            "o",
            color=style["color"],
            markersize=5,
            markeredgecolor="w",
            clip_on=False,
            zorder=3,
        )


def _iso_f1(axes: "Axes") -> None:
    recall = np.linspace(0.01, 1, 400)
    for f1 in (0.2, 0.4, 0.6, 0.8, 0.9):
        there = recall[2 * recall - f1 > 1e-6]
        precision = f1 * there / (2 * there - f1)
        kept = precision <= 1
        axes.plot(there[kept], precision[kept], color=GRID, linewidth=0.9, zorder=0)
        end = f1 / (2 - f1)
        axes.annotate(
            f"{f1}",
            (1.01, end),
            color=SOFT,
            fontsize=7,
            va="center",
            xytext=(3, 0),
            textcoords="offset points",
            annotation_clip=False,
        )


def draw_confusion(report: Report) -> "Figure":
    """Draw the confusion matrix: shares of each class's particles, and counts."""
    from matplotlib import colormaps

    matrix = report.total.confusion
    # Nothing-on-nothing is no event; the last row and column are "none".
    turned = np.roll(matrix, -1, axis=(0, 1))
    names = [_short(name) for name in report.total.classes]
    shares = turned / np.maximum(turned.sum(axis=1, keepdims=True), 1)
    shares[-1] = np.nan  # picks on nothing are no share of anything
    edge = 1.8 + 0.46 * len(turned)
    figure, axes = _figure(max(4.6, min(edge + 1.2, 13)), max(3.9, min(edge, 12)))
    colours = colormaps["Blues"].with_extremes(bad="#f1f3f5")
    image = axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
    small = float(np.clip(300 / len(turned), 4, 10))
    ticks = range(len(turned))
    style: dict[str, Any] = {
        "fontsize": small,
        "parse_math": False,
    }  # a $ is only a letter
    axes.set_xticks(ticks, [*names, "missed"], rotation=90, **style)
    axes.set_yticks(ticks, [*names, "nothing there"], **style)
    counted = len(names) <= MOST_COUNTED
    if counted:
        size = 8 if len(names) <= 16 else 5.5
        for row, column in np.argwhere(turned > 0):
            dark = shares[row, column] > 0.55
            axes.text(
                column,
                row,
                str(turned[row, column]),
                ha="center",
                va="center",
                fontsize=size,
                color="white" if dark else INK,
            )
    axes.set(xlabel="picked as", ylabel="particle")
    axes.set_title("Confusion matrix" + (" (counts)" if counted else ""))
    for line in (len(names) - 0.5,):
        axes.axhline(line, color=SOFT, linewidth=0.8)
        axes.axvline(line, color=SOFT, linewidth=0.8)
    bar = figure.colorbar(image, ax=axes, fraction=0.045)
    bar.set_label("share of the particles of a class")
    return figure


def draw_distances(report: Report) -> "Figure":
    """Draw how far hits lie from their particles, in ångström."""
    hit = report.events.hit
    sizes = np.array([one.voxel_size for one in report.cases.each])
    apart = (report.events.distance * sizes[report.events.case])[hit]
    figure, axes = _figure(6.2, 4.0)
    top = float(apart.max()) or 1.0
    axes.hist(apart, bins=_bins(len(apart)), range=(0, top), color=HIT, rwidth=0.94)
    mean, median = float(apart.mean()), float(np.median(apart))
    axes.axvline(mean, color=INK, linewidth=1.2, label=f"mean {mean:.1f} Å")
    axes.axvline(
        median,
        color=INK,
        linewidth=1.2,
        linestyle=(0, (4, 2)),
        label=f"median {median:.1f} Å",
    )
    axes.set(xlabel="distance of a hit from its particle (Å)", ylabel="hits")
    axes.set_title(f"How near {len(apart)} hits are")
    axes.legend(frameon=False)
    return figure


def draw_scores(report: Report) -> "Figure":
    """Draw the scores of picks that hit a particle and of those that hit nothing."""
    hit = report.events.hit
    picked = report.events.picked_as > 0
    scores = report.events.score
    low, high = float(scores[picked].min()), float(scores[picked].max())
    figure, axes = _figure(6.2, 4.0)
    edges = np.linspace(low, high, _bins(int(picked.sum())) + 1)
    found, false = scores[hit], scores[picked & ~hit]
    axes.hist(
        [found, false],
        bins=edges.tolist(),
        stacked=True,
        color=[HIT, MISS],
        rwidth=0.94,
        label=[f"on a particle ({len(found)})", f"on none ({len(false)})"],
    )
    best = report.curve.best()
    if best is not None:
        value = float(report.curve.threshold[best])
        axes.axvline(
            value, color=INK, linewidth=1.2, label=f"best F1 from {value:.3g} on"
        )
    axes.set(xlabel="score", ylabel="picks")
    axes.set_title("Scores of picks")
    axes.legend(frameon=False)
    return figure


def _short(name: str) -> str:
    """Leave room for the picture beside long names."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _bins(many: int) -> int:
    return int(np.clip(math.sqrt(many), 8, 40))


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # no display is needed
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=SOFT, labelcolor=INK)
    return figure, axes


def _foot(figure: "Figure", words: str) -> None:
    figure.supxlabel(words, fontsize=8, color=SOFT)
