"""`dep evaluate` scores picks as the truth deserves, and says what it left out."""

import pytest

HEAD = "tomogram,class,x,y,z,score\n"


@pytest.fixture
def files(tmp_path):
    picks = tmp_path / "picks.csv"
    picks.write_text(
        HEAD
        + "t,dark,10,10,10,0.9\n"  # hits, 1 voxel off
        + "t,bright,30,10,10,0.8\n"  # right place, wrong class
        + "t,dark,50,50,50,0.7\n"  # nothing is there
    )
    truth = tmp_path / "truth.csv"
    truth.write_text(
        "class,class_id,x,y,z\n"
        "dark,1,11,10,10\n"
        "dark,1,30,10,10\n"
        "bright,2,60,10,10\n"
        "vesicle,14,50,50,50\n"
    )
    return picks, truth


def test_figures_are_those_of_a_case_done_by_hand(dep, files, tiny_model):
    outcome = dep("evaluate", *files, "--model", tiny_model, "--json")
    assert outcome.status == 0, outcome.err
    result = outcome.json
    place = result["localisation"]
    assert place["precision"] == pytest.approx(2 / 3)
    assert place["recall"] == pytest.approx(2 / 3)
    assert place["mean_distance"] == pytest.approx(0.5)
    assert result["per_class"]["dark"]["recall"] == pytest.approx(1 / 2)
    assert result["per_class"]["bright"]["f1"] == 0
    assert result["mean_class_f1"] == pytest.approx((1 / 2 + 0) / 2)


def test_classes_that_the_model_lacks_are_left_out_and_named(dep, files, tiny_model):
    outcome = dep("evaluate", *files, "--model", tiny_model)
    assert outcome.status == 0
    assert "vesicle (1)" in outcome.out
    assert "mean distance" in outcome.out


def test_star_files_know_their_own_diameters(dep, tomogram, tiny_model, tmp_path):
    out = tmp_path / "out"
    dep("pick", tomogram, "--engine", tiny_model, "-o", out)
    star = out / "TS_01.star"
    truth = tmp_path / "where.csv"
    truth.write_text("class,x,y,z\ndark,10,12,14\ndark,30,28,12\nbright,28,10,20\n")
    result = dep("evaluate", star, truth, "--json").json
    assert result["class_table"] == str(star)
    assert result["localisation"]["f1"] == 1
    assert result["mean_class_f1"] == 1
    assert result["localisation"]["mean_distance"] < 0.7


def test_picks_of_an_unknown_class_are_an_error(dep, files, tiny_model):
    picks, truth = files
    picks.write_text(HEAD + "t,dragon,1,2,3,1\n")
    outcome = dep("evaluate", picks, truth, "--model", tiny_model)
    assert outcome.status == 1
    assert "dragon" in outcome.err


@pytest.mark.parametrize("missing", ["picks.csv", "truth.csv"])
def test_a_missing_file_is_named(dep, files, tiny_model, tmp_path, missing):
    (tmp_path / missing).unlink()
    outcome = dep("evaluate", *files, "--model", tiny_model)
    assert outcome.status == 1
    assert missing in outcome.err


def test_a_missing_truth_is_said_to_be_the_truth(dep, files):
    outcome = dep("evaluate", files[0])
    assert outcome.status == 2
    assert "the truth is missing" in outcome.err


def test_json_and_xml_of_other_kinds_are_passed_over(dep, files, tiny_model, tmp_path):
    picks, truth = files
    folder = tmp_path / "folder"
    folder.mkdir()
    picks.rename(folder / truth.name)
    (folder / "summary.json").write_text("{}")
    (folder / "session.xml").write_text("<Session/>")
    outcome = dep("evaluate", folder, truth, "--model", tiny_model)
    assert outcome.status == 0, outcome.err


def test_nothing_picked_is_a_score_of_zero(dep, files, tiny_model):
    picks, truth = files
    picks.write_text(HEAD)
    result = dep("evaluate", picks, truth, "--model", tiny_model, "--json").json
    assert result["localisation"]["recall"] == 0
    assert result["localisation"]["mean_distance"] is None


@pytest.fixture
def foreign_star(dep, tomogram, tiny_model, tmp_path):
    """A RELION 5 file as others write it: no comment of ours."""
    out = tmp_path / "out"
    dep("pick", tomogram, "--engine", tiny_model, "-o", out)
    star = out / "TS_01.star"
    lines = star.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("# dep:")]
    assert len(kept) == len(lines) - 1
    star.write_text("".join(kept))
    return star


@pytest.fixture
def ball_truth(tmp_path):
    truth = tmp_path / "where.csv"
    truth.write_text("class,x,y,z\ndark,10,12,14\ndark,30,28,12\nbright,28,10,20\n")
    return truth


FRAME = ("--shape", "44,40,32", "--voxel-size", "10")


@pytest.mark.parametrize("swapped", [False, True])
def test_relion_files_of_others_are_scored(
    dep, foreign_star, ball_truth, tiny_model, swapped
):
    pair = (ball_truth, foreign_star) if swapped else (foreign_star, ball_truth)
    outcome = dep("evaluate", *pair, "--model", tiny_model, *FRAME, "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["mean_class_f1"] == 1
    assert outcome.json["localisation"]["mean_distance"] < 0.7


def test_what_a_relion_file_lacks_is_named(dep, foreign_star, ball_truth, tiny_model):
    words = ("evaluate", foreign_star, ball_truth, "--model", tiny_model)
    for given in ((), FRAME[:2], FRAME[2:]):
        outcome = dep(*words, *given)
        assert outcome.status == 2
        assert "TS_01.star" in outcome.err
        assert "--shape X,Y,Z" in outcome.err
        assert "--voxel-size" in outcome.err


@pytest.mark.parametrize("words", ["44,40", "44,40,0", "44,40,-3", "a,b,c", "1,2,3,4"])
def test_a_shape_that_is_none_is_wrong_use(dep, files, words):
    outcome = dep("evaluate", *files, "--shape", words)
    assert outcome.status == 2
    assert "X,Y,Z" in outcome.err
    assert words in outcome.err


@pytest.fixture
def picked(dep, tomogram, tiny_model, tmp_path):
    """Pick with a model of other classes than the bundled one's."""
    out = tmp_path / "out"
    dep("pick", tomogram, "--engine", tiny_model, "-o", out)
    truth = tmp_path / "where.csv"
    truth.write_text("class,x,y,z\ndark,10,12,14\ndark,30,28,12\nbright,28,10,20\n")
    return out, truth


def test_a_csv_file_is_scored_as_the_star_file_beside_it(dep, picked):
    out, truth = picked
    star = dep("evaluate", out / "TS_01.star", truth, "--json").json
    csv = dep("evaluate", out / "TS_01.csv", truth, "--json").json
    assert csv["class_table"] == star["class_table"] == str(out / "TS_01.star")
    assert csv["mean_class_f1"] == star["mean_class_f1"] == 1


def test_the_bundled_table_is_said_with_the_way_out(dep, tmp_path):
    picks = tmp_path / "a.csv"
    picks.write_text(HEAD + "t,4cr2,10,10,10,0.9\n")
    picks.with_suffix(".star").write_text("something else")
    outcome = dep("evaluate", picks, picks)
    assert outcome.status == 0, outcome.err
    assert "the bundled one; if another picked, name it with --model" in outcome.out
