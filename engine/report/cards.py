"""The cards of a report: slices of each tomogram with its picks, and its files."""

from dep.engine import slices
from dep.engine.report import table, words
from dep.engine.report.figures import Drawn, Figure
from dep.engine.report.found import Found
from dep.engine.report.html import Html, join, tag

__all__ = ["cards"]


def cards(found: list[Found], drawn: dict[int, Drawn], base: str, remark: str) -> Html:
    """Write a card for each tomogram that was picked."""
    planes = {one.figure.planes for one in drawn.values() if one.figure}
    thick = (
        f"Each slice is the mean of {words.many(planes.pop(), 'plane')}. "
        if len(planes) == 1
        else ""
    )
    hint = (
        f"{thick}x points right, y up. A circle is the cut of the particle's sphere "
        "with the slice; point at one to read its score."
    )
    each = [
        _card(index, one, drawn.get(index), base)
        for index, one in enumerate(found)
        if one.run.picked
    ]
    return tag(
        "section",
        tag("h2", "Slices"),
        tag("p", hint, class_="hint") if planes or thick else None,
        tag("p", remark, class_="hint") if remark else None,
        tag("div", *each, class_="cards"),
    )


def _card(index: int, one: Found, drawn: Drawn | None, base: str) -> Html:
    figure = drawn.figure if drawn else None
    facts = [
        words.size(one.shape, one.voxel_size) if one.shape else "",
        words.duration(one.run.seconds) if one.run.seconds is not None else "",
    ]
    remarks = drawn.remarks if drawn else ()
    return tag(
        "article",
        tag(
            "div",
            tag("h3", one.run.name, class_="name"),
            tag(
                "span",
                words.many(len(one.score), "pick"),
                class_="soft",
                data_picks=str(index),
            ),
            class_="pair",
        ),
        _stage(index, one, figure) if figure else None,
        *(tag("p", remark, class_="hint") for remark in remarks if not figure),
        tag("p", " · ".join(fact for fact in facts if fact), class_="soft small"),
        tag("p", table.files(base, one), class_="files small"),
        id=table.anchor(index),
        class_="panel card",
        data_t=str(index) if figure else None,
    )


def _stage(index: int, one: Found, figure: Figure) -> Html:
    """Lay the slices of a tomogram on each other, the middle one shown."""
    depth, height, width = figure.shape
    middle = len(figure.z) // 2
    pictures = [
        tag(
            "img",
            src=picture,
            alt=f"Slice at z = {z} of {one.run.name}",
            hidden=k != middle,
            decoding="async",
        )
        for k, (z, picture) in enumerate(zip(figure.z, figure.pictures, strict=True))
    ]
    nanometres = width * figure.voxel_size / 10
    length = slices.round_length(nanometres / 3)
    bar = tag(
        "div",
        tag("span", f"{length:g} nm"),
        tag("i", style=f"width:{length / nanometres * 100:.3f}cqw"),
        class_="bar",
    )
    stage = tag(
        "div",
        *pictures,
        tag("svg", viewBox=f"0 0 {width} {height}", aria_hidden="true"),
        bar,
        tag("div", class_="tip", role="status", hidden=True),
        class_="stage",
        tabindex="0",
        role="group",
        aria_label=f"Picks in {one.run.name}: arrow keys go from one to the next",
        style=f"--w:{width};--h:{height}",
    )
    if len(figure.z) == 1:
        return join(
            stage, tag("p", f"z = {figure.z[0]} of {depth}", class_="soft small")
        )
    name = f"z-{index}"
    slider = tag(
        "div",
        tag("label", "z", for_=name),
        tag(
            "input",
            type="range",
            id=name,
            min="0",
            max=str(len(figure.z) - 1),
            value=str(middle),
            step="1",
            aria_label=f"Slice of {one.run.name}",
            aria_valuetext=f"z = {figure.z[middle]} of {depth}",
        ),
        tag("output", f"{figure.z[middle]} of {depth}", for_=name),
        class_="depth",
    )
    return join(stage, slider)
