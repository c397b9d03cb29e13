"""What `dep pick` says last is short, however many tomograms there were."""

import mrcfile
import numpy as np
import pytest


@pytest.fixture
def pick(dep, tiny_model, tmp_path):
    """Run `dep pick WORDS... --engine BALLS -o OUT`."""

    def run(*words):
        return dep("pick", *words, "--engine", tiny_model, "-o", tmp_path / "out")

    return run


@pytest.fixture
def three(make_tomogram, tmp_path):
    """Write three tomograms in which there is nothing but the finest pattern."""
    paths = [tmp_path / f"TS_0{number}.mrc" for number in range(3)]
    for path in paths:
        voxels = make_tomogram(path)
        with mrcfile.open(path, "r+") as mrc:
            pattern = np.indices(voxels.shape).sum(axis=0) % 2
            mrc.set_data(pattern.astype(np.float32))
    return paths


def notes(outcome):
    return [line for line in outcome.out.splitlines() if line.startswith("note:")]


def test_a_note_of_several_tomograms_is_said_once(pick, three):
    outcome = pick(*three)
    assert outcome.status == 0, outcome.err
    assert len(notes(outcome)) == 1
    assert notes(outcome)[0].startswith("note: 3 tomograms: nothing was found")


def test_a_note_of_one_tomogram_names_it(pick, three):
    outcome = pick(three[1])
    assert len(notes(outcome)) == 1
    assert f"{three[1]}: nothing was found" in notes(outcome)[0]


def test_resume_with_nothing_left_says_so(pick, make_tomogram, tomogram, tmp_path):
    pick(tomogram)
    outcome = pick(tomogram, "--resume")
    assert outcome.status == 0
    assert "nothing to do: the tomogram was picked before" in outcome.out
    make_tomogram(tmp_path / "TS_02.mrc")
    pick(tomogram, tmp_path / "TS_02.mrc", "--resume")
    outcome = pick(tomogram, tmp_path / "TS_02.mrc", "--resume")
    assert "nothing to do: all 2 were picked before" in outcome.out
