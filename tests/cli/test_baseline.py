"""`dep baseline`: the outputs of `dep pick`, from blobs and templates."""

import json

import mrcfile
import numpy as np
import pytest

from dep.engine import Picks


@pytest.fixture
def ball(tmp_path):
    """The template of the balls in `tomogram`, radius 3 voxels, bright."""
    z, y, x = np.indices((13, 13, 13)) - 6
    path = tmp_path / "ball.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data((z**2 + y**2 + x**2 < 9).astype(np.float32))
        mrc.voxel_size = 10.0
    return path


def near(picks, places):
    apart = np.linalg.norm(picks.xyz[:, None] - np.array(places), axis=2)
    return apart.min(axis=0).max()


DARK = [(10, 12, 14), (30, 28, 12)]
BRIGHT = [(28, 10, 20)]


def test_dog_writes_what_pick_writes(dep, tomogram, tmp_path):
    out = tmp_path / "out"
    outcome = dep(
        *("baseline", "dog", tomogram, "-o", out, "--diameter", 60, "--threshold", 6)
    )
    assert outcome.status == 0, outcome.err
    picks = Picks.read(out / "TS_01.star")
    assert [one.name for one in picks.classes] == ["particle"]
    assert len(picks) == 2
    assert near(picks, DARK) < 0.6
    assert (out / "TS_01.csv").read_text().startswith("tomogram,class,x,y,z,score\n")
    entry = json.loads((out / "run.json").read_text())["tomograms"]["TS_01"]
    assert entry["status"] == "picked"
    assert entry["method"] == "difference of Gaussians"
    assert entry["settings"]["threshold"] == 6
    assert entry["picks"] == 2
    assert "1 of 1 tomograms picked" in outcome.out


def test_template_finds_bright_balls_when_inverted(dep, tomogram, ball, tmp_path):
    out = tmp_path / "out"
    outcome = dep(
        *("baseline", "template", tomogram, "-o", out, "--template", f"{ball},bead"),
        *("--angles", 180, "--number", 1, "--invert", "--json"),
    )
    assert outcome.status == 0, outcome.err
    document = outcome.json
    assert document["tomograms"]["TS_01"]["classes"] == {"bead": 1}
    picks = Picks.read(out / "TS_01.star")
    assert picks.class_names == ["bead"]
    assert near(picks, BRIGHT) < 0.6
    assert 0.5 < picks.score[0] <= 1


def test_a_template_beside_its_middle_is_told(dep, tomogram, ball, tmp_path):
    with mrcfile.open(ball, "r+") as mrc:
        mrc.set_data(np.roll(mrc.data, 3, axis=2))
    words = ("baseline", "template", tomogram, "--template", ball, "--number", 1)
    outcome = dep(*words, "-o", tmp_path / "a", "--angles", 180)
    assert outcome.status == 0
    assert f"note: {ball}: the density lies 30 Å off the box's middle" in outcome.err
    outcome = dep(*words, "-o", tmp_path / "b", "--angles", 180, "--quiet")
    assert "note" not in outcome.err


def test_one_bad_tomogram_does_not_stop_the_others(dep, tomogram, tmp_path):
    bad = tmp_path / "bad.mrc"
    bad.write_bytes(b"nothing")
    out = tmp_path / "out"
    outcome = dep(
        *("baseline", "dog", bad, tomogram, "-o", out, "--diameter", "a=60"),
        *("--diameter", "b=80"),
    )
    assert outcome.status == 1
    assert "bad.mrc: not an MRC file" in outcome.err
    entries = json.loads((out / "run.json").read_text())["tomograms"]
    assert [entries[name]["status"] for name in ("bad", "TS_01")] == [
        "failed",
        "picked",
    ]
    assert set(entries["TS_01"]["classes"]) == {"a", "b"}


def test_resume_skips_what_is_the_same_and_nothing_else(dep, tomogram, ball, tmp_path):
    out = tmp_path / "out"
    words = ("baseline", "template", tomogram, "-o", out, "--template", ball)
    assert dep(*words, "--angles", 180).status == 0
    again = dep(*words, "--angles", 180, "--resume", "--json")
    assert (again.status, again.json["skipped"]) == (0, 1)
    other = dep(*words, "--angles", 170, "--resume")
    assert other.status == 2
    assert "--overwrite" in other.err
    # The template's file is the same, what it holds is not.
    with mrcfile.mmap(ball, "r+") as mrc:
        mrc.data[6, 6, 6] = 2
    changed = dep(*words, "--angles", 180, "--resume")
    assert changed.status == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("dog", "--diameter", "wide"), "--diameter"),
        (("dog", "--diameter", "0"), "--diameter"),
        (("dog", "--diameter", "a=60", "--diameter", "70"), "names for all"),
        (("dog", "--diameter", "60", "--ratio", "0.5"), "ratio"),
        (("dog", "--diameter", "60", "--t-dist", "-1"), "--t-dist"),
        (("dog", "--diameter", "60", "--format", "word"), "--format"),
        (("dog", "--diameter", "60", "--voxel-size", "0"), "voxel size"),
        (("dog", "--diameter", "60", "--resume", "--overwrite"), "exclude each other"),
        (("template", "--template", "none.mrc"), r"none.mrc: no such file"),
        (("template", "--template", "BALL,"), "FILE,NAME"),
        (("template", "--template", "BALL", "--tilt", "60"), "--tilt"),
        (("template", "--template", "BALL", "--tilt", "60,-60"), "lower one first"),
        (("template", "--template", "BALL", "--angles", "1"), "--angles"),
        (("template", "--template", "BALL", "--template", "BALL"), "same name"),
    ],
)
def test_wrong_words_begin_nothing(dep, tomogram, ball, tmp_path, words, message):
    words = [word.replace("BALL", str(ball)) for word in words]
    outcome = dep("baseline", words[0], tomogram, *words[1:], "-o", tmp_path / "out")
    assert outcome.status == 2
    assert message in outcome.err
    assert not (tmp_path / "out").exists()


def test_without_scipy_it_says_what_to_install(dep, tomogram, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "scipy" else find(name),
    )
    outcome = dep("baseline", "dog", tomogram, "--diameter", 60)
    assert outcome.status == 1
    assert "pip install 'dep[baseline]'" in outcome.err
