"""Simulated files: readable by the rest of dep, whole, and the same however made."""

import json

import mrcfile
import numpy as np
import pytest

from dep.engine import open_volume
from dep.engine.card import ClassInfo
from dep.engine.errors import SettingError
from dep.engine.truth import read_truth
from dep.train.simulate import (
    SimulationError,
    parse_settings,
    simulate_files,
    write,
)


@pytest.fixture(scope="module")
def one(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("one")
    return simulate_files(settings({"gold": 1}), out, count=2, seed=3)


def test_names_count_seeds(one):
    assert [w.tomogram.name for w in one] == ["sim_0003.mrc", "sim_0004.mrc"]
    assert sorted(p.suffix for p in one[0].tomogram.parent.iterdir()) == sorted(
        [".mrc", ".csv", ".json"] * 2
    )


def test_the_tomogram_opens_with_its_voxel_size(one):
    volume = open_volume(one[0].tomogram)
    assert volume.shape == (48, 80, 72)
    assert volume.voxel_size == 10.0
    assert volume.dtype == np.int8


def test_the_truth_reads_as_any_other(one):
    classes = [ClassInfo("cluster150", 150.0), ClassInfo("globule90", 90.0)]
    truth = read_truth(one[0].truth, classes)
    assert len(truth.class_id) == one[0].particles == 10
    assert truth.ignored == {"fiducial": 1}
    assert (
        one[0]
        .truth.read_text()
        .startswith("class,class_id,x,y,z,rot,tilt,psi,instance\n")
    )


def test_the_record_repeats_the_simulation(one, settings):
    record = json.loads(one[0].record.read_text())
    assert record["seed"] == 3
    assert parse_settings(record["settings"]) == settings({"gold": 1})
    assert [c["count"] for c in record["classes"]] == [5, 5, 0, 1]
    assert record["classes"][0]["diameter"] == 150
    assert len(record["tilts"]) == 41
    assert record["drawn"]["defocus"] == 3.0


def test_processes_in_parallel_write_the_same_bytes(one, settings, tmp_path):
    seen = []
    parallel = simulate_files(
        settings({"gold": 1}),
        tmp_path,
        count=2,
        seed=3,
        jobs=2,
        progress=lambda share, name: seen.append((share, name)),
    )
    for ours, theirs in zip(one, parallel, strict=True):
        assert ours.tomogram.read_bytes() == theirs.tomogram.read_bytes()
        assert ours.truth.read_bytes() == theirs.truth.read_bytes()
        assert ours.record.read_bytes() == theirs.record.read_bytes()
    assert sorted(seen) == [(1.0, "sim_0003"), (1.0, "sim_0004")]


def test_bytes_are_the_floats_scaled(simulation, tmp_path):
    write(simulation, tmp_path / "b", kind="int8")
    write(simulation, tmp_path / "f", kind="float32")
    with mrcfile.open(tmp_path / "f.mrc") as mrc:
        assert np.array_equal(mrc.data, simulation.tomogram)
    record = json.loads((tmp_path / "b.json").read_text())
    with mrcfile.open(tmp_path / "b.mrc") as mrc:
        back = mrc.data / record["scale"] + record["offset"]
        kept = np.abs(mrc.data) < 127
    assert np.abs(back - simulation.tomogram)[kept].max() < 0.51 / record["scale"]
    assert kept.mean() > 0.995


def test_files_that_are_there_stay_unless_told(simulation, settings, tmp_path):
    write(simulation, tmp_path / "sim_0000")
    before = (tmp_path / "sim_0000.mrc").read_bytes()
    with pytest.raises(SettingError, match="is there already"):
        simulate_files(settings(), tmp_path)
    assert (tmp_path / "sim_0000.mrc").read_bytes() == before
    simulate_files(settings(), tmp_path, overwrite=True)
    assert (tmp_path / "sim_0000.mrc").read_bytes() != before


def test_a_failure_leaves_nothing(simulation, tmp_path, monkeypatch):
    from dep.train.simulate import files

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_table", full)
    with pytest.raises(SimulationError, match="No space left"):
        write(simulation, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_named(settings, tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(SimulationError, match="file: cannot be written"):
        simulate_files(settings(), place)


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"seed": -1}, {"jobs": 0}, {"kind": "int16"}]
)
def test_wrong_arguments_are_refused(settings, tmp_path, wrong):
    with pytest.raises(SettingError, match="expected"):
        simulate_files(settings(), tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_a_missing_map_is_found_before_anything_is_made(settings, tmp_path):
    with pytest.raises(SettingError, match=r"nothing\.mrc"):
        simulate_files(settings({"molecules": ("nothing.mrc",)}), tmp_path / "out")
    assert not (tmp_path / "out").exists()
