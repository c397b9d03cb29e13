"""Coordinate files mean what their formats say, and are read back as they were."""

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine import ClassInfo, Picks, PicksError
from dep.engine.formats import format_of

pytestmark = pytest.mark.filterwarnings("ignore::dep.engine.formats.LossWarning")
CLASSES = (ClassInfo("1bxn", 122.0), ClassInfo("big one", 216.5))
SUFFIX = {"relion5": ".star", "star": ".star", "csv": ".csv", "coords": ".coords"}


def picks_of(n=5, **changes):
    rng = np.random.default_rng(n)
    return Picks(
        **{
            "xyz": rng.uniform(0, 99, (n, 3)),
            "class_id": rng.integers(1, 3, n),
            "score": np.sort(rng.uniform(0, 1, n))[::-1],
            "classes": CLASSES,
            "tomogram": "TS_01",
            "shape": (50, 101, 100),
            "voxel_size": 13.48,
            **changes,
        }
    )


def star(path):
    """Read a STAR file with another program's reader."""
    import starfile

    return starfile.read(path, always_dict=True, parse_as_string=["rlnTomoName"])


@pytest.mark.parametrize("form", SUFFIX)
@pytest.mark.parametrize("n", [0, 1, 7, 300])
def test_what_is_written_is_read_back(tmp_path, form, n):
    picks = picks_of(n)
    path = picks.write(tmp_path / "new" / f"TS_01{SUFFIX[form]}", form)
    found = Picks.read(path, classes=CLASSES)
    np.testing.assert_allclose(found.xyz, picks.xyz, atol=6e-4)
    np.testing.assert_array_equal(found.class_id, picks.class_id)
    if form != "coords":
        np.testing.assert_allclose(found.score, picks.score, atol=6e-5)
    assert found.tomogram == "TS_01"
    assert found.classes == CLASSES
    if form in ("relion5", "star"):
        assert found.shape == picks.shape
        assert found.voxel_size == picks.voxel_size
        assert Picks.read(path).classes == CLASSES


class TestRelion5:
    def test_coordinates_count_from_the_centre_in_angstrom(self, tmp_path):
        """Voxel size / 2 is 0; sizes x, y, z are 100, 101, 50."""
        picks = picks_of(2, xyz=[[50, 50.5, 25], [0, 0, 0]], class_id=[1, 2])
        table = star(picks.write(tmp_path / "a.star"))["particles"]
        columns = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
        np.testing.assert_allclose(
            table[columns].to_numpy(),
            [[0, 0, 0], [-50 * 13.48, -50.5 * 13.48, -25 * 13.48]],
            atol=1e-3,
        )
        assert list(table["rlnTomoName"]) == ["TS_01"] * 2
        assert list(table["rlnClassNumber"]) == [1, 2]
        np.testing.assert_allclose(
            table["rlnAutopickFigureOfMerit"], picks.score, atol=1e-4
        )

    def test_binning_cancels_out(self):
        """The same place in a tomogram of half the voxel size is the same number."""
        from dep.engine.formats import Conventions, relion5

        def lines(factor):
            picks = picks_of(
                3,
                xyz=np.array([[1, 2, 3], [40, 50, 20], [99, 10, 5]]) * factor,
                class_id=[1, 1, 2],
                shape=tuple(n * factor for n in (50, 102, 100)),
                voxel_size=12.0 / factor,
            )
            (text,) = relion5.write([picks], Path("a.star"), Conventions()).values()
            return [line for line in text.splitlines() if "TS_01 " in line]

        assert lines(1) == lines(4)

    def test_optics_are_whole_or_left_to_relion(self, tmp_path):
        """RELION 5 makes its own optics, but stops at some that lack anything."""
        from dep.engine.formats import Conventions, write_picks
        from dep.engine.formats.format import Optics

        optics = Optics(300, 2.7, 0.07)
        for how in (Conventions(pixel_size=1.685), Conventions(optics=optics)):
            write_picks([picks_of()], tmp_path / "a.star", "relion5", how)
            blocks = star(tmp_path / "a.star")
            assert list(blocks) == ["particles"]
            assert "rlnOpticsGroup" not in blocks["particles"]
        how = Conventions(pixel_size=1.685, optics=optics)
        write_picks([picks_of()], tmp_path / "a.star", "relion5", how)
        blocks = star(tmp_path / "a.star")
        assert blocks["optics"].iloc[0].to_dict() == {
            "rlnOpticsGroup": 1,
            "rlnOpticsGroupName": "opticsGroup1",
            "rlnTomoTiltSeriesPixelSize": 1.685,
            "rlnImagePixelSize": 13.48,
            "rlnVoltage": 300,
            "rlnSphericalAberration": 2.7,
            "rlnAmplitudeContrast": 0.07,
        }
        assert set(blocks["particles"]["rlnOpticsGroup"]) == {1}

    def test_is_what_a_star_suffix_means(self, tmp_path):
        assert format_of(tmp_path / "a.star") == "relion5"
        assert "particles" in star(picks_of().write(tmp_path / "a.STAR"))

    def test_needs_shape_and_voxel_size(self, tmp_path):
        for lacking in ("shape", "voxel_size"):
            with pytest.raises(
                PicksError, match=r"TS_01: RELION 5 needs the tomogram's "
            ):
                picks_of(**{lacking: None}).write(tmp_path / "a.star")
        assert list(tmp_path.iterdir()) == []

    def test_a_file_of_relion_s_own(self, tmp_path):
        path = tmp_path / "particles.star"
        path.write_text(
            "\n# version 50001\n\ndata_general\n\n_rlnTomoSubTomosAre2DStacks  1\n\n"
            "# version 50001\n\ndata_particles\n\nloop_ \n"
            "_rlnCenteredCoordinateXAngst #1\n_rlnCenteredCoordinateYAngst #2\n"
            "_rlnCenteredCoordinateZAngst #3\n_rlnTomoName #4\n"
            " 0.0   10.0  -20.0   TS_01 \n 5.0   10.0  -20.0   TS_02 \n\n"
        )
        found = Picks.read(path, tomogram="TS_01", shape=(20, 20, 20), voxel_size=10.0)
        np.testing.assert_allclose(found.xyz, [[10, 11, 8]])
        assert found.tomogram == "TS_01"
        with pytest.raises(PicksError, match=r"shape=\.\.\..* voxel_size=\.\.\."):
            Picks.read(path, tomogram="TS_01")
        with pytest.raises(PicksError, match="holds 2 tomograms \\(TS_01, TS_02\\)"):
            Picks.read(path, shape=(20, 20, 20), voxel_size=10.0)
        with pytest.raises(PicksError, match="no tomogram 'TS_03'"):
            Picks.read(path, tomogram="TS_03", shape=(20, 20, 20), voxel_size=10.0)


def test_plain_star_holds_voxels(tmp_path):
    picks = picks_of()
    table = star(picks.write(tmp_path / "a.star", "star"))["particles"]
    columns = [f"rlnCoordinate{axis}" for axis in "XYZ"]
    np.testing.assert_allclose(table[columns].to_numpy(), picks.xyz, atol=6e-4)


@pytest.mark.parametrize("form", ["relion5", "star"])
@pytest.mark.parametrize(
    "name",
    [
        "001",
        "1e5",
        "nan",
        "a b",
        "it's",
        'say "x"',
        "data_1",
        "loop_",
        "#7",
        "-",
        "é",
        "_x",
        "$a",
        "TS_01",
        ";x",
        "?",
        ".",
    ],
)
def test_names_stay_text_for_every_reader(tmp_path, form, name):
    from gemmi import cif

    path = picks_of(3, tomogram=name).write(tmp_path / "a.star", form)
    assert Picks.read(path).tomogram == name
    if name not in ("nan", "it's", 'say "x"'):  # which starfile cannot tell
        assert set(star(path)["particles"]["rlnTomoName"]) == {name}
    column = cif.read(str(path)).find_block("particles").find_loop("_rlnTomoName")
    assert {cif.as_string(value) for value in column} == {name}


@pytest.mark.parametrize("name", ["a\nb", '"both" it\'s'])
def test_names_that_no_star_file_can_hold(tmp_path, name):
    with pytest.raises(PicksError, match="cannot be written to a STAR file"):
        picks_of(tomogram=name).write(tmp_path / "a.star")
    assert list(tmp_path.iterdir()) == []


def test_csv_has_the_columns_promised(tmp_path):
    picks = picks_of(3, tomogram='a, "b"', class_id=[1, 2, 1])
    with picks.write(tmp_path / "a.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["tomogram", "class", "x", "y", "z", "score"]
    assert [row["class"] for row in rows] == ["1bxn", "big one", "1bxn"]
    assert {row["tomogram"] for row in rows} == {'a, "b"'}
    assert float(rows[1]["x"]) == pytest.approx(picks.xyz[1, 0], abs=6e-4)


def test_coords_is_class_x_y_z(tmp_path):
    picks = picks_of(2, xyz=[[1, 2, 3], [4.5, 5, 6]], class_id=[2, 1])
    text = picks.write(tmp_path / "a.coords").read_text()
    assert text == "2\t1.000\t2.000\t3.000\n1\t4.500\t5.000\t6.000\n"


def test_coords_of_three_columns_are_of_one_class(tmp_path):
    (tmp_path / "TS_9.coords").write_text("# x y z\n\n1 2 3\n  4\t5 6.5\n")
    found = Picks.read(tmp_path / "TS_9.coords")
    np.testing.assert_allclose(found.xyz, [[1, 2, 3], [4, 5, 6.5]])
    assert (found.tomogram, found.classes) == ("TS_9", (ClassInfo("1", 0.0),))


@settings(max_examples=30, deadline=None)
@given(
    xyz=st.lists(
        st.tuples(*[st.floats(-1e4, 1e4, width=32)] * 3), min_size=1, max_size=20
    ),
    form=st.sampled_from(list(SUFFIX)),
)
def test_any_coordinate_survives(tmp_path_factory, xyz, form):
    path = tmp_path_factory.mktemp("any") / f"a{SUFFIX[form]}"
    many = len(xyz)
    picks = picks_of(many, xyz=xyz, class_id=[1] * many, score=np.linspace(1, 0, many))
    found = Picks.read(picks.write(path, form), classes=CLASSES)
    np.testing.assert_allclose(found.xyz, picks.xyz, atol=2e-3)


@pytest.mark.parametrize("form", ["relion5", "star"])
def test_a_file_s_own_numbers_are_found_in_another_table_by_name(tmp_path, form):
    path = picks_of(4, class_id=[1, 2, 2, 1]).write(tmp_path / "a.star", form)
    other = (ClassInfo("other", 50.0), *CLASSES[::-1])
    found = Picks.read(path, classes=other)
    assert found.classes == other
    assert found.class_names == ["1bxn", "big one", "big one", "1bxn"]
    with pytest.raises(PicksError, match=r"class 'big one' is not among .* 1bxn"):
        Picks.read(path, classes=CLASSES[:1])
    path.write_text(path.read_text().replace('["big one", 216.5]', '["1bxn", 1]'))
    path.write_text(path.read_text().replace('["1bxn", 122.0], ', ""))
    with pytest.raises(PicksError, match="class 2 in row 2, expected 1 to 1"):
        Picks.read(path, classes=CLASSES)


def test_unknown_formats_list_those_there_are(tmp_path):
    with pytest.raises(PicksError, match=r"unknown format 'xml'.*relion5, star, csv"):
        picks_of().write(tmp_path / "a.star", "xml")
    with pytest.raises(PicksError, match=r"suffix '\.txt'; expected \.star, \.csv"):
        picks_of().write(tmp_path / "a.txt")


def test_a_comment_edited_by_hand_is_passed_over(tmp_path):
    path = picks_of(2).write(tmp_path / "a.star", "star")
    path.write_text(path.read_text().replace('"shape_zyx"', '"shape'))
    found = Picks.read(path)
    assert len(found) == 2
    assert found.shape is None


NONSENSE = [
    ('"shape_zyx": [50, 101, 100]', '"shape_zyx": [50, 101, Infinity]'),
    ('"shape_zyx": [50, 101, 100]', '"shape_zyx": [50, 0, 100]'),
    ('"shape_zyx": [50, 101, 100]', f'"shape_zyx": [50, 101, {10**400}]'),
    ('"shape_zyx": [50, 101, 100]', f'"shape_zyx": {"[" * 99999}'),
    ('"voxel_size": 13.48', f'"voxel_size": {10**400}'),
    ('"voxel_size": 13.48', '"voxel_size": -13.48'),
    ('"voxel_size": 13.48', '"voxel_size": 0'),
    ('"voxel_size": 13.48', '"voxel_size": NaN'),
    ("216.5", "-1"),
    ("216.5", "Infinity"),
]


@pytest.mark.parametrize(("old", "new"), NONSENSE, ids=range(len(NONSENSE)))
def test_a_comment_that_makes_no_sense_is_passed_over(tmp_path, old, new):
    path = picks_of(2).write(tmp_path / "a.star", "star")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    found = Picks.read(path)
    assert len(found) == 2
    assert (found.shape, found.voxel_size) == (None, None)


def test_a_voxel_size_in_which_coordinates_are_lost(tmp_path):
    path = picks_of(2).write(tmp_path / "a.star")
    path.write_text(path.read_text().replace("13.48,", "1e-320,"))
    with pytest.raises(PicksError, match=r"in voxels of \S+ Å are not finite"):
        Picks.read(path)


def test_reading_does_not_blow_up_on_a_long_header(tmp_path):
    """A header whose loop has rows, with many tags, is read in no time."""
    tags = "".join(f"_rlnTag{n}" + "x" * 60 + f" #{n}\n" for n in range(60))
    row = " ".join(["1"] * 60)
    (tmp_path / "a.star").write_text(f"data_\n\nloop_\n{tags}{row}\n")
    start = time.perf_counter()
    with pytest.raises(PicksError, match="no coordinates"):
        Picks.read(tmp_path / "a.star")
    assert time.perf_counter() - start < 1


class TestPicks:
    def test_are_frozen_copies(self):
        xyz = np.zeros((1, 3))
        picks = picks_of(1, xyz=xyz)
        xyz[:] = 9
        assert not picks.xyz.any()
        with pytest.raises(ValueError, match="read-only"):
            picks.xyz[0] = 1
        with pytest.raises(AttributeError):
            picks.xyz = xyz
        assert (picks.xyz.dtype, picks.class_id.dtype, picks.score.dtype) == (
            np.float32,
            np.int32,
            np.float32,
        )

    def test_count_by_class_in_the_table_s_order(self):
        picks = picks_of(3, class_id=[2, 2, 2])
        assert picks.counts() == {"1bxn": 0, "big one": 3}
        assert picks.class_names == ["big one"] * 3
        assert len(picks) == 3

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"xyz": np.zeros((2, 2))}, r"expected coordinates \(n, 3\)"),
            ({"class_id": [1]}, "2 coordinates, but classes of shape"),
            ({"class_id": [0, 1]}, "class ids from 0 to 1, expected 1 to 2"),
            ({"class_id": [1, 3]}, "class ids from 1 to 3"),
            ({"score": [np.nan, 1]}, "not finite"),
        ],
    )
    def test_arrays_that_do_not_fit(self, change, words):
        with pytest.raises(PicksError, match=words):
            picks_of(2, **change)
