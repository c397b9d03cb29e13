"""`dep pick --mask` and `--skip-empty`: what is no sample costs no time."""

import json

import mrcfile
import numpy as np
import pytest

SHAPE = (32, 40, 44)


@pytest.fixture
def run(dep, tiny_model, tmp_path):
    """Pick with options; give (status, words on errors, entry, lines of the CSV)."""

    def pick(path, *words):
        out = tmp_path / "out"
        outcome = dep(
            "pick", path, "--engine", tiny_model, "-o", out, "--overwrite", *words
        )
        if outcome.status:
            return outcome, None, None
        document = json.loads((out / "run.json").read_text())
        lines = (out / f"{path.stem}.csv").read_text().splitlines()
        return outcome, document["tomograms"][path.stem], sorted(lines)

    return pick


def write(path, voxels):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(voxels)
        mrc.voxel_size = 10.0
    return path


def test_a_mask_drops_what_lies_outside_and_nothing_else(run, make_tomogram, tmp_path):
    path = tmp_path / "TS_01.mrc"
    make_tomogram(path)
    _, entry, every = run(path)
    assert entry["stats"]["skipped_tiles"] == 0
    ones = write(tmp_path / "ones.mrc", np.ones(SHAPE, np.int8))
    _, entry, found = run(path, "--mask", ones)
    assert found == every
    assert entry["settings"]["mask"] == str(ones)
    half = np.zeros(SHAPE, np.int8)
    half[:, :, :20] = 1  # a dark ball at x = 10; the others lie at 28 and 30
    outcome, entry, found = run(path, "--mask", write(tmp_path / "half.mrc", half))
    assert entry["picks"] == 1
    assert set(found) < set(every)
    assert entry["stats"]["skipped_tiles"] > 0
    assert f"({entry['stats']['skipped_tiles']} more were skipped)" in outcome.out


def test_masks_of_a_folder_are_found_by_name(run, make_tomogram, tmp_path):
    path, masks = tmp_path / "TS_01.mrc", tmp_path / "masks"
    make_tomogram(path)
    masks.mkdir()
    outcome, *_ = run(path, "--mask", masks)
    assert outcome.status == 1
    assert "expected one mask TS_01.mrc" in outcome.err
    write(masks / "TS_01.mrc", np.ones(SHAPE, np.int8))
    outcome, *_ = run(path, "--mask", masks)
    assert outcome.status == 0


@pytest.mark.parametrize("folder", [False, True])
def test_a_mask_that_changed_is_not_taken_for_the_same(
    dep, tiny_model, make_tomogram, tmp_path, folder
):
    path, masks, out = tmp_path / "TS_01.mrc", tmp_path / "masks", tmp_path / "out"
    make_tomogram(path)
    masks.mkdir()
    mask = write(masks / "TS_01.mrc", np.ones(SHAPE, np.int8))
    write(masks / "TS_02.mrc", np.ones(SHAPE, np.int8))
    words = ("--engine", tiny_model, "-o", out, "--mask", masks if folder else mask)
    assert dep("pick", path, *words).status == 0
    resumed = dep("pick", path, *words, "--resume", "--json")
    assert (resumed.status, resumed.json["skipped"]) == (0, 1)
    write(masks / "TS_02.mrc", np.zeros(SHAPE, np.int8))  # another tomogram's
    assert dep("pick", path, *words, "--resume").status == 0
    half = np.zeros(SHAPE, np.int8)
    half[:, :, :20] = 1
    write(mask, half)
    outcome = dep("pick", path, *words, "--resume")
    assert outcome.status == 2
    assert "not picked from the same tomogram" in outcome.err
    assert dep("pick", path, *words, "--overwrite").status == 0
    entry = json.loads((out / "run.json").read_text())["tomograms"]["TS_01"]
    assert entry["picks"] == 1
    assert entry["mask"]["bytes"] == mask.stat().st_size


def test_a_mask_may_lie_in_a_file(run, make_tomogram, tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "TS_01.mrc"
    make_tomogram(path)
    with h5py.File(tmp_path / "masks.h5", "w") as file:
        file["TS_01"] = np.ones(SHAPE, np.int8)
        file["TS_02"] = np.ones(SHAPE, np.int8)
    outcome, *_ = run(path, "--mask", tmp_path / "masks.h5/TS_01")
    assert outcome.status == 0


def test_a_mask_that_is_not_there_is_wrong_use(run, make_tomogram, tmp_path):
    make_tomogram(tmp_path / "TS_01.mrc")
    outcome, *_ = run(tmp_path / "TS_01.mrc", "--mask", tmp_path / "none.mrc")
    assert outcome.status == 2
    assert "none.mrc: no such file or folder" in outcome.err


def test_empty_tiles_are_skipped_and_no_pick_is_lost(run, make_tomogram, tmp_path):
    path = tmp_path / "TS_01.mrc"
    voxels = make_tomogram(path)
    # Constant, as outside of the field of view, and noise, as above and below the ice.
    constant = np.full((24, *SHAPE[1:]), 0.3, np.float32)
    noise = np.random.default_rng(0).normal(0, 0.9, (60, *SHAPE[1:])).astype("f4")
    write(path, np.concatenate([constant, noise, voxels, noise, constant]))
    # Of the tiny model noise is a particle now and then: not at this threshold.
    _, entry, every = run(path, "--t-lm", "0.4")
    _, quicker, found = run(path, "--skip-empty", "--t-lm", "0.4")
    assert found == every
    assert entry["picks"] == 3
    assert quicker["settings"]["skip_empty"]
    stats, all_tiles = quicker["stats"], entry["stats"]["tiles"]
    assert stats["tiles"] + stats["skipped_tiles"] == all_tiles
    assert stats["skipped_tiles"] > all_tiles / 3


def test_a_tomogram_that_is_empty_all_over_has_no_picks(run, tmp_path):
    noise = np.random.default_rng(0).normal(0, 1, (40, 64, 64)).astype("f4")
    outcome, entry, _ = run(write(tmp_path / "TS_01.mrc", noise), "--skip-empty")
    assert outcome.status == 0
    assert entry["picks"] == entry["stats"]["tiles"] == 0
