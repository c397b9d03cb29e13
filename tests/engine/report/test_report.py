"""A report says what the run's record and coordinate files say, whatever they hold."""

import contextlib
import errno
import json
import os
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dep.engine import ClassInfo, Picks, Volume
from dep.engine.errors import PicksError, ReportError, SettingError
from dep.engine.report import html, write_report
from dep.engine.report.scores import SCALE, ScoreAxis, whole

VOID = {"br", "col", "hr", "img", "input", "link", "meta"}


class Page(HTMLParser):
    """Elements, text and scripts of a page; fails where tags do not match."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.scripts = []
        self.words = []
        self._open = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self._open and self._open[-1] != "style":
            self.words.append(data)

    def of(self, tag, **wanted):
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and all(attributes.get(k) == v for k, v in wanted.items())
        ]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def data(self):
        return json.loads(self.scripts[0])


def report(folder, **options):
    return Page(write_report(folder, **options))


@pytest.fixture
def plain(make_run):
    """Two tomograms that were picked and one that failed."""
    run = make_run()
    run.add("TS_01")
    run.add("TS_02", picks=12, warnings=["a warning"])
    run.fail("TS_03", "the file ends early")
    return run.write()


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


class TestSlices:
    """Slices hold the picks that they cut, and are read alone."""

    def test_a_pick_is_shown_where_its_sphere_is_cut(self, make_run):
        # Radius 4 voxels (class 1) and 10 (class 2); the only slice is z = 12.
        xyz = [(10, 10, 12), (20, 20, 16.5), (30, 30, 8.5), (40, 30, 21), (50, 30, 23)]
        picks = (xyz, [1, 1, 1, 2, 2], [0.9, 0.8, 0.7, 0.6, 0.5])
        run = make_run()
        run.add("TS_01", picks=picks)
        one = report(run.write(), count=1).data["tomograms"]["0"]
        assert one["z"] == [12]
        assert one["radii"] == [4.0, 10.0]
        shown = np.array(one["picks"]).reshape(-1, 5)
        assert shown.tolist() == [
            [100, 100, 120, 0, 9000],
            [300, 300, 85, 0, 7000],
            [400, 300, 210, 1, 6000],
        ]

    def test_only_their_planes_are_read(self, make_run, monkeypatch):
        seen = []
        read = Volume.read

        def watched(self, z0, z1):
            seen.append((z0, z1))
            return read(self, z0, z1)

        monkeypatch.setattr(Volume, "read", watched)
        run = make_run()
        run.add("TS_01", shape=(100, 20, 20))
        report(run.write(), count=3)
        assert len(seen) == 3 * 5  # 50 Å of 10 Å voxels each
        assert all(z1 - z0 == 1 for z0, z1 in seen)

    @pytest.mark.parametrize("shape", [(2, 8, 8), (2, 300, 5), (3, 5, 300), (40, 9, 9)])
    def test_any_shape_is_shown(self, make_run, shape):
        run = make_run()
        run.add("TS_01", picks=5, shape=shape)
        page = report(run.write())
        assert page.of("img")
        assert page.data["tomograms"]["0"]["size"] == list(shape[::-1])

    def test_voxels_that_are_no_numbers_are_black(self, make_run, tmp_path):
        import mrcfile

        path = tmp_path / "nan.mrc"
        with warnings.catch_warnings(), mrcfile.new(path) as mrc:
            warnings.simplefilter("ignore")  # that there are such voxels
            voxels = np.random.default_rng(0).normal(0, 1, (8, 32, 32))
            voxels[:, :16] = np.nan
            mrc.set_data(voxels.astype(np.float32))
            mrc.voxel_size = 10.0
        run = make_run()
        run.add("TS_01", shape=(8, 32, 32), source=path)
        assert report(run.write()).of("img")

    def test_a_tomogram_that_is_gone_is_said(self, make_run):
        run = make_run()
        run.add("TS_01")
        run.add("TS_02")
        folder = run.write()
        (folder / "TS_01.mrc").unlink()
        page = report(folder, count=1)
        assert f"no slices: {folder / 'TS_01.mrc'} is not there" in page.text
        assert len(page.of("img")) == 1

    def test_moved_tomograms_are_found_in_their_new_folder(self, make_run, tmp_path):
        run = make_run()
        run.add("TS_01")
        folder = run.write()
        (tmp_path / "new").mkdir()
        (folder / "TS_01.mrc").rename(tmp_path / "new" / "TS_01.mrc")
        assert not report(folder).of("img")
        assert report(folder, tomograms=tmp_path / "new").of("img")

    def test_a_tomogram_that_has_changed_is_said(self, make_run):
        run = make_run()
        run.add("TS_01")
        folder = run.write()
        assert "has changed" not in report(folder).text
        os.utime(folder / "TS_01.mrc", ns=(0, 10**18))
        page = report(folder)
        assert "has changed since it was picked" in page.text
        assert page.of("img")

    def test_a_tomogram_of_another_size_is_not_shown(self, make_run):
        run = make_run()
        run.add("TS_01", size_xyz=[99, 60, 24])
        page = report(run.write())
        assert "is of another size now, 80 x 60 x 24" in page.text
        assert not page.of("img")

    def test_an_address_is_not_fetched(self, make_run):
        run = make_run()
        run.add("TS_01", source_=None, **{})
        run.entries["TS_01"]["source"] = {"path": "https://example.org/TS_01.zarr"}
        page = report(run.write())
        assert "https://example.org/TS_01.zarr is not on this machine" in page.text

    def test_without_pillow_the_extra_is_named(self, plain, monkeypatch):
        import builtins

        real = builtins.__import__

        def without(name, *rest):
            if name.split(".")[0] == "PIL":
                raise ModuleNotFoundError(name=name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(ModuleNotFoundError, match=r"dep\[picture\]"):
            write_report(plain)
        assert not report(plain, count=0).of("img")


class TestSize:
    """The page keeps below the size asked for, and says what it leaves out."""

    @pytest.fixture
    def many(self, make_run):
        def make(count, shape, picks=60, classes=12):
            run = make_run(
                classes=tuple(ClassInfo(f"class {k}", 150.0) for k in range(classes))
            )
            first = run.add("TS_000", picks=picks, shape=shape)
            source = Path(run.entries["TS_000"]["tomogram"])
            values = (first.xyz, first.class_id, first.score)
            for k in range(1, count):
                run.add(f"TS_{k:03d}", picks=values, shape=shape, source=source)
            return run.write()

        return make

    def test_twenty_large_tomograms_stay_below_five_megabytes(self, many):
        path = write_report(many(20, (6, 230, 210), 400, 3))
        assert 2e6 < path.stat().st_size < 5e6
        page = Page(path)
        shown = page.data["tomograms"].values()
        assert len([one for one in shown if "z" in one]) == 20

    def test_where_there_is_little_room_the_first_have_slices(self, many):
        path = write_report(many(30, (8, 200, 200), 20, 3), megabytes=0.4)
        assert path.stat().st_size < 0.45e6
        page = Page(path)
        shown = [k for k, one in page.data["tomograms"].items() if "z" in one]
        assert 2 <= len(shown) < 30
        assert shown == [str(k) for k in range(len(shown))]
        assert f"Slices of the first {len(shown)} of 30 tomograms" in page.text
        assert len(page.of("article")) == 30

    def test_two_hundred_tomograms_are_one_page(self, many):
        path = write_report(many(200, (8, 24, 24), 3, 1))
        assert path.stat().st_size < 5e6
        page = Page(path)
        assert len(page.data["tomograms"]) == 200
        assert page.text.count("TS_199") >= 2


class TestRecord:
    """Records that are old, damaged or odd are told from those that are not ours."""

    def test_older_records_without_sizes_and_cards_do(self, make_run):
        run = make_run()
        run.record = {"models": None}
        found = run.add("TS_01")
        entry = run.entries["TS_01"]
        for key in ("size_xyz", "voxel_size", "settings", "seconds", "warnings"):
            del entry[key]
        found.write(run.path / "TS_01.star")
        entry["outputs"]["relion5"] = "TS_01.star"
        page = report(run.write())
        assert page.data["tomograms"]["0"]["radii"] == [4.0, 10.0]
        assert "80 \u00d7 60 \u00d7 24 voxels of 1 nm" in page.text

    def test_coordinates_that_are_gone_are_a_remark(self, make_run):
        run = make_run()
        run.add("TS_01")
        run.add("TS_02")
        folder = run.write()
        (folder / "TS_01.csv").unlink()
        (folder / "TS_02.csv").write_text("no,table\n1\n")
        page = report(folder)
        assert f"{folder / 'TS_01.csv'}: no such file" in page.text
        assert "TS_02.csv: no column" in page.text
        assert "2 of 2" in page.text

    def test_coordinates_without_scores_are_said(self, make_run):
        run = make_run()
        found = run.add("TS_01")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that scores and names are lost
            found.write(run.path / "TS_01.coords")
        run.entries["TS_01"]["outputs"] = {"coords": "TS_01.coords"}
        page = report(run.write(), count=1)
        assert "TS_01.coords: this format holds no scores" in page.text
        assert "30 picks" in page.text

    def test_no_record_leads_out_of_its_folder(self, make_run):
        run = make_run()
        run.add("TS_01", outputs={"csv": "../secret.csv", "star": "/etc/passwd"})
        page = report(run.write())
        assert "no coordinate file that can be read back" in page.text
        assert "secret" not in page.text
        assert [one["href"] for one in page.of("a") if "#" not in one["href"]] == [
            "./run.json"
        ]

    def test_models_of_two_runs_into_one_folder_are_both_shown(self, make_run):
        run = make_run()
        run.add("TS_01")
        model = {"name": "other", "file": "o.onnx", "weights_digest": "e" * 64}
        run.add("TS_02", model=model)
        page = report(run.write(), count=0)
        assert "Model cards" in page.text
        assert "1 tomogram: TS_01 Model balls" in page.text
        assert "e" * 64 in page.text

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (None, "no run.json here; expected a folder that `dep pick -o` wrote"),
            ("{", "not a record"),
            ("[]", "not a record"),
            ('{"tomograms": {"a": 1}}', "has no status"),
            ('{"run_version": 9, "tomograms": {}}', "Upgrade dep"),
        ],
    )
    def test_what_is_no_record_is_refused(self, tmp_path, text, words):
        if text is not None:
            (tmp_path / "run.json").write_text(text)
        with pytest.raises(ReportError, match=words):
            write_report(tmp_path)
        assert not (tmp_path / "report.html").exists()

    @settings(
        max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.data())
    def test_whatever_a_record_holds_it_is_reported_or_refused(self, plain, data):
        document = json.loads((plain / "run.json").read_text())
        values = st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda some: st.lists(some) | st.dictionaries(st.text(), some),
            max_leaves=4,
        )
        for _ in range(data.draw(st.integers(1, 3))):
            place = document
            while True:
                keys = list(place)
                key = data.draw(st.sampled_from(keys))
                if not isinstance(place[key], dict) or not place[key]:
                    break
                if data.draw(st.booleans()):
                    break
                place = place[key]
            place[key] = data.draw(values)
            if not isinstance(document.get("tomograms"), dict):
                break
        other = plain.parent / "mutated"
        other.mkdir(exist_ok=True)
        (other / "run.json").write_text(json.dumps(document))
        with contextlib.suppress(ReportError):
            report(other, count=0)


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
