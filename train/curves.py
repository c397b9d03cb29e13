"""`curves.png`: how loss, learning rate and validation went."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe & Ito, "Color Universal Design" (2008): distinct to everyone; so are the marks.
BLUE, ORANGE, GREEN, PURPLE, GREY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#9AA3AB",
)
LINES = (
    ("f1_alpha", "F1 alpha = 3", BLUE, "o"),
    ("recall", "recall", GREEN, "^"),
    ("precision", "precision", ORANGE, "v"),
    ("class_f1", "mean class F1", PURPLE, "s"),
)
SMOOTHED = 25  # reports


def draw_curves(rows: Sequence[dict[str, str]], name: str) -> bytes:
    """Draw the curves of a run.

    Parameters
    ----------
    rows
        Of `metrics.csv`.
    name
        Of the model.

    Returns
    -------
    bytes
        A PNG.
    """
    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    figure.suptitle(name)
    left, right = figure.subplots(1, 2)
    _loss(left, rows)
    _scores(right, rows)
    return png(figure)


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG."""
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(target, format="png")
    return target.getvalue()


def column(rows: Sequence[dict[str, str]], name: str) -> npt.NDArray[np.float64]:
    """Return a column of `metrics.csv`, NaN where it is empty."""
    return np.array([float(row[name] or "nan") for row in rows])


def _loss(axes: Axes, rows: Sequence[dict[str, str]]) -> None:
    step, loss = column(rows, "step"), column(rows, "loss")
    axes.plot(step, loss, color=GREY, linewidth=0.8, label="loss")
    if len(loss) > 2 * SMOOTHED:
        window = np.ones(SMOOTHED) / SMOOTHED
        middle = slice(SMOOTHED // 2, SMOOTHED // 2 + len(loss) - SMOOTHED + 1)
        smooth = np.convolve(loss, window, mode="valid")
        label = f"mean of {SMOOTHED} reports"
        axes.plot(step[middle], smooth, color=BLUE, linewidth=1.6, label=label)
    axes.set(xlabel="step", ylabel="loss")
    axes.grid(alpha=0.3)
    rate = axes.twinx()
    rate.plot(
        step,
        column(rows, "learning_rate"),
        color=ORANGE,
        linestyle="--",
        linewidth=1.2,
        label="learning rate (right)",
    )
    rate.set_ylabel("learning rate")
    rate.set_ylim(bottom=0)
    handles = [*axes.get_lines(), *rate.get_lines()]
    rate.legend(handles=handles, loc="upper right", fontsize=8)


def _scores(axes: Axes, rows: Sequence[dict[str, str]]) -> None:
    validated = [row for row in rows if row["f1_alpha"]]
    axes.set(xlabel="step", ylabel="validation, on picks", ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    if not validated:
        axes.text(
            0.5,
            0.5,
            "no validation",
            ha="center",
            va="center",
            transform=axes.transAxes,
        )
        return
    step = column(validated, "step")
    for key, label, colour, mark in LINES:
        axes.plot(
            step,
            column(validated, key),
            color=colour,
            marker=mark,
            markersize=4,
            label=label,
        )
    if any(row["partial"] == "1" for row in validated):
        axes.set_title(
            "partially annotated: precision is a lower bound", fontsize=9, loc="left"
        )
    axes.set_xlim(left=0)
    axes.legend(loc="lower right", fontsize=8)
