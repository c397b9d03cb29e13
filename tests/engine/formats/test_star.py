"""The STAR family: conventions, other programs as judges, and files of any length."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine import ClassInfo, Picks, PicksError
from dep.engine.formats import Conventions, read_table, write_picks
from dep.engine.formats.format import Optics
from dep.engine.formats.frame import Frame
from dep.engine.formats.known_tomograms import known_tomograms
from dep.engine.formats.registry import format_to_read
from dep.engine.formats.star_file import read_star

CLASSES = (ClassInfo("a", 120.0), ClassInfo("b", 60.0))
HOW = Conventions(pixel_size=2.5, optics=Optics(300, 2.7, 0.07), box=9)


def picks_of(name="TS_03", n=5):
    rng = np.random.default_rng(n)
    return Picks(
        xyz=rng.uniform(0, 50, (n, 3)),
        class_id=1 + np.arange(n) % 2,
        score=np.linspace(1, 0.2, n),
        classes=CLASSES,
        tomogram=name,
        shape=(64, 90, 101),
        voxel_size=10.0,
    )


@pytest.mark.parametrize("form", ["relion5", "relion4", "star", "warp", "stopgap"])
def test_files_of_several_tomograms_are_told_and_read(tmp_path, form):
    """By their content: all end in .star."""
    path = tmp_path / "all.star"
    write_picks([picks_of(), picks_of("TS_12", 3)], path, form, HOW)
    assert format_to_read(path) == form
    for one in (picks_of(), picks_of("TS_12", 3)):
        found = Picks.read(path, tomogram=one.tomogram)
        np.testing.assert_allclose(found.xyz, one.xyz, atol=1e-3)
        assert (found.class_names, found.classes) == (one.class_names, CLASSES)
        assert (found.shape, found.voxel_size) == (one.shape, one.voxel_size)


class TestOtherPrograms:
    @pytest.mark.parametrize("form", ["relion5", "relion4"])
    def test_relion(self, tmp_path, form):
        """RELION 3.1.3 (Debian's) picks out the rows of class 2."""
        program = shutil.which("relion_star_handler")
        if program is None:
            pytest.skip("RELION is not installed")
        write_picks([picks_of()], tmp_path / "a.star", form, HOW)
        words = ["--select", "rlnClassNumber", "--minval", "2", "--maxval", "2"]
        run = subprocess.run(
            [program, "--i", "a.star", "--o", "b.star", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        # What RELION 3.1 wrote lacks the columns that came with RELION 5.
        text = (tmp_path / "b.star").read_text()
        assert text.count("TS_03") == 2
        if form == "relion4":
            (tmp_path / "b.star").write_text(text)
            found = Picks.read(tmp_path / "b.star", voxel_size=10.0, pixel_size=2.5)
            np.testing.assert_allclose(found.xyz, picks_of().xyz[1::2], atol=2e-3)

    def test_cryocat_reads_motive_lists(self, tmp_path):
        """Large and not installed with the tests: cryoCAT 0.7.1 has read this."""
        cryomotl = pytest.importorskip("cryocat.cryomotl")
        path = tmp_path / "a_motl.star"
        write_picks([picks_of(), picks_of("TS_12", 3)], path)
        table = cryomotl.StopgapMotl(str(path)).df
        xyz = np.concatenate([picks_of().xyz, picks_of("TS_12", 3).xyz])
        np.testing.assert_allclose(table[["x", "y", "z"]], xyz + 1, atol=1e-3)
        assert list(table["tomo_id"]) == [3] * 5 + [12] * 3

    def test_starfile_reads_boxes(self, tmp_path):
        import starfile

        write_picks([picks_of()], tmp_path / "a.cbox", None, HOW)
        blocks = starfile.read(tmp_path / "a.cbox", always_dict=True)
        boxes = blocks["cryolo"]
        corner = picks_of().xyz - [4.5, 4.5, 0]
        names = [f"Coordinate{axis}" for axis in "XYZ"]
        np.testing.assert_allclose(boxes[names], corner, atol=1e-3)
        assert set(boxes["Depth"]) == {9}
        wanted = sorted({int(z + 0.5) for z in picks_of().xyz[:, 2]})
        slices = blocks["cryolo_include"]
        assert [int(one) for one in np.ravel(slices["slice_index"])] == wanted


def test_a_motive_list_of_another_program(tmp_path):
    """Position plus shift, from 1; tomograms by number."""
    path = tmp_path / "allmotl.star"
    path.write_text(
        "\ndata_stopgap_motivelist\n\nloop_\n_motl_idx\n_tomo_num\n_orig_x\n_orig_y\n"
        "_orig_z\n_score\n_x_shift\n_y_shift\n_z_shift\n_class\n\n"
        "1 7 11 21 31 0.5 0.5 -0.5 0 3\n"
    )
    found = Picks.read(path)
    np.testing.assert_allclose(found.xyz, [[10.5, 19.5, 30]])
    assert (found.tomogram, found.class_names) == ("7", ["3"])


class TestOffsets:
    HEAD = (
        "data_particles\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n"
        "_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnOriginZAngst\n"
    )

    def test_a_refined_particle_is_where_its_offset_says(self, tmp_path):
        (tmp_path / "a.star").write_text(f"{self.HEAD}10 20 30 5 -10 0\n")
        found = Picks.read(tmp_path / "a.star", voxel_size=10.0)
        np.testing.assert_allclose(found.xyz, [[9.5, 21, 30]])
        with pytest.raises(PicksError, match=r"offsets in ångström .* is unknown"):
            Picks.read(tmp_path / "a.star")

    def test_offsets_in_turned_subtomograms_are_refused(self, tmp_path):
        head = f"{self.HEAD}_rlnTomoSubtomogramTilt\n"
        (tmp_path / "a.star").write_text(f"{head}10 20 30 5 -10 0 90\n")
        with pytest.raises(PicksError, match="turned subtomograms"):
            Picks.read(tmp_path / "a.star", voxel_size=10.0)
        (tmp_path / "a.star").write_text(f"{head}10 20 30 0 0 0 90\n")
        assert len(Picks.read(tmp_path / "a.star")) == 1


WORD = st.sampled_from(
    [
        *("1", "-2.5", "1e3", "TS_01", "a%b", "?", ".", "'a b'", '"#"', "nan", "x_"),
        *("_x", "data_", "#c", "loop_", ";", "$a", "stop_"),
    ]
)
AFTER = (
    *("", "\n", "# comment\n", "\n# c\n\ndata_b\n_x 1\n", "# c\n1 2 3\n"),
    *("loop_\n_p\n_q\n_r\n1 2 3\n", "data_b\nloop_\n_q\n1\n", "_s 5\n"),
)


def numbers_of(file):
    """Read every column as numbers and as whole ones, or say what is wrong."""
    found = []
    for loop in file.loops:
        for tag in loop.tags:
            for read in (file.numbers, file.wholes):
                try:
                    found.append(list(read(loop, tag)))
                except PicksError as error:
                    found.append(str(error))
    return found


@given(
    rows=st.lists(st.tuples(WORD, WORD, WORD), max_size=6),
    after=st.sampled_from(AFTER),
)
@settings(max_examples=200, deadline=None)
def test_long_loops_are_read_as_short_ones(tmp_path_factory, rows, after):
    """Split here or parsed by gemmi: the same loops, or an error both times."""
    path = tmp_path_factory.mktemp("any") / "a.star"
    body = "".join(f" {' '.join(row)}\n" for row in rows)
    path.write_text(f"# c\ndata_a\n\nloop_\n_p #1\n_q #2\n_r #3\n{body}{after}")
    outcomes = []
    for long in (1, 10**9):
        try:
            file = read_star(path, long)
            loops = [
                (one.block, [(tag, one.column(tag)) for tag in one.tags])
                for one in file.loops
            ]
            outcomes.append((loops, file.pairs, numbers_of(file)))
        except PicksError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_the_error_of_a_long_loop_names_its_row(tmp_path):
    path = tmp_path / "a.star"
    head = "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n"
    path.write_text(head + "1.0 2.0 3.0\n" * 20_000 + "1 2 c\n")
    with pytest.raises(PicksError, match=r"row 20001, rlnCoordinateZ: .* found 'c'"):
        read_table(path)


def test_a_csv_is_the_same_read_at_once_or_row_by_row(tmp_path):
    """A quote anywhere has it read row by row."""
    plain = "tomogram,class,x,y,z,score\nTS,a,1,2,3,0.5\n TS, b ,4, 5,6,1\n"
    tables = []
    for quoted in (plain, plain.replace(" b ", '" b "')):
        (tmp_path / "a.csv").write_text(quoted)
        tables.append(read_table(tmp_path / "a.csv"))
    assert tables[0].label == tables[1].label == ["a", "b"]
    assert tables[0].tomogram == tables[1].tomogram == ["TS", "TS"]
    np.testing.assert_array_equal(tables[0].xyz, tables[1].xyz)
    np.testing.assert_array_equal(tables[0].score, [0.5, 1])


FIELD = st.sampled_from(
    [
        *(
            "1",
            "-2.5",
            " 3 ",
            "1e3",
            "nan",
            "inf",
            "1e39",
            "",
            "x",
            "1_0",
            "0x1",
            "1,2",
        ),
        *(
            "TS",
            " TS",
            "Å",
            "粒",
            "#",
            "a name that is longer than the first one",
            "1\n",
        ),
    ]
)


@given(
    rows=st.lists(st.tuples(*[FIELD] * 6), min_size=1, max_size=4),
    head=st.sampled_from(["tomogram,class,x,y,z,score", "class_id,z,y,x,score,more"]),
    end=st.sampled_from(["\n", ""]),
)
@settings(max_examples=300)
def test_any_csv_is_the_same_read_at_once_or_row_by_row(
    tmp_path_factory, rows, head, end
):
    """Line ends of Windows have it read row by row."""
    path = tmp_path_factory.mktemp("any") / "a.csv"
    text = "\n".join([head, *(",".join(row) for row in rows)]) + end
    outcomes = []
    for ending in ("\n", "\r\n"):
        path.write_text(text.replace("\n", ending), newline="")
        try:
            table = read_table(path)
            values = [*table.xyz.tolist(), *table.score.tolist()]
            outcomes.append((table.label, table.tomogram, values))
        except PicksError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data_\n_x 1\n", "not a tomograms.star of RELION"),
        ("hello", "not a STAR file"),
        (
            "data_\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\na 0\n",
            "row 1, rlnTomoTiltSeriesPixelSize: expected more than 0, found 0",
        ),
        (
            "data_\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\na b\n",
            "row 1, rlnTomoTiltSeriesPixelSize: expected a number",
        ),
    ],
)
def test_tomograms_star_that_is_none(tmp_path, text, words):
    path: Path = tmp_path / "tomograms.star"
    path.write_text(text)
    with pytest.raises(PicksError, match=r"tomograms\.star: ") as caught:
        known_tomograms(path)
    assert words in str(caught.value)


def test_a_set_whose_particles_are_gone(tmp_path):
    path = tmp_path / "optimisation_set.star"
    path.write_text("data_\n_rlnTomoParticlesFile gone.star\n")
    with pytest.raises(PicksError, match=r"names gone\.star, which is not there"):
        read_table(path, frame=Frame())
