"""The table of a report: a row for each tomogram, and what needs a look."""

from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from dep.engine.report import words
from dep.engine.report.found import ClassTable, Found
from dep.engine.report.html import Child, Html, join, tag
from dep.engine.report.scores import ScoreAxis

BARS = 40  # of a row's histogram
BAR, HIGH = 3, 24  # width and height of the drawing, in its own units
SHOWN = 12  # tomograms named where more have something in common
NOTE = "note"
FAR, FEWEST = 4, 5  # counts that are worth a look: see `unusual`
Remarks = dict[int, tuple[str, ...]]  # by index of the tomogram
UNFINISHED = {
    "interrupted": "The run was stopped while it was being picked.",
    "waiting": "The run ended before its turn.",
}


def anchor(index: int) -> str:
    """Name the place of a tomogram in the page, whatever it is called."""
    return f"tomogram-{index + 1}"


def link(base: str, file: str) -> str:
    """Give the relative address of a file; no name can become another scheme."""
    # Names that are not UTF-8 keep their bytes.
    return quote(f"{base}/{file}".encode("utf-8", "surrogateescape"), safe="/.~-_")


def histogram(scores: NDArray[np.int64], axis: ScoreAxis, bars: int = BARS) -> Html:
    """Draw how many picks have which score; heights are square roots of counts."""
    counts = axis.bars(scores, bars)
    heights = np.sqrt(counts / max(int(counts.max()), 1)) * HIGH
    path = "".join(
        f"M{k * BAR} {HIGH}v-{max(height, 1):.3g}h{BAR - 1}V{HIGH}z"
        for k, height in enumerate(heights)
        if height > 0
    )
    wide = len(counts) * BAR - 1
    svg = tag(
        "svg",
        tag("path", d=path),
        viewBox=f"0 0 {wide} {HIGH}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    return tag("div", svg, class_="hist")


def spread(scores: NDArray[np.int64]) -> str:
    """Say in words what a histogram shows."""
    if not len(scores):
        return "no picks"
    low, middle, high = np.percentile(scores, (0, 50, 100)) / 10_000
    return f"scores {low:.2f} to {high:.2f}, median {middle:.2f}"


def overview(
    found: list[Found], classes: ClassTable, axis: ScoreAxis, more: Remarks
) -> Html:
    """Write the table with its totals; `more` as in `attention`."""
    head = [
        _heading("Tomogram", "text"),
        _heading("Picks"),
        _heading("Scores", "median", title="Sorts by the median score"),
        _heading("Time", title="Seconds of work on the tomogram"),
        *(_heading(name) for name in classes.names),
    ]
    body = [
        _row(index, one, classes, axis, len(more.get(index, ())))
        for index, one in enumerate(found)
    ]
    every = [one.score for one in found]
    together = np.concatenate(every) if every else np.zeros(0, np.int64)
    counts = sum(
        (one.counts(len(classes.names)) for one in found),
        np.zeros(len(classes.names), np.int64),
    )
    seconds = sum(one.run.seconds or 0 for one in found)
    foot = tag(
        "tr",
        tag("th", "All", scope="row"),
        tag("td", f"{len(together):,}", class_="n", data_sum="all"),
        tag("td", histogram(together, axis), class_="h"),
        tag("td", f"{seconds:,.1f}", class_="n"),
        *(
            tag("td", f"{count:,}", class_="n", data_sum=str(index))
            for index, count in enumerate(counts)
        ),
    )
    table = tag(
        "table",
        tag("caption", "Picks of each tomogram", class_="unseen"),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        tag("tfoot", foot) if len(found) > 1 else None,
        id="overview",
    )
    return tag(
        "div",
        table,
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label="Picks of each tomogram",
    )


def _heading(name: str, kind: str = "number", title: str | None = None) -> Html:
    numeric = "n" if kind == "number" else None
    button = tag("button", tag("span", name, class_="name"), type="button", title=title)
    return tag(
        "th", button, scope="col", aria_sort="none", data_kind=kind, class_=numeric
    )


def _row(
    index: int, one: Found, classes: ClassTable, axis: ScoreAxis, more: int
) -> Html:
    seconds = one.run.seconds
    time = tag(
        "td",
        words.NOTHING if seconds is None else f"{seconds:,.1f}",
        class_="n",
        data_v="" if seconds is None else str(seconds),
    )
    if not one.run.picked:
        # What has no figure further down is no place to go to.
        name = tag("span", one.run.name, class_="name")
        chip = tag("a", one.run.status, href="#attention", class_="chip bad")
        nothing = [
            tag("td", words.NOTHING, class_="n", data_v="") for _ in classes.names
        ]
        return tag(
            "tr",
            tag("th", name, " ", chip, scope="row", data_v=one.run.name),
            tag("td", words.NOTHING, class_="n", data_v=""),
            tag("td", data_v=""),
            time,
            *nothing,
        )
    name = tag("a", one.run.name, href=f"#{anchor(index)}", class_="name")
    notes = len(one.run.warnings) + len(one.remarks) + more
    chip = tag("a", words.many(notes, "note"), href="#attention", class_="chip warn")
    counts = one.counts(len(classes.names))
    cells = [
        tag(
            "td",
            f"{count:,}" if count or name in one.run.classes else words.NOTHING,
            class_="n",
            data_c=str(k),
            data_v=str(count),
        )
        for k, (name, count) in enumerate(zip(classes.names, counts, strict=True))
    ]
    many = len(one.score)
    return tag(
        "tr",
        tag(
            "th",
            name,
            *([" ", chip] if notes else []),
            scope="row",
            data_v=one.run.name,
        ),
        tag("td", f"{many:,}", class_="n", data_c="all", data_v=str(many)),
        tag(
            "td",
            histogram(one.score, axis),
            tag("span", spread(one.score), class_="unseen"),
            class_="h",
            title=spread(one.score),
            data_v=str(int(np.median(one.score))) if many else "",
        ),
        time,
        *cells,
        data_t=str(index),
    )


def unusual(found: list[Found]) -> Remarks:
    """Say of which tomograms there are no picks, or far fewer or more than of most.

    Far is `FAR` times the median, of `FEWEST` tomograms at least.
    """
    counts = {i: len(one.score) for i, one in enumerate(found) if one.run.picked}
    middle = float(np.median([*counts.values()])) if len(counts) >= FEWEST else 0.0
    said: Remarks = {}
    for index, count in counts.items():
        if found[index].remarks:
            continue  # what could not be read is no count
        if not count:
            said[index] = ("no picks",)
        elif middle and not middle / FAR <= count <= middle * FAR:
            many = words.many(count, "pick")
            said[index] = (f"{many}, where the median is {middle:,.0f}",)
    return said


def attention(found: list[Found], more: Remarks) -> Html | None:
    """List failures, then what else to know; what many have in common once.

    Parameters
    ----------
    found
        The tomograms.
    more
        Remarks on their counts and slices, by index.
    """
    told: dict[tuple[str, str], list[int]] = {}
    for index, one in enumerate(found):
        if not one.run.picked:
            error = one.run.error or UNFINISHED.get(one.run.status, "")
            _tell(told, index, one, one.run.status, error)
    for index, one in enumerate(found):
        for warning in (*one.run.warnings, *one.remarks, *more.get(index, ())):
            _tell(told, index, one, NOTE, warning)
    items = [
        tag(
            "li",
            tag("span", kind, class_=f"chip {'warn' if kind == NOTE else 'bad'}"),
            tag("span", _whose(which, found), class_="name"),
            tag("p", said) if said else None,
        )
        for (kind, said), which in told.items()
    ]
    if not items:
        return None
    return tag(
        "section",
        tag("h2", "Worth a look"),
        tag("ul", *items, class_="notes"),
        id="attention",
        class_="panel",
    )


def _tell(
    told: dict[tuple[str, str], list[int]], index: int, one: Found, kind: str, said: str
) -> None:
    # The engine's messages begin with the tomogram; the rest may be common.
    said = said.removeprefix(f"{one.run.tomogram}: ")
    told.setdefault((kind, said), []).append(index)


def _whose(which: list[int], found: list[Found]) -> Html:
    """Name tomograms, with the way to their slices."""
    words: list[Child] = [] if len(which) == 1 else [f"{len(which)} tomograms: "]
    for number, index in enumerate(which[:SHOWN]):
        name = found[index].run.name
        picked = found[index].run.picked
        words += [", "] if number else []
        words += [tag("a", name, href=f"#{anchor(index)}") if picked else name]
    return join(*words, ", …" if len(which) > SHOWN else None)


def files(base: str, one: Found) -> Html:
    """Link to the coordinate files and the picture of a tomogram."""
    links = [tag("a", file, href=link(base, file)) for file in one.run.outputs.values()]
    return join(*links)
