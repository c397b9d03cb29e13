"""The panel of a report: the threshold on the scores, and the legend of the classes."""

import numpy as np

from dep.engine import slices
from dep.engine.report import table, words
from dep.engine.report.found import ClassTable, Found
from dep.engine.report.html import Html, tag
from dep.engine.report.scores import ScoreAxis

__all__ = ["controls"]

MARK, WHOLE = 6.4, 360  # radius of a circle in the legend; degrees


def controls(found: list[Found], classes: ClassTable, axis: ScoreAxis) -> Html:
    """Write threshold and legend, beside (or above) everything they act upon."""
    every = np.concatenate([one.score for one in found] or [np.zeros(0, np.int64)])
    slider = tag(
        "input",
        type="range",
        id="threshold",
        min="0",
        max=str(axis.bins - 1),
        value="0",
        step="1",
        aria_describedby="threshold-hint",
    )
    threshold = tag(
        "div",
        tag(
            "div",
            tag("label", "Score at least", for_="threshold"),
            tag("output", f"{axis.low / 10_000:.2f}", id="least", for_="threshold"),
            class_="pair",
        ),
        tag("div", table.histogram(every, axis, 60), slider, class_="dial"),
        tag(
            "div",
            tag("span", words.many(len(every), "pick"), id="passing"),
            tag("button", "Reset", id="reset", type="button", class_="plain"),
            class_="pair soft",
        ),
        tag(
            "p",
            "Picks below are left out of counts and slices, and of files by ",
            tag("code", "dep convert --min-score", class_="small"),
            ".",
            id="threshold-hint",
            class_="hint",
        ),
        class_="threshold",
    )
    return tag(
        "aside",
        threshold,
        _legend(found, classes) if classes.names else None,
        tag("noscript", "Threshold, legend and circles need JavaScript."),
        aria_label="Threshold and classes",
    )


def _legend(found: list[Found], classes: ClassTable) -> Html:
    counts = sum(
        (one.counts(len(classes.names)) for one in found),
        np.zeros(len(classes.names), np.int64),
    )
    entries = [
        tag(
            "li",
            tag(
                "label",
                tag("input", type="checkbox", checked=True, data_class=str(index)),
                _mark(index),
                tag("span", name, class_="name"),
                tag("span", f"{count:,}", class_="n", data_total=str(index)),
                title=f"{diameter / 10:.3g} nm" if diameter else "diameter unknown",
            ),
        )
        for index, (name, diameter, count) in enumerate(
            zip(classes.names, classes.diameters, counts, strict=True)
        )
    ]
    return tag(
        "details",
        tag("summary", "Classes ", tag("span", f"{len(classes.names)}", class_="soft")),
        tag("ul", *entries, class_="legend"),
        tag(
            "div",
            tag("button", "Show all", type="button", id="all", class_="plain"),
            tag("button", "Hide all", type="button", id="none", class_="plain"),
            class_="pair",
        ),
        tag("p", "Which classes the slices show.", class_="hint"),
        open=True,
        id="classes",
    )


def _dashes(index: int, radius: float) -> str | None:
    """Give the dashes of a class's circle; None where it is whole."""
    on, off = slices.LINES[index // len(slices.COLOURS) % len(slices.LINES)]
    if on >= WHOLE:
        return None
    turn = 2 * np.pi * radius / WHOLE
    return f"{on * turn:.3g} {off * turn:.3g}"


def _mark(index: int) -> Html:
    """Draw a class's circle as it is on the slices, on the black of its rim."""
    circle = {"cx": "9", "cy": "9", "r": str(MARK), "fill": "none"}
    dash = _dashes(index, MARK)
    return tag(
        "svg",
        tag("rect", width="18", height="18", rx="4", fill="#0c0e10"),
        tag(
            "circle",
            **circle,
            stroke=slices.COLOURS[index % len(slices.COLOURS)],
            stroke_width="2.4",
            stroke_dasharray=dash,
        ),
        class_="mark",
        viewBox="0 0 18 18",
        aria_hidden="true",
    )
