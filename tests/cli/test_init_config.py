"""`dep train --init-config` says what it found, and what is left to fill in."""

import pytest

from dep.train.config import ConfigError, load_config


@pytest.fixture
def folder(run_files):
    (run_files.folder / "config.toml").unlink()
    (run_files.folder / "held.mrc").unlink()
    (run_files.folder / "held.csv").unlink()
    return run_files.folder


def test_a_configuration_that_trains(dep, folder, tmp_path):
    out = tmp_path / "new" / "first.toml"
    outcome = dep(
        *("train", "--init-config", folder, "-o", out),
        *("--diameter", "60", "--diameter", "b=90", "--diameter", "vesicle=200"),
    )
    assert outcome.status == 0, outcome.err
    assert f"configuration: {out}" in outcome.out
    assert "fill in" not in outcome.out
    config = load_config(out)
    assert {entry.name: entry.diameter for entry in config.classes} == {
        "a": 60,
        "b": 90,
        "bead": 60,
        "vesicle": 200,
    }
    assert "particles outside 7 to 25 voxels" in outcome.err


def test_what_is_left_to_fill_in(dep, folder, tmp_path):
    out = tmp_path / "first.toml"
    outcome = dep("train", "--init-config", folder, "-o", out, "--diameter", "a=60")
    assert outcome.status == 0, outcome.err
    assert "the diameters of b, bead, vesicle, in Å" in outcome.out
    with pytest.raises(ConfigError) as error:
        load_config(out)
    assert str(error.value).count("fill it in") == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--diameter", "a=wide"], "expected NAME=NUMBER"),
        (["--diameter", "zebra=70"], "no class zebra"),
        (["--diameter", "60", "--diameter", "b=20"], "b (20 Å, 2 voxels)"),
        (["--diameter", "b=20"], "voxels of 2.86 Å or less"),
        (["config.toml"], "goes with -o and --diameter alone"),
        (["--resume"], "goes with -o and --diameter alone"),
    ],
)
def test_words_that_make_no_sense(dep, folder, tmp_path, words, says):
    out = tmp_path / "first.toml"
    outcome = dep("train", "--init-config", folder, "-o", out, *words)
    assert outcome.status == 2
    assert says in outcome.err
    assert not out.exists()


def test_neither_a_configuration_nor_a_folder(dep):
    outcome = dep("train")
    assert outcome.status == 2
    assert "--init-config FOLDER" in outcome.err
