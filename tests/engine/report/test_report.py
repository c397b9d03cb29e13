"""A report says what the run's record and coordinate files say, whatever they hold."""

import errno
import json
import os
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_pages import report

from dep.engine import ClassInfo, Picks
from dep.engine.errors import PicksError, SettingError
from dep.engine.report import html, write_report
from dep.engine.report.scores import SCALE, ScoreAxis, whole


def test_the_page_says_what_the_record_says(plain):
    page = report(plain, title="Grid 3")
    for words in (
        *("Grid 3", "2 January 2026, 03:05 UTC", "2 of 3", "42", "30 picks"),
        *("12 picks", "a warning", "the file ends early", "balls", "noise & nothing"),
        *("80 \u00d7 60 \u00d7 24 voxels of 1 nm", "small 80 \u00c5", "1.5"),
        *("48 \u00d7 32 \u00d7 24 voxels", "dep pick 'it'\\''s.mrc'"),
    ):
        assert words in page.text, words


def test_the_table_counts_picks_by_class(make_run):
    run = make_run()
    found = run.add("TS_01", picks=40)
    page = report(run.write(), count=0)
    cells = [
        attributes
        for name, attributes in page.elements
        if name == "td" and "data-c" in attributes
    ]
    counts = {cell["data-c"]: int(cell["data-v"]) for cell in cells}
    many = found.counts()
    assert counts == {"all": 40, "0": many["small"], "1": many["big"]}


def test_ids_are_unique_and_what_points_at_them_finds_them(plain):
    page = report(plain)
    ids = [one["id"] for _, one in page.elements if "id" in one]
    assert len(ids) == len(set(ids))
    for name, one in page.elements:
        if name == "label" and "for" in one:
            assert one["for"] in ids
        if name == "a" and one["href"].startswith("#"):
            assert one["href"][1:] in ids
        if name == "img":
            assert one["alt"]
        if name in ("button", "input"):
            assert one["type"]


def test_nothing_is_named_that_a_network_would_have_to_bring(plain):
    page = report(plain)
    for name, one in page.elements:
        assert name not in ("iframe", "object", "embed", "base", "form")
        for key in ("src", "href", "action", "srcset", "data"):
            address = one.get(key)
            if address is not None:
                assert address.startswith(("#", "./", "data:")), address
    policy = page.of("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy[0]["content"].startswith("default-src 'none'")
    assert "url(" not in Path(html.__file__).with_name("page.css").read_text()


@pytest.mark.parametrize("where", ["report.html", "../report.html", "a b/c#/r.html"])
def test_links_lead_to_the_files_from_wherever_the_page_is(make_run, where):
    run = make_run()
    run.add("TS_01")
    run.add("odd", file="50% a:b#c?d'e")
    folder = run.write()
    path = folder / where
    page = report(folder, path=path)
    links = [one["href"] for one in page.of("a") if one["href"].startswith("./")]
    assert len(links) == 3
    for link in links:
        assert (path.parent / unquote(link)).resolve().is_file(), link


HARMFUL = (
    "</script><script>window.harm = 1</script>",
    '"><img src=x onerror=harm()>',
    "<!--",
    "' onmouseover='harm()",
    "&lt;b&gt;",
    "javascript:harm()",
    "\u202egnp.exe\u2066\x1b[31m",
)


@pytest.mark.parametrize("name", HARMFUL)
def test_a_name_does_no_harm_wherever_it_stands(make_run, name):
    def hostile(words, folder):
        printable = "".join(one for one in words if one.isprintable())
        run = make_run(folder, classes=(ClassInfo(printable, 80.0),))
        run.record = {"software": words, "command": [words], "status": words}
        run.add(words, warnings=[words], settings={words: words}, file="a")
        run.fail(f"{words} too", words)
        return report(run.write(), title=words)

    page, plain = hostile(name, "a"), hostile("plain", "b")
    # The same page, element by element, and the same program.
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.scripts[1] == plain.scripts[1]
    assert len(page.scripts) == 2
    assert not [one for _, one in page.elements for key in one if key.startswith("on")]
    assert not [one for one in page.of("img") if not one["src"].startswith("data:")]
    shown = name if name.isprintable() else "\\u202egnp.exe\\u2066\\u001b[31m"
    assert shown in "".join(page.words)


@settings(max_examples=60)
@given(st.text())
def test_escaped_text_reads_as_it_was(words):
    letters = HTMLParser(convert_charrefs=True)
    seen = []
    letters.handle_data = seen.append
    letters.handle_starttag = lambda tag, attrs: seen.append((tag, attrs))
    letters.feed(f"{html.text(words)} ")
    letters.close()
    kept = "".join(one for one in seen if isinstance(one, str))[:-1]
    if not html._UNSEEN.search(words):
        assert kept == words
    assert all(isinstance(one, str) for one in seen)


@settings(max_examples=40)
@given(st.recursive(st.text() | st.integers(), lambda some: st.lists(some, max_size=4)))
def test_json_in_the_page_is_the_same_and_ends_nothing(document):
    block = html.data(document, id="data")
    inside = block.removeprefix('<script type="application/json" id="data">')
    inside = inside.removesuffix("</script>")
    assert not set("<>&") & set(inside)
    assert json.loads(inside) == document


@settings(max_examples=40)
@given(st.lists(st.integers(0, SCALE), max_size=50))
def test_every_threshold_passes_just_the_picks_that_reach_it(scores):
    scores = np.array(scores, np.int64)
    axis = ScoreAxis.of(scores)
    sparse = axis.sparse(scores)
    counts = np.zeros(axis.bins, int)
    counts[sparse[::2]] = sparse[1::2]
    for k in range(axis.bins):
        passing = (scores >= axis.low + k * axis.step).sum()
        assert counts[k:].sum() == passing
    assert axis.bins <= 121
    assert axis.bars(scores, 40).sum() == len(scores)
    assert len(axis.bars(scores, 40)) <= 40


def test_scores_survive_float32_to_the_last_digit():
    exact = np.arange(SCALE + 1)
    assert (whole((exact / SCALE).astype(np.float32)) == exact).all()


def test_a_page_that_cannot_be_written_leaves_the_old_one(plain, monkeypatch):
    path = write_report(plain, count=0)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PicksError, match=r"report\.html: cannot be written"):
        write_report(plain, count=1)
    assert path.read_bytes() == before
    assert not list(plain.glob(".*.part"))


@pytest.mark.parametrize("options", [{"count": -1}, {"count": 26}, {"megabytes": 0}])
def test_numbers_that_make_no_sense_are_refused(plain, options):
    with pytest.raises(SettingError):
        write_report(plain, **options)


def test_a_folder_where_nothing_was_picked_has_a_page(make_run):
    page = report(make_run().write())
    assert "0 of 0" in page.text


@pytest.mark.parametrize("formats", [("csv",), ("relion5", "csv")])
def test_a_run_that_found_nothing_has_a_report_with_all_classes(make_run, formats):
    run = make_run()
    run.add("TS_01", picks=0)
    if "relion5" in formats:  # it has the class table even without picks
        empty = Picks.read(run.path / "TS_01.csv", "csv", tomogram="TS_01")
        replace(
            empty,
            classes=run.classes,
            shape=(24, 60, 80),
            voxel_size=10.0,
        ).write(run.path / "TS_01.star", "relion5")
        run.entries["TS_01"]["outputs"]["relion5"] = "TS_01.star"
    page = report(run.write())
    assert "TS_01" in page.text


def test_counts_far_from_the_median_are_worth_a_look(make_run):
    run = make_run()
    for name, count in zip("abcdefg", (40, 40, 40, 10, 9, 161, 0), strict=True):
        run.add(name, picks=count)
    text = report(run.write(), count=0).text
    assert "e 9 picks, where the median is 40" in text
    assert "f 161 picks, where the median is 40" in text
    assert "g no picks" in text
    assert "10 picks, where" not in text  # a quarter is not below a quarter


def test_few_tomograms_have_no_usual_count(make_run):
    run = make_run()
    for name, count in zip("abcd", (40, 40, 40, 1), strict=True):
        run.add(name, picks=count)
    assert "where the median" not in report(run.write(), count=0).text
