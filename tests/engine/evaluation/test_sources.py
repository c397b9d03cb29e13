"""Picks and truth come together by tomogram, whatever files they are in."""

import numpy as np
import pytest

from dep.engine import ClassInfo, Picks, PicksError
from dep.engine.evaluation.coordinate_files import coordinate_files
from dep.engine.evaluation.czii import CLASSES as CONTEST
from dep.engine.evaluation.report import report_on
from dep.engine.evaluation.sources import Known, gather

KINDS = (ClassInfo("a", 60.0), ClassInfo("b", 90.0))
HEAD = "tomogram,class,x,y,z,score\n"


def picks(name="t", n=3, classes=KINDS, shift=0.0, **changes):
    rng = np.random.default_rng(sum(name.encode()))
    return Picks(
        **{
            "xyz": rng.uniform(0, 90, (n, 3)).round(1) + shift,
            "class_id": rng.integers(1, len(classes) + 1, n),
            "score": np.linspace(1, 0.5, n),
            "classes": classes,
            "tomogram": name,
            "voxel_size": 10.0,
            "shape": (100, 100, 100),
            **changes,
        }
    )


@pytest.fixture
def folders(tmp_path):
    """Three tomograms as STAR and CSV, and their truth as one CSV."""
    for name in ("one", "two", "three"):
        for suffix in (".star", ".csv"):
            picks(name).write(tmp_path / "picks" / f"{name}{suffix}")
    (tmp_path / "picks" / "run.json").write_text("{}")
    (tmp_path / "picks" / "notes.txt").write_text("mine")
    rows = [
        f"{name},{kind},{x:.3f},{y:.3f},{z:.3f},1\n"
        for name in ("three", "two", "one")
        for kind, (x, y, z) in zip(
            picks(name).class_names, picks(name).xyz.tolist(), strict=True
        )
    ]
    truth = tmp_path / "truth.csv"
    truth.write_text(HEAD + "".join(rows))
    return tmp_path / "picks", truth


def test_a_folder_is_read_once_a_tomogram(folders):
    found = coordinate_files(folders[0])
    assert [path.name for path in found] == ["one.star", "three.star", "two.star"]


def test_truth_against_itself_is_perfect(folders):
    gathered = gather([folders[0]], folders[1], Known())
    assert [one.tomogram for one in gathered.cases.each] == ["three", "two", "one"]
    assert gathered.voxel_size == 10
    assert gathered.notes == ()
    report = report_on(gathered.cases)
    total = report.total
    assert total.localisation.f1 == total.mean_class_f1 == total.pooled.f1 == 1
    assert total.macro == {"precision": 1, "recall": 1, "f1": 1}
    assert report.curve.average_precision == report.mean_average_precision == 1
    assert total.mean_distance < 1e-3


def test_files_one_by_one_are_the_folder(folders):
    files = sorted(folders[0].glob("*.star"))
    gathered = gather(files, folders[1], Known())
    assert report_on(gathered.cases).total.localisation.hits == 9


def test_a_tomogram_without_picks_counts_as_missed(folders):
    (folders[0] / "two.star").unlink()
    (folders[0] / "two.csv").unlink()
    gathered = gather([folders[0]], folders[1], Known())
    assert "no picks are given of two" in gathered.notes[0]
    assert report_on(gathered.cases).total.localisation.recall == pytest.approx(2 / 3)
    common = gather([folders[0]], folders[1], Known(common=True))
    assert report_on(common.cases).total.localisation.recall == 1
    assert "left out" in common.notes[0]


def test_picks_without_truth_are_left_out_and_named(folders):
    picks("four").write(folders[0] / "four.star")
    gathered = gather([folders[0]], folders[1], Known())
    assert gathered.notes == ("left out, no truth is given of four",)
    assert len(gathered.cases.each) == 3


def test_one_file_of_picks_takes_its_tomogram_from_many(folders):
    gathered = gather([folders[0] / "two.csv"], folders[1], Known())
    assert [one.tomogram for one in gathered.cases.each] == ["two"]
    assert report_on(gathered.cases).total.localisation.f1 == 1
    assert gathered.source.endswith("two.star")  # the one beside the CSV


def test_one_pair_needs_no_names(tmp_path):
    one = picks("one").write(tmp_path / "one.star")
    other = picks("one", tomogram="other").write(tmp_path / "other.star")
    gathered = gather([one], other, Known())
    assert report_on(gathered.cases).total.localisation.f1 == 1


def test_the_one_wanted(folders):
    gathered = gather([folders[0]], folders[1], Known(tomogram="one"))
    assert [one.tomogram for one in gathered.cases.each] == ["one"]
    with pytest.raises(PicksError, match="no tomogram 'ten'; there is"):
        gather([folders[0]], folders[1], Known(tomogram="ten"))


def test_nothing_in_common(folders, tmp_path):
    truth = tmp_path / "else.csv"
    truth.write_text(HEAD + "x,a,1,1,1,1\ny,a,1,1,1,1\n")
    with pytest.raises(PicksError, match="no tomogram in common: picks of one"):
        gather([folders[0]], truth, Known())


def test_a_tomogram_twice(folders, tmp_path):
    again = picks("one").write(tmp_path / "again.star")
    with pytest.raises(PicksError, match="holds the tomogram one, and so does"):
        gather([folders[0], again], folders[1], Known())


def test_a_folder_of_nothing(tmp_path):
    with pytest.raises(PicksError, match="no coordinate files"):
        coordinate_files(tmp_path)


def test_class_tables_are_put_together_by_name(tmp_path):
    picks("one").write(tmp_path / "picks" / "one.star")
    picks("two", classes=KINDS[::-1]).write(tmp_path / "picks" / "two.star")
    gathered = gather([tmp_path / "picks"], tmp_path / "picks", Known())
    assert gathered.cases.names == ("a", "b")
    assert report_on(gathered.cases).total.mean_class_f1 == 1
    strange = (ClassInfo("a", 61.0),)
    picks("three", classes=strange).write(tmp_path / "picks" / "three.star")
    with pytest.raises(PicksError, match="diameter of a is"):
        gather([tmp_path / "picks"], tmp_path / "picks", Known())


def test_diameters_that_are_given(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(HEAD + "t,x,1,1,1,1\nt,y,50,1,1,1\n")
    gathered = gather([path], path, Known(diameter=70.0, voxel_size=10.0))
    assert [one.diameter for one in gathered.cases.classes] == [70, 70]
    known = Known(diameter=70.0, diameters={"y": 90.0}, voxel_size=10.0)
    sizes = {c.name: c.diameter for c in gather([path], path, known).cases.classes}
    assert sizes == {"x": 70, "y": 90}
    only = gather([path], path, Known(diameters={"x": 9, "y": 9}, voxel_size=10.0))
    assert report_on(only.cases).total.mean_class_f1 == 1
    with pytest.raises(PicksError, match="voxel size of the picks is unknown"):
        gather([path], path, Known(diameter=70.0))
    numbers = tmp_path / "n.coords"
    numbers.write_text("1 1 1 1\n2 50 1 1\n")
    both = gather([numbers], numbers, Known(diameter=70.0, voxel_size=10.0))
    assert both.cases.names == ("1", "2")
    with pytest.raises(PicksError, match="others number them"):
        gather([numbers], path, Known(diameter=70.0, voxel_size=10.0))


def test_the_contests_particles_are_known(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(HEAD + "t,ribosome,1,1,1,1\n")
    known = Known(contest=CONTEST, voxel_size=10.0)
    gathered = gather([path], path, known)
    sizes = {one.name: one.diameter for one in gathered.cases.classes}
    assert sizes["ribosome"] == 300


def test_an_empty_file_is_a_tomogram_of_nothing(tmp_path):
    (tmp_path / "p.csv").write_text(HEAD)
    truth = picks("t").write(tmp_path / "t.star")
    known = Known(diameters={"a": 60, "b": 90}, voxel_size=10.0)
    gathered = gather([tmp_path / "p.csv"], truth, known)
    assert report_on(gathered.cases).total.localisation.recall == 0
    assert len(gathered.cases.each[0].truth) == 3


class TestWithoutClasses:
    """Picks of any class, or of none, count by place; particles keep their sizes."""

    WHERE = "t,{},10,10,10,0.9\nt,{},33,10,10,0.8\nt,{},50,50,50,0.7\n"
    # 3 and 3.5 voxels off: within the radius of b (4.5), the second not within a's (3).
    TRUTH = "t,b,13,10,10,1\nt,a,36.5,10,10,1\nt,vesicle,50,50,50,1\n"

    @pytest.fixture
    def truth(self, tmp_path):
        path = tmp_path / "truth.csv"
        path.write_text(HEAD + self.TRUTH)
        return path

    @pytest.fixture
    def known(self):
        return Known(diameters={"a": 60, "b": 90}, voxel_size=10.0, ignore_classes=True)

    @pytest.mark.parametrize("name", ["a", "b", "dragon", "vesicle"])
    def test_it_does_not_matter_how_picks_are_called(
        self, tmp_path, truth, known, name
    ):
        path = tmp_path / "picks.csv"
        path.write_text(HEAD + self.WHERE.replace("{}", name))
        gathered = gather([path], truth, known)
        report = report_on(gathered.cases)
        place = report.total.localisation
        assert (place.hits, place.picks, place.particles) == (1, 3, 2)
        assert report.total.mean_distance == pytest.approx(3)
        assert gathered.left_out == {"vesicle": 1}
        assert report.to_dict()["classes_ignored"]

    def test_picks_that_have_no_classes(self, tmp_path, truth, known):
        path = tmp_path / "picks.coords"
        path.write_text("10 10 10\n33 10 10\n50 50 50\n")
        gathered = gather([path], truth, known)
        assert report_on(gathered.cases).total.localisation.hits == 1
        assert "whatever their names: picks, t" in gathered.notes[0]

    def test_it_is_the_localisation_of_picks_with_classes(self, folders):
        files, truth = folders
        for number, suffix in enumerate((".star", ".csv")):
            (files / f"one{suffix}").unlink()
            shifted = picks("one", shift=number + 2)
            shifted.write(files / f"one{suffix}")
        told = report_on(gather([files], truth, Known()).cases)
        bare = report_on(gather([files], truth, Known(ignore_classes=True)).cases)
        assert bare.total.localisation == told.total.localisation
        assert bare.total.mean_distance == told.total.mean_distance
        assert bare.curve.average_precision == told.curve.average_precision
        assert [one.localisation for one in bare.each] == [
            one.localisation for one in told.each
        ]

    def test_diameters_are_the_truths_own_first(self, tmp_path, folders):
        other = (ClassInfo("dragon", 10.0),)
        strange = picks("one", classes=other).write(tmp_path / "strange.star")
        known = Known(ignore_classes=True)
        own = gather([strange], folders[0] / "one.star", known)
        assert own.source == str(folders[0] / "one.star")
        assert report_on(own.cases).total.localisation.f1 == 1
        # A CSV knows none, and neither the picks' table nor the bundled one fits.
        with pytest.raises(PicksError, match=r"truth's classes \(.*a.*--diameter"):
            gather([strange], folders[1], Known(ignore_classes=True, tomogram="one"))

    def test_nothing_there(self, tmp_path, known):
        for name in ("p.csv", "t.csv"):
            (tmp_path / name).write_text(HEAD)
        gathered = gather([tmp_path / "p.csv"], tmp_path / "t.csv", known)
        assert report_on(gathered.cases).total.localisation.particles == 0
