"""`dep pick --tomograms tomograms.star`: what RELION needs to go on with picks."""

import json

import mrcfile
import numpy as np
import pytest
import starfile

from dep.engine import Picks
from dep.engine.errors import PicksError
from dep.engine.formats import relion_project

HEAD = """
data_global

loop_
_rlnTomoName #1
_rlnTomoTiltSeriesPixelSize #2
_rlnTomoTomogramBinning #3
_rlnTomoSizeX #4
_rlnTomoSizeY #5
_rlnTomoSizeZ #6
_rlnTomoReconstructedTomogram #7
_rlnOpticsGroupName #8
"""
OPTICS = "_rlnVoltage #9\n_rlnSphericalAberration #10\n_rlnAmplitudeContrast #11\n"


def tomograms_star(path, names, size, optics="300 2.7 0.07", pixel_size=2.5):
    """Write RELION's list of tomograms of a size (z, y, x in voxels of 10 Å)."""
    z, y, x = (int(edge * 10 / pixel_size) for edge in size)
    rows = [
        f"{name} {pixel_size} 4 {x + 2} {y} {z} Tomograms/rec_{name}.mrc day1 {optics}"
        for name in names
    ]
    path.write_text(HEAD + (OPTICS if optics else "") + "\n".join(rows) + "\n")


def without_particles(path):
    """Leave a tomogram whose every other voxel is bright."""
    with mrcfile.open(path, "r+") as file:
        file.set_data((np.indices(file.data.shape).sum(0) % 2).astype(np.float32))


@pytest.fixture
def project(make_tomogram, tmp_path, monkeypatch):
    """A folder with two tomograms as RELION calls them, and a third of its own name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("rec_TS_01", "rec_TS_02", "other"):
        make_tomogram(tmp_path / "in" / f"{name}.mrc")
    with mrcfile.open(tmp_path / "in" / "other.mrc") as file:
        size = file.data.shape
    tomograms_star(tmp_path / "tomograms.star", ("TS_01", "TS_02", "TS_03"), size)
    return tmp_path


@pytest.fixture
def pick(dep, tiny_model):
    """Run `dep pick in --engine BALLS -o out --tomograms tomograms.star WORDS...`."""

    def run(*words, files=("in",), tomograms=("--tomograms", "tomograms.star")):
        return dep(
            "pick", *files, "--engine", tiny_model, "-o", "out", *tomograms, *words
        )

    return run


def names_in(path):
    rows = starfile.read(path, always_dict=True)["particles"]
    return rows["rlnTomoName"].value_counts().to_dict()


class TestWhatIsWritten:
    def test_names_sizes_and_optics_are_relion_s(self, pick, project):
        outcome = pick(files=("in/rec_TS_01.mrc", "in/rec_TS_02.mrc"))
        assert outcome.status == 0, outcome.err
        assert sorted(path.name for path in (project / "out").iterdir()) == [
            *("TS_01.csv", "TS_01.star", "TS_02.csv", "TS_02.star"),
            *("optimisation_set.star", "particles.star", "run.json"),
        ]
        alone = starfile.read(project / "out" / "TS_02.star", always_dict=True)
        assert alone["optics"].iloc[0].to_dict() == {
            "rlnOpticsGroup": 1,
            "rlnOpticsGroupName": "day1",
            "rlnTomoTiltSeriesPixelSize": 2.5,
            "rlnImagePixelSize": 10.0,
            "rlnVoltage": 300.0,
            "rlnSphericalAberration": 2.7,
            "rlnAmplitudeContrast": 0.07,
        }
        particles = alone["particles"]
        assert set(particles["rlnTomoName"]) == {"TS_02"}
        picks = Picks.read(project / "out" / "TS_02.csv")
        assert picks.tomogram == "TS_02"
        # Two unbinned pixels more along x than the tomogram has: a quarter voxel.
        shape = Picks.read(project / "out" / "TS_02.star").shape
        wanted = (picks.xyz[:, 0] - shape[2] / 2 - 0.25) * 10
        found = particles["rlnCenteredCoordinateXAngst"]
        np.testing.assert_allclose(found, wanted, atol=0.01)

    def test_particles_of_all_and_their_set(self, pick, project):
        outcome = pick(files=("in/rec_TS_01.mrc", "in/rec_TS_02.mrc"))
        assert "out/particles.star: 6 picks of 2 tomograms, and" in outcome.out
        every = starfile.read(project / "out" / "particles.star", always_dict=True)
        assert len(every["optics"]) == 1  # both are of the same group
        for name, rows in every["particles"].groupby("rlnTomoName"):
            path = project / "out" / f"{name}.star"
            own = starfile.read(path, always_dict=True)["particles"]
            assert (rows.to_numpy() == own.to_numpy()).all()
        text = (project / "out" / "optimisation_set.star").read_text()
        assert "_rlnTomoParticlesFile   out/particles.star" in text
        assert "_rlnTomoTomogramsFile   tomograms.star" in text
        record = json.loads((project / "out" / "run.json").read_text())
        assert record["combined"] == ["particles.star", "optimisation_set.star"]
        assert record["status"] == "complete"

    def test_relion4_has_each_tomogram_s_own_pixels(self, pick, project):
        outcome = pick("--format", "relion4")
        assert outcome.status == 1
        assert "other: relion4 counts in unbinned pixels" in outcome.err
        rows = starfile.read(project / "out" / "particles.star", always_dict=True)
        assert names_in(project / "out" / "particles.star") == {"TS_01": 3, "TS_02": 3}
        found = Picks.read(project / "out" / "TS_01.star")
        pixels = rows["particles"].iloc[0]["rlnCoordinateX"]
        assert pixels == pytest.approx(found.xyz[0, 0] * 4, abs=0.01)

    def test_optics_given_overrule_those_of_the_file(self, pick, project):
        pick("--optics", "200,2,0.1", files=("in/rec_TS_01.mrc",))
        optics = starfile.read(project / "out" / "particles.star", always_dict=True)
        (row,) = optics["optics"].to_dict("records")
        assert (row["rlnVoltage"], row["rlnOpticsGroupName"]) == (200.0, "day1")

    def test_optics_without_tomograms_need_the_pixel_size(self, pick, project):
        words = ("--optics", "200,2,0.1", "--pixel-size", "2.5")
        assert pick(*words, files=("in/other.mrc",), tomograms=()).status == 0
        alone = starfile.read(project / "out" / "other.star", always_dict=True)
        assert alone["optics"].iloc[0]["rlnVoltage"] == 200.0
        assert not (project / "out" / "particles.star").exists()

    def test_optics_that_are_not_there_are_asked_for(self, pick, project):
        shape = (20, 20, 20)
        tomograms_star(project / "tomograms.star", ["TS_01"], shape, optics="")
        outcome = pick(files=("in/rec_TS_01.mrc",))
        assert outcome.status == 0
        assert "contrast of TS_01 are not there, so there is no optics" in outcome.err
        blocks = starfile.read(project / "out" / "particles.star", always_dict=True)
        assert list(blocks) == ["particles"]


class TestHowARunEnds:
    def test_a_tomogram_that_relion_does_not_know(self, pick, project):
        """It is picked into files of its own, and said before and after."""
        outcome = pick()
        assert outcome.status == 0
        first = outcome.err.splitlines()[0]
        assert first.startswith("dep: tomograms.star: has no tomogram other: picks")
        assert "note: other: tomograms.star has no tomogram of this name" in outcome.out
        assert names_in(project / "out" / "particles.star") == {"TS_01": 3, "TS_02": 3}
        assert len(Picks.read(project / "out" / "other.star")) == 3

    def test_it_gets_its_name_by_a_rule(self, pick, project):
        outcome = pick("--rename", "oth*=TS_03", files=("in/other.mrc",))
        assert (outcome.status, outcome.err.count("has no tomogram")) == (0, 0)
        assert names_in(project / "out" / "TS_03.star") == {"TS_03": 3}
        assert names_in(project / "out" / "particles.star") == {"TS_03": 3}

    def test_one_that_fails_is_left_out_until_it_is_picked(self, pick, project):
        whole = (project / "in" / "rec_TS_02.mrc").read_bytes()
        (project / "in" / "rec_TS_02.mrc").write_bytes(whole[:2000])
        assert pick().status == 1
        assert names_in(project / "out" / "particles.star") == {"TS_01": 3}
        (project / "in" / "rec_TS_02.mrc").write_bytes(whole)
        outcome = pick("--resume")
        assert outcome.status == 0
        assert "2 skipped" in outcome.out
        assert names_in(project / "out" / "particles.star") == {"TS_01": 3, "TS_02": 3}
        # Nothing is left to pick, and all is written that is to be there.
        (project / "out" / "particles.star").unlink()
        assert pick("--resume").status == 0
        assert names_in(project / "out" / "particles.star") == {"TS_01": 3, "TS_02": 3}

    def test_later_tomograms_are_added(self, pick, project):
        pick(files=("in/rec_TS_01.mrc",))
        assert pick(files=("in/rec_TS_02.mrc",)).status == 0
        assert names_in(project / "out" / "particles.star") == {"TS_01": 3, "TS_02": 3}

    def test_picked_again_and_nothing_found(self, pick, project):
        pick()
        without_particles(project / "in" / "rec_TS_01.mrc")
        outcome = pick("--overwrite", files=("in/rec_TS_01.mrc",))
        assert outcome.status == 0
        assert len(Picks.read(project / "out" / "TS_01.star")) == 0
        assert names_in(project / "out" / "particles.star") == {"TS_02": 3}

    def test_no_picks_at_all(self, pick, project):
        """RELION refuses such a file itself; it is there and says whose picks it is."""
        for name in ("rec_TS_01", "rec_TS_02"):
            without_particles(project / "in" / f"{name}.mrc")
        assert pick().status == 0
        lines = (project / "out" / "particles.star").read_text().splitlines()
        assert sum(line.startswith("# dep: ") for line in lines) == 2
        assert not any(line.startswith("TS_") for line in lines)
        assert (project / "out" / "optimisation_set.star").exists()

    def test_what_cannot_be_combined_fails_the_run_and_nothing_else(
        self, pick, project, monkeypatch
    ):
        pick(files=("in/rec_TS_01.mrc",))
        before = (project / "out" / "particles.star").read_bytes()

        def full(*_words):
            message = "out/particles.star: cannot be written (No space left on device)"
            raise PicksError(message)

        monkeypatch.setattr(relion_project, "write_picks", full)
        outcome = pick(files=("in/rec_TS_02.mrc",))
        assert outcome.status == 1
        assert "out/particles.star was not written: out/particles.star" in outcome.err
        assert (project / "out" / "particles.star").read_bytes() == before
        assert len(Picks.read(project / "out" / "TS_02.star")) == 3
        record = json.loads((project / "out" / "run.json").read_text())
        assert record["status"] == "failed"
        assert record["combined"] == ["particles.star", "optimisation_set.star"]
        monkeypatch.undo()
        monkeypatch.chdir(project)
        assert pick("--resume").status == 0
        assert names_in(project / "out" / "particles.star") == {"TS_01": 3, "TS_02": 3}

    def test_a_tomogram_of_another_size_is_noted(self, pick, project):
        tomograms_star(project / "tomograms.star", ["TS_01"], (90, 20, 44))
        outcome = pick(files=("in/rec_TS_01.mrc",))
        assert outcome.status == 0
        assert "but tomograms.star says 445 x 200 x 900 Å; coordinates" in outcome.out


class TestWrongUse:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--format", "csv"), "--tomograms is for --format relion5 or relion4"),
            (("--optics", "300"), "--optics: expected voltage"),
            (("--rename", "TS"), "--rename: expected OLD=NEW"),
            (("--rename", "rec_TS_01=../../a"), "cannot be called '../../a'"),
            (("--rename", "rec_TS_0*=a"), "would both write out/a.*"),
            (("--rename", "rec_TS_01=particles"), "called like the file of all"),
            (("--rename", "*=x*"), "has none of these tomograms (xother, xrec_TS_01"),
        ],
    )
    def test_nothing_is_begun(self, pick, project, words, said):
        outcome = pick(*words)
        assert (outcome.status, said in outcome.err) == (2, True), outcome.err
        assert not (project / "out").exists()

    @pytest.mark.parametrize(
        ("tomograms", "said"),
        [
            ("in", "in: expected tomograms.star of RELION, found tomograms"),
            ("none.star", "none.star: cannot be read"),
            ("empty.star", "empty.star: not a tomograms.star of RELION"),
        ],
    )
    def test_what_is_no_tomograms_star(self, pick, project, tomograms, said):
        (project / "empty.star").write_text("")
        outcome = pick(tomograms=("--tomograms", tomograms))
        assert (outcome.status, said in outcome.err) == (2, True), outcome.err

    def test_a_file_of_somebody_else_is_kept(self, pick, project):
        (project / "out").mkdir()
        (project / "out" / "particles.star").write_text("mine")
        outcome = pick()
        assert outcome.status == 2
        assert "out/particles.star exists already, and dep pick did" in outcome.err
        assert (project / "out" / "particles.star").read_text() == "mine"
        assert pick("--overwrite").status == 0
        assert names_in(project / "out" / "particles.star") == {"TS_01": 3, "TS_02": 3}


class TestFoldersAreReadOnce:
    """What was combined is not counted beside the files that it was made of."""

    def test_by_convert_and_evaluate(self, pick, dep, project):
        pick()
        words = ("--from", "relion5")
        assert dep("convert", "out", "a.csv", *words).status == 0
        text = (project / "a.csv").read_text()
        assert [text.count(name) for name in ("TS_01,", "TS_02,", "other,")] == [3] * 3
        outcome = dep("evaluate", "out", "a.csv", "--json")
        assert outcome.status == 0, outcome.err

    def test_a_set_of_relion_goes_before_its_particles(self, pick, dep, project):
        pick()
        for name in ("particles.star", "optimisation_set.star"):
            text = (project / "out" / name).read_text()
            lines = [one for one in text.splitlines() if not one.startswith("# dep")]
            text = "\n".join(lines) + "\n"
            (project / "job").mkdir(exist_ok=True)
            (project / "job" / name).write_text(text.replace("out/", "job/"))
        words = ("--from", "relion5")
        outcome = dep("convert", "job", "a.csv", *words)
        assert outcome.status == 0, outcome.err
        assert (project / "a.csv").read_text().count("TS_0") == 6
