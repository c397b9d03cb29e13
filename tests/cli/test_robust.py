"""`dep pick --robust`: a few voxels far away need not decide what the network sees."""

import json

import mrcfile


def test_a_bright_edge_hides_particles_from_plain_statistics_alone(
    dep, tiny_model, make_tomogram, tmp_path
):
    path = tmp_path / "TS_01.mrc"
    voxels = make_tomogram(path)
    voxels[:, :, -1] += 3000
    with mrcfile.open(path, "r+") as mrc:
        mrc.set_data(voxels)
        mrc.voxel_size = 10.0
    found = {}
    for words in ((), ("--robust",)):
        out = tmp_path / "_".join(("out", *words))
        outcome = dep("pick", path, "--engine", tiny_model, "-o", out, *words)
        assert outcome.status == 0, outcome.err
        (entry,) = json.loads((out / "run.json").read_text())["tomograms"].values()
        found[entry["settings"]["statistics"]] = entry["classes"]["dark"]
    assert found["plain"] == 0
    assert found["robust"] >= 2


def test_resuming_with_other_statistics_is_other_work(
    dep, tiny_model, make_tomogram, tmp_path
):
    path, out = tmp_path / "TS_01.mrc", tmp_path / "out"
    make_tomogram(path)
    words = ("pick", path, "--engine", tiny_model, "-o", out, "--resume")
    assert dep(*words).status == 0
    assert dep(*words).status == 0
    outcome = dep(*words, "--robust")
    assert outcome.status == 2
    assert "same model, settings" in outcome.err
