"""`dep simulate`: options become settings, files appear, mistakes are named."""

import json
import signal
import time

import pytest

SMALL = ("--size", "48,48,32", "--molecules", "globule:80", "--particles", "4")
PLAIN = ("--no-membranes", "--no-gold", "--tilt-step", "6", "--quiet")


def test_it_writes_a_tomogram_its_truth_and_its_settings(dep, tmp_path):
    outcome = dep("simulate", *SMALL, *PLAIN, "-o", tmp_path, "--snr", "0.1..0.2")
    assert outcome.status == 0, outcome.err
    assert "sim_0001.mrc: 4 particles" in outcome.out
    record = json.loads((tmp_path / "sim_0001.json").read_text())
    assert record["settings"]["acquisition"]["snr"] == [0.1, 0.2]
    assert 0.1 <= record["snr_tilt_series"] <= 0.2
    assert record["settings"]["specimen"]["vesicles"] == 0
    assert (tmp_path / "sim_0001.csv").read_text().count("globule80") == 4


def test_options_go_before_the_file(dep, tmp_path):
    config = tmp_path / "a.toml"
    config.write_text("[specimen]\nparticles = 2\ngap = 30.0\n")
    outcome = dep("simulate", "--config", config, *SMALL, *PLAIN, "-o", tmp_path)
    assert outcome.status == 0, outcome.err
    specimen = json.loads((tmp_path / "sim_0001.json").read_text())["settings"][
        "specimen"
    ]
    assert (specimen["particles"], specimen["gap"]) == (4, 30.0)
    # A number of particles goes before a share that the file asks for.
    config.write_text("[specimen]\noccupancy = 0.3\n")
    words = ("--config", config, *SMALL, *PLAIN, "-o", tmp_path, "--overwrite")
    assert dep("simulate", *words).status == 0
    assert (tmp_path / "sim_0001.csv").read_text().count("globule80") == 4


def test_json_lists_the_outputs(dep, tmp_path):
    outcome = dep("simulate", *SMALL, *PLAIN, "-o", tmp_path, "-n", 2, "--json")
    names = [one["tomogram"].rsplit("/", 1)[1] for one in outcome.json]
    assert names == ["sim_0001.mrc", "sim_0002.mrc"]


def test_particles_without_room_are_said(dep, tmp_path):
    words = (*SMALL[:-1], "90", *PLAIN)
    outcome = dep("simulate", *words, "-o", tmp_path)
    assert outcome.status == 0
    assert "no room for" in outcome.out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--size", "48,48"), "specimen.size"),
        (("--size", "a,b,c"), "--size"),
        (("--snr", "a..b"), "--snr"),
        (("--dose", "1..2..3"), "--dose"),
        (("--molecules", "blob:3"), "blob:3"),
        (("--templates", "nowhere.mrc"), "nowhere.mrc"),
        (("--type", "int16"), "--type"),
        (("--order", "random"), "acquisition.order"),
        (("--config", "nowhere.toml"), "nowhere.toml"),
        (("--occupancy", "0.1", "--particles", "3"), "exclude each other"),
    ],
)
def test_mistakes_are_named_and_wrong_use(dep, tmp_path, words, named):
    outcome = dep("simulate", *words, "-o", tmp_path / "out")
    assert outcome.status == 2
    assert named in outcome.err
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_written_over(dep, tmp_path):
    (tmp_path / "sim_0001.csv").write_text("mine")
    outcome = dep("simulate", *SMALL, *PLAIN, "-o", tmp_path)
    assert outcome.status == 2
    assert "sim_0001.csv: is there already" in outcome.err
    assert (tmp_path / "sim_0001.csv").read_text() == "mine"


def test_ending_it_ends_its_processes_and_leaves_no_part(dep_process, tmp_path):
    out = tmp_path / "out"
    process = dep_process("simulate", "-o", out, "--count", "40", "--jobs", "2")
    deadline = time.monotonic() + 60
    while not out.is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2.5)
    process.send_signal(signal.SIGTERM)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped" in err
    assert not list(out.glob(".*.part"))
