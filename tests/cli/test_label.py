"""`dep label` writes what a network would be trained on, on the tomogram's grid."""

import mrcfile
import numpy as np
import pytest

from dep.engine import PicksError
from dep.train.config import load_config
from dep.train.intake import load_data
from dep.train.label_files import write_labels
from dep.train.labels import weak_labels


def volume(path):
    with mrcfile.open(path) as mrc:  # strict: a file that is not MRC2014 raises
        assert mrcfile.validate(path)
        return mrc.data.copy(), float(mrc.voxel_size.x), int(mrc.header.mode)


def test_the_labels_of_a_configuration(dep, run_files, tmp_path):
    outcome = dep("label", run_files.config, "-o", tmp_path / "labels")
    assert outcome.status == 0, outcome.err
    data = load_data(load_config(run_files.config))
    for tomogram in (*data.train, *data.validate):
        labels, size, mode = volume(tmp_path / "labels" / f"{tomogram.name}.mrc")
        seen = tomogram.labels.astype(int)
        assert set(np.unique(labels)) == {0, 1, 2, 3}
        assert (labels[labels > 0] == seen[labels > 0]).all()
        assert size == pytest.approx(10.0)
        assert mode == 0
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == [
        "held.mrc",
        "tomo.mrc",
    ]
    assert "vesicle (2)" in outcome.err  # what is left out is said


def test_a_configuration_may_leave_the_network_to_init(dep, run_files, tmp_path):
    network = "[network]\nwidths = [4, 8]\ncoordinates = false\nstem_stride = 2\n"
    run_files.rewrite((network, ""))
    outcome = dep("label", run_files.config, "-o", tmp_path / "labels")
    assert outcome.status == 0, outcome.err
    assert len(list((tmp_path / "labels").iterdir())) == 2


@pytest.mark.parametrize("kind", ["cubic", "ball", "tball"])
def test_kind_and_diameters_of_a_tomogram_alone(dep, run_files, tmp_path, kind):
    (run_files.folder / "c.coords").write_text("1 10 12 14\n2 30 20 14\n1 11 12 14\n")
    outcome = dep(
        *("label", run_files.folder / "tomo.mrc", "-c", run_files.folder / "c.coords"),
        *("-o", tmp_path / "out", "--kind", kind, "-d", "5", "-d", "2=9", "--json"),
    )
    assert outcome.status == 0, outcome.err
    labels, _, _ = volume(tmp_path / "out/tomo.mrc")
    xyz = [[10, 12, 14], [30, 20, 14], [11, 12, 14]]
    expected = weak_labels((28, 36, 40), xyz, [1, 2, 1], (5, 9), kind)
    assert (labels == expected).all()
    assert outcome.json["classes"][1] == {"name": "2", "label_diameter": 9}
    assert outcome.json["tomograms"][0]["labelled_voxels"] == (expected > 0).sum()


def test_classes_by_name_count_in_the_order_of_the_alphabet(dep, run_files, tmp_path):
    (run_files.folder / "c.csv").write_text("class,x,y,z\nz,9,9,9\na,20,20,20\n")
    tomogram = run_files.folder / "tomo.mrc"
    words = ("label", tomogram, "-c", run_files.folder / "c.csv", "-o", tmp_path / "o")
    assert dep(*words).status == 0
    labels, _, _ = volume(tmp_path / "o/tomo.mrc")
    assert (labels[9, 9, 9], labels[20, 20, 20]) == (2, 1)


def test_more_classes_than_a_signed_byte_holds(tmp_path):
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = 200
    write_labels(tmp_path / "a.mrc", labels, 7.5, ["é" * 100])
    found, size, mode = volume(tmp_path / "a.mrc")
    assert (found == labels).all()
    assert (size, mode) == (7.5, 1)
    labels[1, 2, 3] = 127
    write_labels(tmp_path / "a.mrc", labels, 7.5)
    found, _, mode = volume(tmp_path / "a.mrc")
    assert (found == labels).all()
    assert mode == 0


def test_files_are_whole_or_not_there(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mrcfile.mrcfile.MrcFile, "set_volume", fail)
    with pytest.raises(PicksError, match=r"a\.mrc: cannot be written \(No space"):
        write_labels(tmp_path / "a.mrc", np.zeros((4, 5, 6), np.uint8), 7.5)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unasked(dep, run_files, tmp_path):
    words = ("label", run_files.config, "-o", tmp_path / "labels")
    assert dep(*words).status == 0
    (tmp_path / "labels/tomo.mrc").write_text("mine")
    outcome = dep(*words)
    assert outcome.status == 2
    assert "--overwrite" in outcome.err
    assert (tmp_path / "labels/tomo.mrc").read_text() == "mine"
    assert dep(*words, "--overwrite").status == 0
    assert volume(tmp_path / "labels/tomo.mrc")[0].any()


def test_the_tomograms_themselves_are_never_replaced(dep, run_files):
    before = (run_files.folder / "tomo.mrc").read_bytes()
    outcome = dep("label", run_files.config, "-o", run_files.folder, "--overwrite")
    assert outcome.status == 2
    assert "is the tomogram itself" in outcome.err
    assert (run_files.folder / "tomo.mrc").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--kind", "round"], "expected cubic, ball, tball"),
        (["-d", "8"], "odd number of voxels, 3 or more; found 8"),
        (["-d", "7", "-d", "9"], "said twice for all"),
        (["-d", "a=x"], "expected NAME=NUMBER or a NUMBER, found 'a=x'"),
        (["-d", "zebra=9"], "no class zebra to give a diameter; there are a, bead, b"),
        (["-c", "tomo.csv"], "a configuration names its own"),
    ],
)
def test_words_that_make_no_sense(dep, run_files, tmp_path, words, says):
    outcome = dep("label", run_files.config, "-o", tmp_path / "labels", *words)
    assert outcome.status == 2
    assert says in outcome.err
    assert not (tmp_path / "labels").exists()


def test_a_tomogram_without_coordinates_and_faulty_data(dep, run_files, tmp_path):
    tomogram, out = run_files.folder / "tomo.mrc", tmp_path / "labels"
    outcome = dep("label", tomogram, "-o", out)
    assert outcome.status == 2
    assert "--coordinates FILE" in outcome.err
    outcome = dep("label", tomogram, "-c", run_files.folder / "none.csv", "-o", out)
    assert outcome.status == 2
    assert "none.csv" in outcome.err
    (run_files.folder / "tomo.csv").write_text("class,x,y,z\na,1,2,300\n")
    for source in ([run_files.config], [tomogram, "-c", run_files.folder / "tomo.csv"]):
        outcome = dep("label", *source, "-o", out)
        assert outcome.status == 2
        assert "1 of 1 centres lie outside" in outcome.err
    assert not out.exists()
