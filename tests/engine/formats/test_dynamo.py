"""Dynamo tables: columns, numbers of tomograms, companions, and what is refused."""

import warnings

import numpy as np
import pytest

from dep.engine import ClassInfo, Picks, PicksError
from dep.engine.formats import FORMATS, LossWarning, write_picks

CLASSES = (ClassInfo("1bxn", 122.0), ClassInfo("big one", 216.5))
TOMOGRAM = "TS_012"


def write(path, *picks):
    write_picks(picks, path, "dynamo")
    return path


def rows_of(path):
    return [line.split(" ") for line in path.read_text().splitlines()]


def test_dynamotable_reads_the_columns(tmp_path, picks_of):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dynamotable = pytest.importorskip("dynamotable")
        path = write(tmp_path / "TS_012.tbl", picks_of())
        table = dynamotable.read(path, path.with_suffix(".doc"))
    assert list(table["tag"]) == [1, 2, 3]
    np.testing.assert_allclose(
        table[["x", "y", "z"]], [[1, 1, 1], [100, 101, 50], [11.25, 21.5, 31.75]]
    )
    assert not table[["dx", "dy", "dz", "tdrot", "tilt", "narot"]].to_numpy().any()
    assert list(table["cc"]) == [0.875, 0.5, 0.25]
    assert list(table["tomo"]) == [12] * 3
    assert list(table["class"]) == [1, 2, 1]
    assert list(table["aligned_value"]) == [1] * 3
    assert list(table["apix"]) == [10] * 3
    assert list(table["tomo_file"]) == ["TS_012.mrc"] * 3


def test_a_row_has_41_columns(tmp_path, picks_of):
    rows = rows_of(write(tmp_path / "a.tbl", picks_of()))
    assert {len(row) for row in rows} == {41}


def test_the_volume_list_is_what_dtcrop_takes(tmp_path, picks_of):
    write(tmp_path / "TS_012.tbl", picks_of())
    assert (tmp_path / "TS_012.vll").read_text().splitlines() == [
        "# class 1 is '1bxn'",
        "# class 2 is 'big one'",
        "TS_012.mrc",
        "* index = 12",
        "* apix = 10",
        "> TS_012.tbl",
    ]


def test_classes_by_number_are_told(tmp_path, picks_of):
    with pytest.warns(LossWarning, match=r"by number only \(1 = 1bxn, 2 = big one\)"):
        picks_of().write(tmp_path / "a.tbl")


def test_tables_of_several_tomograms(tmp_path, picks_of):
    """Their own numbers where these tell them apart; no volume list: dtcrop would crop
    all particles from each."""
    path = write(tmp_path / "all.tbl", picks_of("TS_012"), picks_of("TS_003"))
    assert [row[19] for row in rows_of(path)] == ["12"] * 3 + ["3"] * 3
    assert [row[0] for row in rows_of(path)] == list("123456")
    assert (tmp_path / "all.doc").read_text() == "12 TS_012.mrc\n3 TS_003.mrc\n"
    assert not (tmp_path / "all.vll").exists()
    found = Picks.read(path, tomogram="TS_003", classes=CLASSES)
    np.testing.assert_array_equal(found.xyz, picks_of().xyz)
    with pytest.raises(PicksError, match=r"holds 2 tomograms \(TS_012, TS_003\)"):
        Picks.read(path)


@pytest.mark.parametrize("names", [("a1", "b1"), ("a", "b"), ("TS_0", "TS_1")])
def test_numbers_that_do_not_tell_tomograms_apart(tmp_path, names, picks_of):
    path = write(tmp_path / "all.tbl", *map(picks_of, names))
    assert [row[19] for row in rows_of(path)] == ["1"] * 3 + ["2"] * 3


def test_no_tomograms_and_no_picks(tmp_path, picks_of):
    assert write(tmp_path / "none.tbl").read_text() == ""
    empty = picks_of(xyz=np.zeros((0, 3)), class_id=[], score=[])
    assert len(Picks.read(write(tmp_path / "empty.tbl", empty))) == 0


def row(**columns):
    fields = ["0"] * 41
    for column, value in columns.items():
        fields[int(column.removeprefix("c")) - 1] = value
    return " ".join(fields)


class TestTablesOfDynamo:
    def test_a_particle_lies_at_position_plus_shift(self, tmp_path):
        (tmp_path / "a.tbl").write_text(
            row(c24="10", c25="20", c26="30", c4="1.5", c5="-2", c6=".25", c22="2")
            + "\n"
        )
        found = Picks.read(tmp_path / "a.tbl", classes=CLASSES)
        np.testing.assert_array_equal(found.xyz, [[10.5, 17, 29.25]])
        assert found.class_names == ["big one"]

    def test_without_classes_all_are_of_one(self, tmp_path):
        (tmp_path / "a.tbl").write_text(f"{row()}\n{row()}\n")
        assert Picks.read(tmp_path / "a.tbl").counts() == {"1": 2}

    def test_complex_numbers_in_unused_columns(self, tmp_path):
        """Dynamo's axis difference sometimes is one."""
        (tmp_path / "a.tbl").write_text(row(c28="0.5+1.2i", c24="2") + "\n")
        np.testing.assert_array_equal(Picks.read(tmp_path / "a.tbl").xyz, [[1, -1, -1]])

    def test_numbers_are_names_where_nothing_names_the_tomograms(self, tmp_path):
        (tmp_path / "a.tbl").write_text(f"{row(c20='4')}\n{row(c20='7')}\n")
        assert Picks.read(tmp_path / "a.tbl", tomogram="7").tomogram == "7"

    def test_windows_paths_in_the_table_map(self, tmp_path):
        (tmp_path / "a.tbl").write_text(row(c20="4") + "\n")
        (tmp_path / "a.doc").write_text("4 D:\\data set\\TS_04.rec\n")
        assert Picks.read(tmp_path / "a.tbl").tomogram == "TS_04"

    def test_another_binning(self, tmp_path):
        (tmp_path / "a.tbl").write_text(row(c24="9", c25="9", c26="9", c36="5") + "\n")
        found = Picks.read(tmp_path / "a.tbl", voxel_size=20.0)
        np.testing.assert_array_equal(found.xyz, [[2, 2, 2]])
        assert Picks.read(tmp_path / "a.tbl").voxel_size == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3\n", "line 1: expected 26 to 42 columns, found 3"),
        (f"{row()}\n\n{row()} 0\n", "line 3: expected 41 columns, found 42"),
        (row(c24="x"), "line 1, column 24: expected a number, found 'x'"),
        (row(c6="nan"), "line 1, column 6: expected a number"),
        (row(c20="1.5"), "line 1, column 20: expected a whole number"),
        (row(c22="-1"), "class -1 in row 1"),
        (f"{row(c22='1')}\n{row()}", "class 0 in row 2"),
    ],
)
def test_malformed_tables(tmp_path, text, words):
    (tmp_path / "a.tbl").write_text(text)
    with pytest.raises(PicksError, match=rf"a\.tbl: {words}"):
        Picks.read(tmp_path / "a.tbl")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n", "line 1: expected a tomogram number and its file"),
        ("one TS_01.mrc\n", "line 1, tomogram number: expected a number"),
    ],
)
def test_malformed_table_maps(tmp_path, text, words):
    (tmp_path / "a.tbl").write_text(row() + "\n")
    (tmp_path / "a.doc").write_text(text)
    with pytest.raises(PicksError, match=rf"a\.doc: {words}"):
        Picks.read(tmp_path / "a.tbl")


def test_names_with_line_breaks_are_refused(tmp_path, picks_of):
    with pytest.raises(PicksError, match="on one line"):
        picks_of("a\nb").write(tmp_path / "a.tbl")
    assert FORMATS["dynamo"].suffix == ".tbl"
