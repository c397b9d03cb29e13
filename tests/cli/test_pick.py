"""`dep pick`: what is written, what is said, and how it ends."""

import csv
import json
import os
import sys

import pytest

from dep.engine import turns

PARTIAL = ("*.part", ".*.part", "*.partial", ".*.partial")


def partial_files(folder):
    return [path for pattern in PARTIAL for path in folder.glob(pattern)]


def read_run(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.fixture
def pick(dep, tiny_model, tmp_path):
    """Run `dep pick WORDS... --engine BALLS -o OUT`."""

    def run(*words, out=None):
        folder = out or tmp_path / "out"
        return dep("pick", *words, "--engine", tiny_model, "-o", folder)

    return run


def test_a_tomogram_becomes_coordinates(pick, tomogram, tmp_path):
    outcome = pick(tomogram)
    assert outcome.status == 0, outcome.err
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "TS_01.csv",
        "TS_01.star",
        "run.json",
    ]
    rows = list(csv.DictReader((out / "TS_01.csv").read_text().splitlines()))
    assert sorted(row["class"] for row in rows) == ["bright", "dark", "dark"]
    bright = next(row for row in rows if row["class"] == "bright")
    found = [float(bright[axis]) for axis in "xyz"]
    assert found == pytest.approx([28, 10, 20], abs=0.7)


def test_the_table_counts_picks_by_class(pick, tomogram):
    lines = [line.split() for line in pick(tomogram).out.splitlines()]
    assert ["dark", "2"] in lines
    assert ["bright", "1"] in lines
    assert ["all", "3"] in lines
    assert any(line[:1] == ["total"] for line in lines)


def test_verbose_says_how_tomograms_were_cut(pick, tomogram):
    said = pick(tomogram, "--verbose").out
    stats = json.loads(pick(tomogram, "--overwrite", "--json").out)["tomograms"][
        "TS_01"
    ]["stats"]
    edges = " x ".join(str(edge) for edge in reversed(stats["tile"]))
    each = stats["computed_voxels"] / stats["owned_voxels"]
    assert (
        f"tiles: {stats['tiles']} of {edges} voxels (x, y, z), margin "
        f"{stats['margin']}; {each:.2f} voxels computed"
    ) in said


def test_the_run_is_recorded(pick, tomogram, tmp_path):
    pick(tomogram, "--t-lm", "0.06")
    run = read_run(tmp_path / "out")
    assert run["status"] == "complete"
    entry = run["tomograms"]["TS_01"]
    assert entry["status"] == "picked"
    assert entry["classes"] == {"dark": 2, "bright": 1}
    assert entry["model"]["name"] == "balls"
    assert entry["settings"]["t_lm"] == 0.06
    assert entry["stats"]["tiles"] > 0


def test_json_is_one_document_on_standard_output(pick, tomogram):
    outcome = pick(tomogram, "--json")
    assert outcome.status == 0
    assert outcome.json["tomograms"]["TS_01"]["picks"] == 3


def test_elsewhere_than_on_a_terminal_progress_is_json_lines(pick, tomogram):
    events = [json.loads(line) for line in pick(tomogram).err.splitlines()]
    assert [event["event"] for event in events] == ["begin", "done"]
    assert events[-1]["picks"] == 3


def test_quiet_says_nothing_when_all_is_well(pick, tomogram):
    outcome = pick(tomogram, "--quiet")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_a_picture_is_drawn(pick, tomogram, tmp_path):
    from PIL import Image

    assert pick(tomogram, "--picture").status == 0
    with Image.open(tmp_path / "out" / "TS_01.png") as image:
        assert image.format == "PNG"
        colours = image.convert("RGB").getcolors(1 << 24)
    orange = [count for count, rgb in colours if rgb == (0xE6, 0x9F, 0x00)]
    assert orange, "the first class's circles are orange"


@pytest.mark.parametrize(
    ("formats", "names"),
    [
        ("csv", {"TS_01.csv"}),
        ("star", {"TS_01.star"}),
        ("relion5,coords", {"TS_01.star", "TS_01.coords"}),
    ],
)
def test_formats_are_chosen(pick, tomogram, tmp_path, formats, names):
    assert pick(tomogram, "--format", formats).status == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == names | {"run.json"}


def test_bad_tomograms_do_not_stop_the_others(pick, tomogram, make_tomogram, tmp_path):
    (tmp_path / "broken.mrc").write_bytes(tomogram.read_bytes()[:5000])
    (tmp_path / "text.mrc").write_text("not a tomogram")
    make_tomogram(tmp_path / "last.mrc")
    outcome = pick(
        tomogram,
        tmp_path / "broken.mrc",
        tmp_path / "missing.mrc",
        tmp_path / "text.mrc",
        tmp_path / "last.mrc",
    )
    assert outcome.status == 1
    run = read_run(tmp_path / "out")
    ended = {name: entry["status"] for name, entry in run["tomograms"].items()}
    assert ended == {
        "TS_01": "picked",
        "broken": "failed",
        "missing": "failed",
        "text": "failed",
        "last": "picked",
    }
    assert run["status"] == "failed"
    assert "truncated" in run["tomograms"]["broken"]["error"]
    for name in ("broken.mrc", "missing.mrc", "text.mrc"):
        assert name in outcome.err
    assert "Traceback" not in outcome.err
    assert "2 of 5 tomograms picked" in outcome.out
    assert (tmp_path / "out" / "last.star").exists()
    assert not partial_files(tmp_path / "out")


@pytest.mark.skipif(sys.platform == "win32", reason="no such file names")
@pytest.mark.parametrize("formats", ["csv,relion5", "star,csv"])
def test_a_name_that_a_format_cannot_hold_fails_before_it_is_picked(
    pick, tomogram, make_tomogram, tmp_path, monkeypatch, formats
):
    bad = tmp_path / "a\"b'c.mrc"
    make_tomogram(bad)
    picked = []
    whole = turns.prepare

    def spy(request, *rest):
        picked.append(request.tomogram)
        return whole(request, *rest)

    monkeypatch.setattr(turns, "prepare", spy)
    outcome = pick(bad, tomogram, "--format", formats)
    assert outcome.status == 1
    assert picked == [tomogram]
    entries = read_run(tmp_path / "out")["tomograms"]
    assert entries["a\"b'c"]["status"] == "failed"
    assert "rename the tomogram" in entries["a\"b'c"]["error"]
    assert entries["TS_01"]["status"] == "picked"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"TS_01.csv", "TS_01.star", "run.json"}
    assert pick(bad, "--format", "csv").status == 0


@pytest.mark.usefixtures("tomogram")
def test_a_folder_stands_for_its_tomograms(pick, make_tomogram, tmp_path):
    make_tomogram(tmp_path / "TS_02.rec")
    (tmp_path / "notes.txt").write_text("no tomogram")
    assert pick(tmp_path).status == 0
    assert set(read_run(tmp_path / "out")["tomograms"]) == {"TS_01", "TS_02"}


@pytest.mark.usefixtures("tomogram")
def test_a_quoted_pattern_is_expanded(pick, tmp_path):
    assert pick(tmp_path / "TS_*.mrc").status == 0
    assert set(read_run(tmp_path / "out")["tomograms"]) == {"TS_01"}


def test_one_file_named_twice_is_picked_once(pick, tomogram, tmp_path):
    assert pick(tomogram, tomogram, tmp_path).status == 0


class TestWrongUse:
    """Exit status 2: nothing is begun, and the message says what to do."""

    def check(self, outcome, *words):
        assert outcome.status == 2
        assert "Traceback" not in outcome.err
        for word in words:
            assert word in outcome.err

    def test_no_tomogram(self, dep):
        self.check(dep("pick"))

    def test_two_tomograms_of_one_name(self, pick, make_tomogram, tmp_path):
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            make_tomogram(tmp_path / folder / "TS_01.mrc")
        outcome = pick(tmp_path / "a/TS_01.mrc", tmp_path / "b/TS_01.mrc")
        self.check(outcome, "a/TS_01.mrc", "b/TS_01.mrc", "-o")
        assert not list((tmp_path / "out").glob("*.star"))

    def test_an_empty_folder(self, pick, tmp_path):
        (tmp_path / "empty").mkdir()
        self.check(pick(tmp_path / "empty"), "no tomograms")

    def test_a_pattern_without_matches(self, pick, tmp_path):
        self.check(pick(tmp_path / "TS_*.mrc"), "no file matches")

    def test_an_unknown_format(self, pick, tomogram):
        self.check(pick(tomogram, "--format", "csv,tbl"), "tbl", "relion5")

    def test_two_formats_for_one_file(self, pick, tomogram):
        self.check(pick(tomogram, "--format", "relion5,star"), "*.star")

    def test_a_threshold_out_of_range(self, pick, tomogram):
        self.check(pick(tomogram, "--t-seg", "1.5"), "--t-seg", "1.5")

    def test_a_negative_voxel_size(self, pick, tomogram):
        self.check(pick(tomogram, "--voxel-size", "-3"), "voxel", "-3")

    def test_a_missing_model(self, dep, tomogram, tmp_path):
        outcome = dep("pick", tomogram, "--engine", "none.onnx", "-o", tmp_path / "o")
        self.check(outcome, "none.onnx", "no such model file")

    def test_a_model_without_a_card(self, dep, tomogram, tmp_path):
        (tmp_path / "m.onnx").write_bytes(b"garbage")
        outcome = dep(
            "pick", tomogram, "--engine", tmp_path / "m.onnx", "-o", tmp_path / "o"
        )
        self.check(outcome, "m.onnx")

    def test_an_unknown_device(self, pick, tomogram):
        self.check(pick(tomogram, "--device", "abacus"), "abacus")

    @pytest.mark.parametrize("words", ["0", "1x2", "axbxc", "-96", "1.5", "", "96x96x"])
    def test_a_tile_that_is_none(self, pick, tomogram, words):
        self.check(pick(tomogram, f"--tile={words}"), "tile")

    def test_a_tile_of_another_size_than_the_model_takes(self, pick, tomogram):
        self.check(
            pick(tomogram, "--tile", "32x24x16"), "24 voxels only", "(16, 24, 32)"
        )

    def test_a_number_of_mirrors_that_no_tile_has(self, pick, tomogram):
        self.check(pick(tomogram, "--mirrors", "3"), "1, 2, 4 or 8, found 3")

    def test_an_unknown_precision(self, pick, tomogram):
        self.check(pick(tomogram, "--precision", "f7"), "f7")

    def test_a_file_for_a_folder(self, pick, tomogram):
        self.check(pick(tomogram, out=tomogram), "folder")

    def test_it_makes_no_folder(self, pick, tomogram, tmp_path):
        self.check(pick(tomogram, "--t-seg", "1.5"), "--t-seg")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        "pair",
        [
            ("--overwrite", "--resume"),
            ("--quiet", "--verbose"),
            ("--rescale", "--ignore-voxel-size"),
        ],
    )
    def test_options_that_exclude_each_other(self, pick, tomogram, pair):
        self.check(pick(tomogram, *pair), *pair)


class TestExistingOutputs:
    """Nothing is replaced unasked."""

    def test_they_are_refused(self, pick, tomogram, tmp_path):
        pick(tomogram)
        before = (tmp_path / "out" / "TS_01.star").stat().st_mtime_ns
        outcome = pick(tomogram)
        assert outcome.status == 2
        assert "TS_01.star" in outcome.err
        assert "--overwrite" in outcome.err
        assert "--resume" in outcome.err
        assert (tmp_path / "out" / "TS_01.star").stat().st_mtime_ns == before

    def test_overwrite_replaces_them(self, pick, tomogram, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "TS_01.csv").write_text("old")
        assert pick(tomogram, "--overwrite").status == 0
        assert "old" not in (out / "TS_01.csv").read_text()

    def test_resume_picks_only_what_is_missing(
        self, pick, tomogram, make_tomogram, tmp_path
    ):
        pick(tomogram)
        before = (tmp_path / "out" / "TS_01.star").stat().st_mtime_ns
        make_tomogram(tmp_path / "TS_02.mrc")
        outcome = pick(tomogram, tmp_path / "TS_02.mrc", "--resume")
        assert outcome.status == 0
        assert "1 skipped" in outcome.out
        assert (tmp_path / "out" / "TS_01.star").stat().st_mtime_ns == before
        run = read_run(tmp_path / "out")
        assert {e["status"] for e in run["tomograms"].values()} == {"picked"}

    @pytest.mark.parametrize("words", [("--mirrors", "2"), ("--tile", "24")])
    def test_resume_does_not_take_other_options_for_the_same(
        self, pick, tomogram, words
    ):
        pick(tomogram)
        assert "picked before" in pick(tomogram, "--resume").out
        other = pick(tomogram, "--resume", *words)
        assert other.status == 2
        assert "--overwrite" in other.err

    def test_resume_does_not_take_a_changed_tomogram_for_the_same(
        self, pick, tomogram, make_tomogram, tmp_path
    ):
        pick(tomogram)
        table = tmp_path / "out" / "TS_01.csv"
        before = table.read_bytes()
        state = tomogram.stat()
        changed = state.st_mtime_ns + 1_000_000_000
        os.utime(tomogram, ns=(state.st_atime_ns, changed))
        outcome = pick(tomogram, "--resume")
        assert outcome.status == 2
        assert "same tomogram" in outcome.err
        assert table.read_bytes() == before
        make_tomogram(tomogram, bright=())
        assert pick(tomogram, "--resume").status == 2
        assert pick(tomogram, "--overwrite").status == 0
        assert pick(tomogram, "--resume").status == 0
        assert table.read_bytes() != before

    def test_resume_with_nothing_left_is_a_success(self, pick, tomogram, tmp_path):
        pick(tomogram)
        assert pick(tomogram, "--resume").status == 0
        assert read_run(tmp_path / "out")["status"] == "complete"

    def test_resume_does_not_mix_settings(self, pick, tomogram):
        pick(tomogram)
        outcome = pick(tomogram, "--resume", "--t-seg", "0.7")
        assert outcome.status == 2
        assert "settings" in outcome.err

    def test_resume_picks_again_what_failed(self, pick, tomogram, tmp_path):
        whole = tomogram.read_bytes()
        tomogram.write_bytes(whole[:5000])
        assert pick(tomogram).status == 1
        tomogram.write_bytes(whole)
        assert pick(tomogram, "--resume").status == 0
        assert read_run(tmp_path / "out")["tomograms"]["TS_01"]["status"] == "picked"

    def test_a_foreign_run_json_is_left_alone(self, pick, tomogram, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "run.json").write_text("[1, 2]")
        outcome = pick(tomogram)
        assert outcome.status == 2
        assert "run.json" in outcome.err
        assert (out / "run.json").read_text() == "[1, 2]"


class TestVoxelSize:
    def test_another_voxel_size_fails_and_offers_ways_out(
        self, pick, make_tomogram, tmp_path
    ):
        make_tomogram(tmp_path / "fine.mrc", voxel_size=7.0)
        outcome = pick(tmp_path / "fine.mrc")
        assert outcome.status == 1
        for words in ("7", "10", "--rescale", "--ignore-voxel-size"):
            assert words in outcome.err

    @pytest.mark.parametrize("option", ["--rescale", "--ignore-voxel-size"])
    def test_each_way_out_works(self, pick, make_tomogram, tmp_path, option):
        make_tomogram(tmp_path / "fine.mrc", voxel_size=9.0)
        assert pick(tmp_path / "fine.mrc", option).status == 0

    def test_a_header_without_one_needs_the_option(self, pick, make_tomogram, tmp_path):
        make_tomogram(tmp_path / "TS_01.mrc", voxel_size=0.0)
        outcome = pick(tmp_path / "TS_01.mrc")
        assert outcome.status == 1
        assert "--voxel-size" in outcome.err
        options = ("--voxel-size", "10", "--resume", "--picture")
        assert pick(tmp_path / "TS_01.mrc", *options).status == 0
