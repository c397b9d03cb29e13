"""Malformed files are refused, with the line or field that is wrong."""

import pytest

from dep.engine import ClassInfo, Picks, PicksError

CLASSES = (ClassInfo("1bxn", 122.0), ClassInfo("big one", 216.5))
MALFORMED = [
    ("a.csv", "", "no column class, x, y, z in the first line"),
    ("a.csv", "class,x,y\na,1,2\n", "no column z"),
    ("a.csv", "class,x,y,x,z\na,1,2,3,4\n", "column x is there twice in the first"),
    ("a.csv", "class;x;y;z\na;1;2;3\n", "fields are to be separated by commas"),
    ("a.csv", "class,x,y,z\na,1,2\n", "line 2: expected 4 fields, found 3"),
    ("a.csv", "class,x,y,z\na,1,2,3\nb,1,two,3\n", "line 3, y: expected a number, fo"),
    ("a.csv", "class,x,y,z\na,1,2,nan\n", "line 2, z: expected a number, found 'nan'"),
    ("a.csv", "class,x,y,z\n,1,2,3\n", "line 2, class: expected a name"),
    ("a.csv", "class_id,x,y,z\n1.5,1,2,3\n", "expected a whole number, found '1.5'"),
    ("a.coords", "1 2\n", "line 1: expected 'class x y z' or 'x y z', found 2 fields"),
    ("a.coords", "1 2 3 4\n\na 1 2 3\n", "line 3, class: expected a number, found 'a'"),
    ("a.coords", "0 1 2 3\n", "class 0 in row 1, expected 1 to 255"),
    ("a.coords", "1 1 2 3\n256 1 2 3\n", "class 256 in row 2, expected 1 to 255"),
    ("a.coords", "20000000 1 2 3\n", "class 20000000 in row 1, expected 1 to 255"),
    ("a.coords", "1e30 1 2 3\n", "class 1e+30 in row 1, expected 1 to 255"),
    ("a.csv", "class_id,x,y,z\n3e9,1,2,3\n", "class 3e+09 in row 1, expected 1 to 25"),
    ("a.csv", "class,x,y,z\na,1e300,2,3\n", "expected a number of at most 3.4e+38"),
    ("a.csv", "class,x,y,z,score\na,1,2,3,1e300\n", "line 2, score: expected a numb"),
    ("a.csv", "class,x,y,z\na,1,2," + "9" * 5000, "expected a number, found '99999"),
    ("a.csv", "x" * 200_000, "line 1: not CSV (field larger than field limit"),
    ("a.csv", "class,x,y,z\n" + "x" * 200_000, "line 2: not CSV (field larger"),
    ("a.coords", "1 2 3 inf\n", "line 1, z: expected a number, found 'inf'"),
    ("a.star", "hello", "not a STAR file"),
    ("a.star", "data_a\n_x 1\ndata_a\n_x 2\n", "not a STAR file (duplicate block"),
    ("a.star", "data_\nloop_\n_a\n_a\n1 2\n", "duplicate tag _a"),
    (
        "a.star",
        "data_x\nloop_\n_rlnCoordinateX\n1\n2\nloop_\n_rlnCoordinateY\n1\n",
        "1 rows of rlnCoordinateY, but 2 of coordinates; expected them in one loop",
    ),
    (
        "a.star",
        "data_x\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n"
        "1 2 3\nloop_\n_rlnTomoName\na\nb\n",
        "2 rows of rlnTomoName, but 1 of coordinates",
    ),
    ("a.star", "data_\nloop_\n_rlnCoordinateX\n_b\n1 2 3\n", "not a STAR file"),
    ("a.star", "data_\nloop_\n_a\n1\n", "no coordinates; expected columns rlnCoord"),
    ("a.star", "data_x\nloop_\n_rlnCoordinateX\n1\n", "has no column rlnCoordinateY"),
    (
        "a.star",
        "data_x\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 2 c\n",
        "row 1, rlnCoordinateZ: expected a number, found 'c'",
    ),
]


@pytest.mark.parametrize(("name", "text", "words"), MALFORMED)
def test_malformed_files_are_refused_with_their_place(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(PicksError) as caught:
        Picks.read(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert words in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(PicksError, match="no such file"):
        Picks.read(tmp_path / "none.csv")
    (tmp_path / "dir.csv").mkdir()
    with pytest.raises(PicksError, match="cannot be read"):
        Picks.read(tmp_path / "dir.csv")
    (tmp_path / "a.csv").write_bytes(b"class,x,y,z\n\xff\xfe,1,2,3\n")
    with pytest.raises(PicksError, match="not a text file in UTF-8"):
        Picks.read(tmp_path / "a.csv")


def test_a_class_that_is_not_in_the_table(tmp_path):
    (tmp_path / "a.csv").write_text("class,x,y,z\nx,1,2,3\n")
    with pytest.raises(
        PicksError, match="class 'x' is not among the classes 1bxn, big"
    ):
        Picks.read(tmp_path / "a.csv", classes=CLASSES)


@pytest.mark.parametrize("number", ["0", "3", "1e30", "-5000000000"])
def test_a_number_that_a_given_table_has_not(tmp_path, number):
    (tmp_path / "a.coords").write_text(f"1 1 2 3\n{number} 1 2 3\n")
    with pytest.raises(PicksError, match=r"class \S+ in row 2, expected 1 to 2"):
        Picks.read(tmp_path / "a.coords", classes=CLASSES)


@pytest.mark.parametrize("suffix", [".csv", ".star", ".coords"])
def test_text_in_utf_16_is_told(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text("class,x,y,z\n", encoding="utf-16")
    with pytest.raises(PicksError, match="it is UTF-16: save it as UTF-8"):
        Picks.read(path)
