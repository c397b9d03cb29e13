"""`dep compare` tells what sets of picks share, in words, JSON and files."""

import json

import pytest

HEAD = "tomogram,class,x,y,z,score\n"


@pytest.fixture
def files(tmp_path):
    found = []
    for name, rows in {
        "mine": "t,a,10,10,10,0.9\nt,a,30,10,10,0.8\nt,b,50,10,10,0.7\n",
        "yours": "t,a,11,10,10,0.6\nt,b,30,12,10,0.5\nt,b,80,10,10,0.4\n",
        "theirs": "t,a,10,11,10,0.3\nt,a,90,90,90,0.2\n",
    }.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(HEAD + rows)
        found.append(path)
    return found


def test_two_sets(dep, files, tmp_path):
    out = tmp_path / "out"
    outcome = dep("compare", *files[:2], "--t-dist", 4, "-o", out)
    assert outcome.status == 0, outcome.err
    lines = {line.split("  ")[0].strip(): line for line in outcome.out.splitlines()}
    assert lines["mine and yours"].split()[3] == "2"
    assert lines["only mine"].split()[2] == "1"
    assert "mean distance            1.50 voxels" in outcome.out
    assert "####" in outcome.out
    names = sorted(path.name for path in out.iterdir())
    assert names == [
        "combinations.csv",
        "comparison.json",
        "intersection.csv",
        "only_mine.csv",
        "only_yours.csv",
    ]
    assert (out / "only_yours.csv").read_text() == (
        HEAD + "t,b,80.000,10.000,10.000,0.4000\n"
    )
    document = json.loads((out / "comparison.json").read_text())
    assert document["combinations"][0] == {"sets": ["mine", "yours"], "particles": 2}


def test_more_than_two_sets(dep, files, tmp_path):
    words = ("compare", *files, "--t-dist", "4", "--names", "A,B,C")
    outcome = dep(*words, "-o", tmp_path / "out")
    assert outcome.status == 0, outcome.err
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["x", "x", "x", "1", "1", "0", "0"] in rows
    assert ["x", "x", ".", "1", "0", "1", "0"] in rows
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"intersection.csv", "A+B.csv", "only_C.csv"} <= written
    result = dep(*words, "--json").json
    assert result["sets"] == {"A": 3, "B": 3, "C": 2}
    assert sum(one["particles"] for one in result["combinations"]) == 5
    assert [one["both"] for one in result["pairs"]] == [2, 1, 1]


def test_by_class_and_in_angstrom(dep, files):
    words = ("compare", *files[:2], "--voxel-size", 10, "--json")
    both = dep(*words, "--t-dist", "40Å").json
    assert both["t_dist"] == {"value": 40, "unit": "Å"}
    assert both["pairs"][0]["mean_distance"] == 15
    assert both["pairs"][0]["both"] == 2
    alike = dep(*words, "--t-dist", "40 A", "--by-class").json
    assert alike["pairs"][0]["both"] == 1
    near = dep(*words, "--t-dist", "1.5 voxels").json
    assert near["pairs"][0]["both"] == 1


def test_outputs_are_not_replaced_unasked(dep, files, tmp_path):
    words = ("compare", *files[:2], "--t-dist", 4, "-o", tmp_path / "out")
    assert dep(*words).status == 0
    again = dep(*words)
    assert again.status == 2
    assert "--overwrite" in again.err
    assert dep(*words, "--overwrite", "--format", "coords").status == 0
    assert (tmp_path / "out" / "intersection.coords").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--t-dist", "0"), "--t-dist: expected a distance above 0"),
        (("--t-dist", "4 miles"), "(120A), found '4 miles'"),
        (("--t-dist", "1e400"), "found '1e400'"),
        (("--t-dist", "4", "--names", "A"), "--names: expected 2 different names"),
        (("--t-dist", "4", "--names", "A,A"), "different names"),
        (("--t-dist", "4", "--format", "pdf"), "--format: expected"),
        (("--t-dist", "4", "--shape", "1,2"), "X,Y,Z"),
        (("--t-dist", "4", "--voxel-size", "-1"), "--voxel-size"),
    ],
)
def test_wrong_use(dep, files, words, told):
    outcome = dep("compare", *files[:2], *words)
    assert outcome.status == 2
    assert told in outcome.err


def test_one_set_is_not_compared(dep, files):
    outcome = dep("compare", files[0], "--t-dist", 4)
    assert outcome.status == 2
    assert "two or more sets" in outcome.err


def test_what_cannot_be_read_is_named(dep, files, tmp_path):
    outcome = dep("compare", files[0], tmp_path / "none.csv", "--t-dist", 4)
    assert outcome.status == 1
    assert "none.csv" in outcome.err
    outcome = dep("compare", *files[:2], "--t-dist", "40A")
    assert outcome.status == 1
    assert "--voxel-size" in outcome.err


@pytest.fixture
def picked(tmp_path):
    """A STAR file that knows the voxel size, the CSV beside it, and another's CSV."""
    from dep.engine import ClassInfo, Picks

    folder = tmp_path / "run"
    made = Picks(
        xyz=[[10, 10, 10], [40, 40, 40]],
        class_id=[1, 1],
        score=[0.9, 0.8],
        classes=(ClassInfo("a", 60.0),),
        tomogram="TS_01",
        voxel_size=5.0,
        shape=(64, 64, 64),
    )
    for suffix in (".star", ".csv"):
        made.write(folder / f"TS_01{suffix}")
    other = tmp_path / "mine.csv"
    other.write_text("class,x,y,z\na,14,10,10\n")
    return folder / "TS_01.csv", other


def test_a_csv_is_as_long_as_the_star_file_beside_it_says(dep, picked):
    csv, mine = picked
    outcome = dep("compare", csv, mine, "--t-dist", "20A")
    assert outcome.status == 0, outcome.err
    assert "mean distance            20.00 Å" in outcome.out
    csv.with_suffix(".star").unlink()
    outcome = dep("compare", csv, mine, "--t-dist", "20A")
    assert outcome.status == 1
    assert "--voxel-size" in outcome.err


def test_it_is_said_which_files_and_tomograms_were_put_together(dep, picked):
    csv, mine = picked
    outcome = dep("compare", csv, mine, "--t-dist", 5, "--names", "A,B")
    assert f"A: 2 picks ({csv})" in outcome.out
    assert f"B: 1 picks ({mine})" in outcome.out
    assert "taken for one tomogram, whatever their names: TS_01, mine" in outcome.out
    document = dep("compare", csv, mine, "--t-dist", 5, "--json").json
    assert document["read"] == {"TS_01": str(csv), "mine": str(mine)}


def test_what_the_first_format_lacks_is_said_with_the_way_out(dep, picked, tmp_path):
    csv, _ = picked
    many = tmp_path / "many.csv"
    many.write_text("tomogram,class,x,y,z\nTS_01,a,1,1,1\nTS_02,a,1,1,1\n")
    words = ("compare", csv.parent, many, "--t-dist", 5, "-o", tmp_path / "out")
    outcome = dep(*words)
    assert outcome.status == 2
    assert "TS_02" in outcome.err
    assert "another --format, such as csv" in outcome.err
    assert "another --format" not in dep(*words, "--format", "relion5").err
    assert dep(*words, "--format", "csv").status == 0
