"""`dep evaluate` with many tomograms, contests' rules, intervals, tables, pictures."""

import csv
import importlib.util

import numpy as np
import pytest

HEAD = "tomogram,class,x,y,z,score\n"
FIXED = ("--diameter", "a=60", "--diameter", "b=90", "--voxel-size", "10")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def files(tmp_path):
    """Two tomograms in one file of picks, and in a folder of truths."""
    picks = tmp_path / "picks.csv"
    picks.write_text(
        HEAD
        + "one,a,10,10,10,0.9\n"  # hits, 1 voxel off
        + "one,a,50,50,50,0.4\n"  # nothing is there
        + "one,b,30,10,12,0.8\n"  # hits, 2 voxels off
        + "two,a,10,10,10,0.7\n"  # right place, wrong class
    )
    truth = tmp_path / "truth"
    truth.mkdir()
    (truth / "one.csv").write_text("class,x,y,z\na,11,10,10\nb,30,10,10\n")
    (truth / "two.csv").write_text("class,x,y,z\nb,10,10,10\na,70,10,10\n")
    return picks, truth


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_keys_that_others_read_stay(dep, files):
    result = dep("evaluate", *files, *FIXED, "--json").json
    assert list(result)[:1] == ["localisation"]
    for name in ("mean_class_f1", "per_class", "confusion", "voxel_size"):
        assert name in result
    assert {"class_table", "left_out"} <= set(result)
    rates = {"hits", "picks", "particles", "precision", "recall", "f1"}
    assert rates | {"mean_distance"} <= set(result["localisation"])
    assert rates <= set(result["per_class"]["a"])


def test_many_tomograms_by_hand(dep, files):
    result = dep("evaluate", *files, *FIXED, "--json").json
    place = result["localisation"]
    assert (place["hits"], place["picks"], place["particles"]) == (3, 4, 4)
    assert place["mean_distance"] == pytest.approx(1.0)
    assert place["mean_distance_angstrom"] == pytest.approx(10.0)
    assert result["tomograms"]["one"]["recall"] == 1
    assert result["tomograms"]["two"]["recall"] == 0.5
    assert result["confusion"] == [[0, 1, 0], [1, 1, 0], [0, 1, 1]]
    pooled = result["pooled"]
    assert (pooled["hits"], pooled["picks"], pooled["particles"]) == (2, 4, 4)
    # a: 1 of 3 picks, 1 of 2 particles; b: 1 of 1, 1 of 2.
    assert result["macro"]["precision"] == pytest.approx((1 / 3 + 1) / 2)
    assert result["macro"]["recall"] == pytest.approx(0.5)
    assert result["mean_class_f1"] == pytest.approx((2 / 5 + 2 / 3) / 2)
    # Without the pick of 0.4: 3 of 3 and 3 of 4.
    assert place["best_f1"]["threshold"] == pytest.approx(0.7)
    assert place["best_f1"]["f1"] == pytest.approx(6 / 7)


def test_the_table_shows_all_of_it(dep, files):
    outcome = dep("evaluate", *files, *FIXED, "--bootstrap", 50, "--beta", 2)
    assert outcome.status == 0, outcome.err
    for words in ("one", "two", "pooled classes", "F2", "AP", "mean distance of hits"):
        assert words in outcome.out
    # 3 hits, a miss and a false pick.
    assert "50 bootstrap draws of 5 hits, misses and false picks" in outcome.out
    assert "they speak for these tomograms, not others" in outcome.out
    assert "a, by itself" in outcome.out


def test_without_classes_only_places_are_shown(dep, files):
    words = ("--ignore-classes", "--bootstrap", 20)
    outcome = dep("evaluate", *files, *FIXED, *words)
    assert outcome.status == 0, outcome.err
    assert "whatever the classes" in outcome.out
    for of_classes in ("(any)", "class F1", "pooled", "by itself"):
        assert of_classes not in outcome.out
    bare = dep("evaluate", *files, *FIXED, "--ignore-classes", "--json").json
    told = dep("evaluate", *files, *FIXED, "--json").json
    assert bare["localisation"] == told["localisation"]
    assert (bare["classes_ignored"], told["classes_ignored"]) == (True, False)


def test_files_of_figures_and_curves(dep, files, tmp_path):
    figures, curve = tmp_path / "out" / "figures.csv", tmp_path / "curve.csv"
    words = ("evaluate", *files, *FIXED, "--csv", figures, "--curve", curve)
    assert dep(*words, "--bootstrap", 50).status == 0
    rows = rows_of(figures)
    assert {row["tomogram"] for row in rows} == {"one", "two", "(all)"}
    whole = {row["class"]: row for row in rows if row["tomogram"] == "(all)"}
    assert set(whole) == {"(localisation)", "(pooled)", "a", "b", "(macro)"}
    assert float(whole["(localisation)"]["recall"]) == pytest.approx(0.75)
    assert float(whole["(localisation)"]["recall_low"]) <= 0.75
    assert whole["(macro)"]["hits"] == ""
    points = [row for row in rows_of(curve) if row["figure"] == "localisation"]
    assert [float(row["threshold"]) for row in points] == [0.9, 0.8, 0.7, 0.4]
    assert [int(row["hits"]) for row in points] == [1, 2, 3, 3]
    again = dep(*words)
    assert again.status == 2
    assert "figures.csv: is there already; --overwrite" in again.err
    assert dep(*words, "--overwrite").status == 0


def test_cziis_rule(dep, files):
    words = ("evaluate", *files, *FIXED, "--rule", "czii")
    rule = dep(*words, "--json", "--bootstrap", 20).json["rule"]
    # a: 1 found within 1.5 voxels, of 3 picks and 2 particles. b: 2 <= 2.25 voxels.
    a = 17 * (1 / 3) * (1 / 2) / (16 / 3 + 1 / 2)
    b = 17 * 1 * (1 / 2) / (16 + 1 / 2)
    assert rule["per_class"]["a"]["f_beta"] == pytest.approx(a)
    assert rule["score"] == pytest.approx((a + b) / 2)
    weighted = dep(*words, "--weight", "b=3", "--json").json["rule"]
    assert weighted["score"] == pytest.approx((a + 3 * b) / 4)
    outcome = dep(*words)
    assert f"CZII's rule: score {(a + b) / 2:.3f}" in outcome.out


def test_shrecs_rule(dep, files, tmp_path):
    import mrcfile

    folder = tmp_path / "occupancy"
    folder.mkdir()
    for name, places in {"one": [11, 30], "two": [10, 70]}.items():
        voxels = np.zeros((60, 60, 90), np.int16)
        for row, x in enumerate(places, start=1):
            voxels[9:12, 9:12, x - 1 : x + 2] = row
        with mrcfile.new(folder / f"{name}.mrc") as mrc:
            mrc.set_data(voxels)
            mrc.set_volume()
    words = ("evaluate", *files, *FIXED, "--rule", "shrec", "--occupancy", folder)
    rule = dep(*words, "--json", "--bootstrap", 20).json["rule"]
    assert (rule["hits"], rule["reported"], rule["particles"]) == (3, 4, 4)
    assert rule["false_positives"] == 1
    assert rule["mean_distance"] == pytest.approx((1 + 2 + 0) / 3)
    outcome = dep(*words)
    assert "SHREC's rule: F1 0.750" in outcome.out
    assert "reported 4, found 3, on nothing 1" in outcome.out


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="Matplotlib draws them"
)
def test_pictures(dep, files, tmp_path):
    folder = tmp_path / "plots"
    words = ("evaluate", *files, *FIXED, "--plots", folder)
    assert dep(*words).status == 0
    drawn = {path.name: path.read_bytes() for path in folder.iterdir()}
    names = {"precision_recall", "confusion", "distances", "scores"}
    assert set(drawn) == {f"{name}.png" for name in names}
    assert all(content.startswith(PNG) for content in drawn.values())
    again = dep(*words)
    assert again.status == 2
    assert "--overwrite" in again.err
    # Of picks without scores and without hits there is less to draw.
    bare = tmp_path / "bare.csv"
    bare.write_text("class,x,y,z\na,500,1,1\n")
    few = tmp_path / "few"
    words = ("evaluate", bare, files[1] / "one.csv", *FIXED, "--plots", few)
    assert dep(*words).status == 0
    assert [path.name for path in few.iterdir()] == ["confusion.png"]


def test_what_pictures_need_is_said(dep, files, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "matplotlib" else find(name, *more),
    )
    outcome = dep("evaluate", *files, *FIXED, "--plots", tmp_path / "plots")
    assert outcome.status == 1
    assert "pip install 'dep[plots]'" in outcome.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--beta", "0"), "--beta: expected a number above 0"),
        (("--hit-radius", "nan"), "--hit-radius: expected a number above 0"),
        (("--bootstrap", "1"), "--bootstrap: expected 2 to"),
        (("--bootstrap", "9", "--seed", "-1"), "--seed: expected 0 or above"),
        (("--rule", "shrec"), "--occupancy"),
        (("--occupancy", "x.mrc"), "goes with --rule shrec"),
        (("--weight", "a=1"), "goes with --rule czii"),
        (("--rule", "czii", "--weight", "a"), "--weight: expected NAME=NUMBER"),
        (("--rule", "czii", "--weight", "a=-1"), "0 or above, found 'a=-1'"),
        (("--model", "m.onnx"), "give one of the two"),
        (("--csv", "x.csv", "--curve", "x.csv"), "both would be written"),
        (("--csv", "-"), "expected a file, found -"),
        (("--rule", "czii", "--ignore-classes"), "counts class by class"),
    ],
)
def test_wrong_use(dep, files, words, told):
    outcome = dep("evaluate", *files, *FIXED, *words)
    assert outcome.status == 2
    assert told in outcome.err


def test_a_rule_that_is_none(dep, files):
    outcome = dep("evaluate", *files, *FIXED, "--rule", "olympic")
    assert outcome.status == 2


def test_a_weight_for_no_class(dep, files):
    words = ("--rule", "czii", "--weight", "dragon=1")
    outcome = dep("evaluate", *files, *FIXED, *words)
    assert outcome.status == 1
    assert "a weight for dragon" in outcome.err
