"""What a report says of settings, models and the run."""

import json
from typing import Any

from dep.engine.report import table, words
from dep.engine.report.found import Found
from dep.engine.report.html import Html, join, tag
from dep.engine.report.run_folder import Run

__all__ = ["models", "run_record", "settings"]


def settings(found: list[Found]) -> Html:
    """Write the settings, once for all tomograms that were picked with the same."""
    alike: dict[str, list[Found]] = {}
    for one in found:
        key = json.dumps([one.run.model.get("name"), one.run.settings], sort_keys=True)
        alike.setdefault(key, []).append(one)
    blocks = []
    for group in alike.values():
        first = group[0].run
        which = (
            tag("h3", words.many(len(group), "tomogram"), ": ", _some(group))
            if len(alike) > 1
            else None
        )
        model = [("Model", str(first.model.get("name", "unknown")))]
        engines = {_engine(one.run.stats) for one in group if one.run.stats}
        rows = [
            *model,
            *words.rows(first.settings, words.SETTINGS),
            *(("Computed by", engine) for engine in sorted(engines)),
        ]
        blocks.append(join(which, _list(rows)))
    return tag("section", tag("h2", "Settings"), *blocks, class_="panel")


def models(run: Run, found: list[Found]) -> Html | None:
    """Write the cards of the models that picked here."""
    used = {
        str(one.run.model.get("weights_digest")): one.run.model
        for one in found
        if one.run.model
    }
    blocks = []
    for digest, model in used.items():
        card = run.models.get(digest)
        if card is None:
            known = {"file": "File", "software": "Written by"}
            blocks.append(_list(words.rows(model, {"name": "Name", **known})))
            continue
        shown = {key: card[key] for key in words.CARD if key in card}
        of_classes = card.get("classes")
        sizes = [
            f"{info.get('name')} {words.setting('', info.get('diameter'))} Å"
            for info in (of_classes if isinstance(of_classes, list) else [])
            if isinstance(info, dict)
        ]
        rows = [
            ("Name", f"{card.get('name')} ({model.get('file', '')})"),
            ("Classes, diameters", ", ".join(sizes)),
            *words.rows(shown, words.CARD),
        ]
        blocks.append(_list(rows))
    heading = "Model card" if len(blocks) == 1 else "Model cards"
    return (
        tag("section", tag("h2", heading), *blocks, class_="panel") if blocks else None
    )


def run_record(run: Run, found: list[Found], base: str) -> Html:
    """Write the command of the latest run, and where its record is."""
    folder = tag("a", "run.json", href=table.link(base, "run.json"))
    return tag(
        "section",
        tag("h2", "Run"),
        tag("pre", tag("code", " ".join(_quoted(word) for word in run.command))),
        tag(
            "p",
            f"The latest of the runs into this folder, with {run.software}. ",
            f"{words.many(len(found), 'tomogram')} in ",
            folder,
            ".",
            class_="soft small",
        ),
        class_="panel",
    )


def _list(rows: list[tuple[str, str]]) -> Html:
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", value)) for name, value in rows),
        class_="facts",
    )


def _some(group: list[Found]) -> str:
    names = [one.run.name for one in group[:8]]
    return ", ".join(names) + (", …" if len(group) > len(names) else "")


def _engine(stats: dict[str, Any]) -> str:
    threads = stats.get("threads")
    cores = f", {words.many(threads, 'thread')}" if isinstance(threads, int) else ""
    return (
        f"{stats.get('runtime', '?')} ({stats.get('device', '?')}, "
        f"{stats.get('precision', '?')}{cores})"
    )


def _quoted(word: str) -> str:
    plain = word and all(letter.isalnum() or letter in "-_./=,:+@" for letter in word)
    return word if plain else "'" + word.replace("'", "'\\''") + "'"
