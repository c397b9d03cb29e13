"""`dep convert`: any format to any other, and what changes on the way is asked for."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from dep.engine import ClassInfo, Picks
from dep.engine.formats import FORMATS, Conventions, write_picks

CLASSES = (ClassInfo("ribosome", 250.0), ClassInfo("proteasome", 150.0))
SHAPE, SIZE, PIXEL = (60, 91, 100), 10.0, 2.5
TOMOGRAMS = """
data_global

loop_
_rlnTomoName #1
_rlnTomoTiltSeriesPixelSize #2
_rlnTomoTomogramBinning #3
_rlnTomoSizeX #4
_rlnTomoSizeY #5
_rlnTomoSizeZ #6
_rlnTomoReconstructedTomogram #7
_rlnVoltage #8
_rlnSphericalAberration #9
_rlnAmplitudeContrast #10
_rlnOpticsGroupName #11
TS_01 2.5 4 402 364 240 Reconstruct/rec_TS_01.mrc 300 2.7 0.07 session1
TS_02 2.5 4 402 364 240 Reconstruct/rec_TS_02.mrc 300 2.7 0.07 session1
"""


def picks_of(name="TS_01", n=6, **changes):
    rng = np.random.default_rng(n)
    values = {
        "xyz": rng.uniform(0, 59, (n, 3)),
        "class_id": 1 + np.arange(n) % 2,
        "score": np.linspace(1, 0.1, n),
        "classes": CLASSES,
        "tomogram": name,
        "shape": SHAPE,
        "voxel_size": SIZE,
    }
    return Picks(**{**values, **changes})


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with one CSV of two tomograms."""
    monkeypatch.chdir(tmp_path)
    write_picks([picks_of(), picks_of("TS_02", 4)], tmp_path / "both.csv")
    return tmp_path


def test_from_every_format_to_every_other(dep, here):
    how = Conventions(pixel_size=PIXEL, box=8)
    frame = ("--shape", "100,91,60", "--voxel-size", SIZE, "--pixel-size", PIXEL)
    for form, one in FORMATS.items():
        write_picks([picks_of()], one.target_of(here / form, "TS_01"), form, how)
        source = one.target_of(here / form, "TS_01")
        words = ("--from", form, *frame, "--tomogram", "TS_01")
        outcome = dep("convert", source, here / f"{form}.csv", *words)
        assert outcome.status == 0, outcome.err
        found = Picks.read(here / f"{form}.csv")
        assert (len(found), found.tomogram) == (6, "TS_01")
        for axis in range(3):
            np.testing.assert_allclose(
                np.sort(found.xyz[:, axis]),
                np.sort(picks_of().xyz[:, axis]),
                atol=2e-3,
            )
        target = one.target_of(here / "again" / form, "TS_01")
        words = ("--to", form, "--box", 8, *frame)
        outcome = dep("convert", here / f"{form}.csv", target, *words)
        assert outcome.status == 0, outcome.err
        assert target.exists()


class TestRelion5:
    def test_optimisation_set_optics_and_the_unbinned_centre(self, dep, here):
        """402 unbinned pixels are 100.5 voxels: the centre is not that of 100."""
        (here / "tomograms.star").write_text(TOMOGRAMS)
        words = ("--tomograms", "tomograms.star")
        outcome = dep("convert", "both.csv", "particles.star", *words)
        assert (outcome.status, outcome.err) == (0, "")
        import starfile

        blocks = starfile.read(here / "particles.star", always_dict=True)
        assert list(blocks) == ["optics", "particles"]
        assert list(blocks["optics"]["rlnTomoTiltSeriesPixelSize"]) == [PIXEL]
        first = blocks["particles"].iloc[0]
        assert first["rlnTomoName"] == "TS_01"
        x = picks_of().xyz[0, 0]
        wanted = (x * 4 - 402 / 2) * PIXEL
        assert first["rlnCenteredCoordinateXAngst"] == pytest.approx(wanted, abs=0.01)
        whole = (here / "optimisation_set.star").read_text()
        assert "_rlnTomoParticlesFile   particles.star" in whole
        assert "_rlnTomoTomogramsFile   tomograms.star" in whole
        # And back, by the set alone, stripped of what dep itself remembers.
        text = (here / "particles.star").read_text()
        kept = [line for line in text.splitlines() if not line.startswith("# dep")]
        (here / "particles.star").write_text("\n".join(kept) + "\n")
        assert dep("convert", "optimisation_set.star", "back.csv").status == 0
        back = Picks.read(here / "back.csv", tomogram="TS_01")
        np.testing.assert_allclose(back.xyz, picks_of().xyz, atol=2e-3)

    def test_files_named_as_relion_reconstructed_them(self, dep, here):
        (here / "tomograms.star").write_text(TOMOGRAMS)
        picks_of("rec_TS_01").write(here / "rec_TS_01.csv")
        words = ("--tomograms", "tomograms.star")
        assert dep("convert", "rec_TS_01.csv", "a.star", *words).status == 0
        assert Picks.read(here / "a.star").tomogram == "TS_01"
        picks_of("other").write(here / "other.csv")
        words = (*words, "--shape", "100,91,60", "--voxel-size", SIZE)
        outcome = dep("convert", "other.csv", "b.star", *words)
        # The set beside it is that of other particles.
        assert outcome.status == 2
        assert "optimisation_set.star: exists already; replace with" in outcome.err
        assert not (here / "b.star").exists()
        outcome = dep("convert", "other.csv", "b.star", *words, "--overwrite")
        assert "tomograms.star: has no tomogram other; give" in outcome.err
        assert "contrast of other are not there, so there is no optics" in outcome.err

    @pytest.mark.parametrize(
        ("centre", "origin"), [("half", 45.5), ("floor", 45.0), ("middle", 45.0)]
    )
    def test_the_centre_is_the_one_asked_for(self, dep, here, centre, origin):
        """Of 91 voxels along y."""
        frame = ("--shape", "100,91,60", "--voxel-size", SIZE)
        picks_of(n=1, xyz=[[0, 20, 0]]).write(here / "a.csv")
        assert dep("convert", "a.csv", "a.star", *frame, "--centre", centre).status == 0
        row = (here / "a.star").read_text().splitlines()[-2].split()
        assert float(row[2]) == pytest.approx((20 - origin) * SIZE)
        words = ("--from-centre", centre)
        assert dep("convert", "a.star", "b.csv", *words).status == 0
        np.testing.assert_allclose(Picks.read(here / "b.csv").xyz, [[0, 20, 0]])


class TestScale:
    def test_relion4_counts_in_unbinned_pixels(self, dep, here):
        frame = ("--voxel-size", SIZE, "--tomogram", "TS_01")
        words = ("--to", "relion4", "--binning", 4, *frame)
        assert dep("convert", "both.csv", "a.star", *words).status == 0
        row = (here / "a.star").read_text().splitlines()[-2].split()
        assert float(row[1]) == pytest.approx(picks_of().xyz[-1, 0] * 4, abs=2e-3)
        text = (here / "a.star").read_text()
        (here / "a.star").write_text(text.split("\n", 1)[1])  # without our comment
        unbinned = Picks.read(here / "a.star")
        assert unbinned.voxel_size == PIXEL
        np.testing.assert_allclose(unbinned.xyz, picks_of().xyz * 4, atol=2e-3)
        binned = Picks.read(here / "a.star", voxel_size=SIZE)
        np.testing.assert_allclose(binned.xyz, picks_of().xyz, atol=2e-3)

    def test_without_the_unbinned_pixel_size_it_is_refused(self, dep, here):
        outcome = dep("convert", "both.csv", "a.star", "--to", "relion4")
        assert outcome.status == 2
        assert "TS_01: RELION 4 counts in unbinned pixels" in outcome.err
        assert not (here / "a.star").exists()

    def test_another_binning(self, dep, here):
        words = ("--voxel-size", SIZE, "--to-voxel-size", 5, "--tomogram", "TS_01")
        assert dep("convert", "both.csv", "a.csv", *words).status == 0
        found = Picks.read(here / "a.csv")
        np.testing.assert_allclose(found.xyz, picks_of().xyz * 2, atol=2e-3)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--flip", "y"), [1, 91 - 1 - 2, 3]),
        (("--flip", "x,z"), [100 - 1 - 1, 2, 60 - 1 - 3]),
        (("--swap-yz",), [1, 3, 2]),
        (("--swap-yz", "--flip", "z"), [1, 3, 91 - 1 - 2]),
    ],
)
def test_axes_are_exchanged_and_mirrored(dep, here, words, wanted):
    picks_of(n=1, xyz=[[1, 2, 3]]).write(here / "a.csv")
    words = ("--shape", "100,91,60", *words)
    assert dep("convert", "a.csv", "b.csv", *words).status == 0
    np.testing.assert_allclose(Picks.read(here / "b.csv").xyz, [wanted])
    assert dep("convert", "a.csv", "c.csv", "--flip", "y").status == 2  # which size?


class TestNames:
    def test_rules_and_a_table(self, dep, here):
        (here / "names.csv").write_text("TS_02,Position_2\n")
        words = ("--rename", "TS_*=lab_*", "--names", "names.csv")
        assert dep("convert", "both.csv", "a.csv", *words).status == 0
        text = (here / "a.csv").read_text()
        assert "lab_01," in text
        assert "Position_2," in text
        assert "TS_" not in text

    @pytest.mark.parametrize("rule", ["TS_01", "=b", "a=", "a*b*=c", "a=b*"])
    @pytest.mark.usefixtures("here")
    def test_rules_that_are_none(self, dep, rule):
        outcome = dep("convert", "both.csv", "a.csv", "--rename", rule)
        assert outcome.status == 2
        assert "--rename: " in outcome.err

    def test_a_folder_gets_a_file_for_each_tomogram(self, dep, here):
        assert dep("convert", "both.csv", "out", "--to", "coords").status == 0
        assert sorted(path.name for path in (here / "out").iterdir()) == [
            "TS_01.coords",
            "TS_02.coords",
        ]
        outcome = dep("convert", "both.csv", "out.coords")
        assert outcome.status == 2
        assert "holds one tomogram a file" in outcome.err

    def test_warp_finds_its_tilt_series(self, dep, here):
        assert dep("convert", "both.csv", "a.star", "--to", "warp").status == 0
        assert "_rlnMicrographName" in (here / "a.star").read_text()
        assert "TS_01.tomostar " in (here / "a.star").read_text()
        assert Picks.read(here / "a.star", tomogram="TS_02").tomogram == "TS_02"


def test_folders_of_several_formats(dep, here):
    """One format is chosen by name; files of others with its ending are passed over."""
    how = Conventions(pixel_size=PIXEL)
    for form in ("relion4", "stopgap", "csv"):
        write_picks(
            [picks_of()], FORMATS[form].target_of(here / "in", "TS_01"), form, how
        )
    outcome = dep("convert", "in", "a.csv")
    assert outcome.status == 2
    assert "in: holds .csv, .star, maybe the same picks" in outcome.err
    for form in ("relion4", "stopgap", "csv"):
        outcome = dep("convert", "in", f"{form}.csv", "--from", form)
        assert (outcome.status, outcome.err) == (0, "")
        assert len(Picks.read(here / f"{form}.csv")) == 6
    write_picks([picks_of()], here / "in", "copick")
    assert "a folder of picks" in dep("convert", "in", "b.csv").err
    words = ("--from", "copick", "--voxel-size", SIZE)
    assert dep("convert", "in", "b.csv", *words).status == 0


@pytest.mark.usefixtures("here")
def test_losses_are_said_once(dep):
    outcome = dep("convert", "both.csv", "out", "--to", "coords")
    assert outcome.err.count("has no place for scores") == 1
    assert "by number only (1 = ribosome, 2 = proteasome)" in outcome.err
    outcome = dep("convert", "both.csv", "all_motl.star", "--json")
    document = json.loads(outcome.out)
    assert document["format"] == "stopgap"
    (one,) = document["written"]
    assert (one["picks"], one["tomograms"]) == (10, 2)
    assert "tomograms by number only (1 = TS_01, 2 = TS_02)" in one["losses"][1]


def test_choosing(dep, here):
    words = ("--keep", "ribosome", "--min-score", 0.3, "--tomogram", "TS_01")
    assert dep("convert", "both.csv", "a.csv", *words).status == 0
    found = Picks.read(here / "a.csv")
    assert set(found.class_names) == {"ribosome"}
    assert found.score.min() >= 0.3
    outcome = dep("convert", "both.csv", "b.csv", "--keep", "virus")
    assert outcome.status == 2
    assert "no class virus; there are ribosome, proteasome" in outcome.err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("both.csv",), 2, "expected IN... OUT"),
        (("none.csv", "a.star"), 1, "none.csv: no such file"),
        (("both.csv", "a.txt"), 2, "no coordinate format goes with the suffix '.txt'"),
        (("both.csv", "a.star", "--to", "xml"), 2, "unknown format 'xml'"),
        (("both.csv", "both.csv"), 2, "exists already; replace with --overwrite"),
        (("both.csv", "a.star", "--centre", "left"), 2, "--centre: expected half"),
        (("both.csv", "a.star", "--flip", "w"), 2, "--flip: expected some of x, y, z"),
        (("both.csv", "a.star", "--voxel-size", "0"), 2, "--voxel-size: expected"),
        (("both.csv", "a.star", "--optics", "300"), 2, "--optics: expected voltage"),
        (("both.csv", "a.star", "--classes", "a=b"), 2, "--classes: expected NAME"),
        ((".", "a.star"), 2, "voxel size, which are unknown; give both (--shape X,Y,Z"),
        (("nowhere", "a.star"), 1, "nowhere: no such file or folder"),
        (("both.csv", "a.csv", "--min-score", "nan"), 2, "--min-score: expected a"),
        (("both.csv", "-"), 2, "-: expected --to FORMAT"),
        (("both.csv", "-", "--to", "csv", "--json"), 2, "-: expected --to FORMAT"),
        (("both.csv", "-", "--to", "copick"), 2, "writes a folder of files"),
        (("both.csv", "-", "--to", "dynamo"), 2, "dynamo writes NAME.doc too"),
    ],
)
def test_wrong_use(dep, here, words, status, said):
    outcome = dep("convert", *words)
    assert outcome.status == status
    assert said in outcome.err
    assert not (here / "a.star").exists()


def test_the_formats_are_listed(dep):
    outcome = dep("convert", "--from", "?")
    assert outcome.status == 0
    assert all(f"\n{form} " in f"\n{outcome.out}" for form in FORMATS)


def test_nothing_to_convert_is_wrong_use(dep):
    outcome = dep("convert")
    assert outcome.status == 2
    assert "IN... OUT" in outcome.err


def test_json_and_xml_of_other_kinds_in_a_folder_are_passed_over(dep, tmp_path):
    folder = tmp_path / "picks"
    folder.mkdir()
    write_picks([picks_of()], folder / "TS_01.csv", "csv")
    (folder / "summary.json").write_text("{}")
    (folder / "session.xml").write_text("<Session/>")
    outcome = dep("convert", folder, tmp_path / "out.csv")
    assert outcome.status == 0, outcome.err
    assert "TS_01" in (tmp_path / "out.csv").read_text()


class TestStreams:
    """Standard output, pipes and devices take what is one file."""

    @pytest.mark.parametrize("out", ["-", "/dev/stdout"])
    def test_standard_output_holds_the_file_alone(self, dep, here, out):
        for form in ("csv", "star", "stopgap"):
            assert dep("convert", "both.csv", f"{form}.file", "--to", form).status == 0
            outcome = dep("convert", "both.csv", out, "--to", form)
            assert outcome.status == 0, outcome.err
            assert outcome.out == (here / f"{form}.file").read_text()
        words = ("--tomogram", "TS_01", "--to", "coords")
        outcome = dep("convert", "both.csv", out, *words)
        assert len(outcome.out.splitlines()) == 6
        assert "dep: coords has no place for scores" in outcome.err

    def test_an_optimisation_set_is_no_part_of_it(self, dep, here):
        (here / "tomograms.star").write_text(TOMOGRAMS)
        words = ("--to", "relion5", "--tomograms", "tomograms.star")
        outcome = dep("convert", "both.csv", "-", *words)
        assert (outcome.status, outcome.err) == (0, "")
        assert "data_optics" in outcome.out
        assert not (here / "optimisation_set.star").exists()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_a_named_pipe(self, dep, here):
        os.mkfifo(here / "pipe")
        found = []
        reader = threading.Thread(
            target=lambda: found.append((here / "pipe").read_text())
        )
        reader.start()
        assert dep("convert", "both.csv", "pipe", "--to", "csv").status == 0
        reader.join()
        assert found == [(here / "both.csv").read_text()]


def test_files_beside_the_one_named_are_not_replaced_either(dep, here):
    (here / "a.doc").write_text("mine")
    outcome = dep("convert", "both.csv", "a.tbl")
    assert outcome.status == 2
    assert "a.doc: exists already; replace with --overwrite" in outcome.err
    assert (here / "a.doc").read_text() == "mine"
    assert dep("convert", "both.csv", "a.tbl", "--overwrite").status == 0
    words = ("--to", "copick", "--voxel-size", SIZE)
    assert dep("convert", "both.csv", "project", *words).status == 0
    outcome = dep("convert", "both.csv", "project", *words)
    assert outcome.status == 2
    assert "dep_0_ribosome.json and 3 more: exists already" in outcome.err


def test_what_is_named_twice_counts_once(dep, here):
    (here / "link.csv").symlink_to("both.csv")
    files = ("both.csv", "./both.csv", "link.csv")
    assert dep("convert", *files, "a.csv").status == 0
    assert (here / "a.csv").read_text() == (here / "both.csv").read_text()


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_full_disk_leaves_what_was_there(here):
    """A file may grow to 4 KiB: what does not fit is not there at all."""
    picks_of(n=400).write(here / "large.csv")
    (here / "a.csv").write_text("before")
    limited = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "from dep.cli.main import app; app()"
    )
    words = ("convert", "large.csv", "a.csv", "--overwrite")
    ended = subprocess.run(
        [sys.executable, "-c", limited, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr == "dep: a.csv: cannot be written (File too large)\n"
    assert (here / "a.csv").read_text() == "before"
    assert {path.name for path in here.iterdir()} == {"a.csv", "both.csv", "large.csv"}


def test_a_tomogram_of_another_size_is_said(dep, here):
    (here / "tomograms.star").write_text(
        TOMOGRAMS.replace("402 364 240", "402 240 364")
    )
    words = ("--shape", "100,91,60", "--voxel-size", SIZE)
    outcome = dep(
        "convert", "both.csv", "a.star", *words, "--tomograms", "tomograms.star"
    )
    assert "TS_01: is 1000 x 910 x 600 Å (x, y, z), but tomograms.star" in outcome.err
    swapped = dep(
        "convert",
        "both.csv",
        "b.star",
        *words,
        "--swap-yz",
        "--overwrite",
        "--tomograms",
        "tomograms.star",
    )
    assert (swapped.status, swapped.err) == (0, "")


def test_the_rules_of_the_user_go_before_relion_s_names(dep, here):
    (here / "tomograms.star").write_text(TOMOGRAMS)
    picks_of("rec_TS_01").write(here / "rec_TS_01.csv")
    words = ("--rename", "rec_*_01=*_02", "--tomograms", "tomograms.star")
    assert dep("convert", "rec_TS_01.csv", "a.csv", *words).status == 0
    assert Picks.read(here / "a.csv").tomogram == "TS_02"


def test_a_relion_5_file_of_dep_says_its_own_centre(dep, here):
    """Written when the unbinned size was unknown, it is read right when it is known."""
    picks_of(n=1, xyz=[[10, 20, 30]]).write(here / "a.star")
    (here / "tomograms.star").write_text(TOMOGRAMS)
    words = ("--tomograms", "tomograms.star")
    assert dep("convert", "a.star", "a.csv", *words).status == 0
    np.testing.assert_allclose(Picks.read(here / "a.csv").xyz, [[10, 20, 30]])
    assert dep("convert", "a.star", "b.star", *words).status == 0
    row = (here / "b.star").read_text().splitlines()[-2].split()
    assert float(row[1]) == pytest.approx((10 * 4 - 402 / 2) * PIXEL)
    # Of a size that the user knows better, the centre is another too.
    words = ("--shape", "110,91,60")
    assert dep("convert", "a.star", "c.csv", *words).status == 0
    np.testing.assert_allclose(Picks.read(here / "c.csv").xyz, [[15, 20, 30]])
