"""The whole page of a report: one HTML file that needs no other and calls nobody."""

import base64
import hashlib
import importlib.resources
from typing import Any

import numpy as np

from dep.engine import slices
from dep.engine.report import about, table, words
from dep.engine.report.cards import cards
from dep.engine.report.figures import Drawn
from dep.engine.report.found import ClassTable, Found
from dep.engine.report.html import Html, data, tag
from dep.engine.report.panel import controls
from dep.engine.report.run_folder import Run
from dep.engine.report.scores import ScoreAxis

__all__ = ["render"]

SEARCHED = 8  # tomograms: with more there is a field to find some


def render(
    run: Run,
    found: list[Found],
    classes: ClassTable,
    drawn: dict[int, Drawn],
    *,
    title: str,
    base: str,
    remark: str = "",
) -> str:
    """Write the page.

    Parameters
    ----------
    run
        The record.
    found
        Its tomograms with their picks.
    classes
        Of the run.
    drawn
        Figures by index in `found`.
    title
        Of the page.
    base
        Relative path from the page to the run's folder, with ``/``.
    remark
        On the slices, such as why some are missing.
    """
    every = [one.score for one in found]
    axis = ScoreAxis.of(np.concatenate(every) if every else np.zeros(0, np.int64))
    package = importlib.resources.files("dep.engine.report")
    style = package.joinpath("page.css").read_text(encoding="utf-8")
    program = package.joinpath("page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    # Nothing is fetched, and no program runs but ours, whatever a name holds.
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=run.software or "dep"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{title}: picks"),
        tag("style", Html(style)),
    )
    more = table.unusual(found)
    for index, one in drawn.items():
        if one.remarks:
            more[index] = more.get(index, ()) + one.remarks
    body = tag(
        "body",
        _header(run, title),
        tag(
            "div",
            controls(found, classes, axis),
            tag(
                "main",
                _figures(found),
                table.attention(found, more),
                _tomograms(found, classes, axis, more),
                cards(found, drawn, base, remark),
                about.settings(found),
                about.models(run, found),
                about.run_record(run, found, base),
            ),
            class_="columns",
        ),
        data(_document(classes, found, drawn, axis), id="data"),
        tag("script", Html(program)),
    )
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


def _header(run: Run, title: str) -> Html:
    known = {"complete": "", "running": "still running", "failed": "some failed"}
    status = known.get(run.status, run.status)
    when = words.moment(run.ended or run.started)
    return tag(
        "header",
        tag(
            "div",
            tag("p", f"Particle picks · {run.software or 'dep'}", class_="brow"),
            tag("h1", title, class_="name"),
            tag(
                "p",
                when,
                tag("span", status, class_="chip bad") if status else None,
                class_="soft",
            ),
        ),
        tag("button", "Theme: auto", id="theme", type="button", class_="plain"),
        class_="top",
    )


def _figures(found: list[Found]) -> Html:
    """Write the figures that one looks for first."""
    picked = [one for one in found if one.run.picked]
    picks = [len(one.score) for one in picked]
    seconds = [one.run.seconds for one in picked if one.run.seconds is not None]
    facts = [
        ("Tomograms picked", f"{len(picked):,} of {len(found):,}", None),
        ("Picks", f"{sum(picks):,}", "sum"),
        (
            "Median a tomogram",
            f"{np.median(picks):,.0f}" if picks else words.NOTHING,
            "median",
        ),
        (
            "Time in all",
            words.duration(sum(seconds)) if seconds else words.NOTHING,
            None,
        ),
        (
            "Median time",
            words.duration(float(np.median(seconds))) if seconds else words.NOTHING,
            None,
        ),
    ]
    return tag(
        "dl",
        *(
            tag(
                "div", tag("dt", name), tag("dd", value, id=place and f"figure-{place}")
            )
            for name, value, place in facts
        ),
        class_="figures",
    )


def _tomograms(
    found: list[Found], classes: ClassTable, axis: ScoreAxis, more: table.Remarks
) -> Html:
    search = tag(
        "input",
        type="search",
        id="find",
        placeholder="Name, failed or note",
        aria_label="Show tomograms with these words in name, status or notes",
        autocomplete="off",
        spellcheck="false",
    )
    return tag(
        "section",
        tag(
            "div",
            tag("h2", "Tomograms ", tag("span", id="shown", class_="soft small")),
            search if len(found) > SEARCHED else None,
            class_="pair find",
        ),
        table.overview(found, classes, axis, more),
        tag(
            "p",
            "Time is in seconds of work on the tomogram. Bars show the scores from "
            f"{axis.low / 10_000:.2f} to 1, their heights are square roots of counts.",
            class_="hint",
        ),
        class_="panel",
    )


def _document(
    classes: ClassTable, found: list[Found], drawn: dict[int, Drawn], axis: ScoreAxis
) -> dict[str, Any]:
    """Gather what the page's program works on."""
    tomograms: dict[str, Any] = {}
    for index, one in enumerate(found):
        if not one.run.picked:
            continue
        entry: dict[str, Any] = {
            "scores": [
                axis.sparse(one.score[one.class_index == k])
                for k in range(len(classes.names))
            ]
        }
        figure = drawn[index].figure if index in drawn else None
        if figure is not None:
            depth, height, width = figure.shape
            entry |= {
                "size": [width, height, depth],
                "z": figure.z,
                "radii": figure.radii,
                "picks": figure.picks,
            }
        tomograms[str(index)] = entry
    return {
        "low": axis.low,
        "step": axis.step,
        "bins": axis.bins,
        "classes": [
            {
                "name": name,
                "colour": slices.COLOURS[index % len(slices.COLOURS)],
                "line": slices.LINES[index // len(slices.COLOURS) % len(slices.LINES)],
            }
            for index, name in enumerate(classes.names)
        ],
        "tomograms": tomograms,
    }
