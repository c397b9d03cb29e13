"""`dep relion-metrics`: particles, FSC and B-factor, as words, JSON, CSV and PNG."""

import csv
import json

import mrcfile
import numpy as np
import pytest

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def star(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "run_data.star"
    rows = "\n".join(
        f"{1 + k % 2} {rng.normal(1e4, 50):.3f} {rng.random():.4f}" for k in range(60)
    )
    path.write_text(
        "data_particles\n\nloop_\n_rlnClassNumber #1\n_rlnLogLikeliContribution #2\n"
        f"_rlnMaxValueProbDistribution #3\n{rows}\n"
    )
    return path


@pytest.fixture
def halves(tmp_path):
    rng = np.random.default_rng(1)
    signal = np.cumsum(rng.normal(size=(24, 24, 24)), axis=0)
    paths = []
    for name in ("half1", "half2"):
        with mrcfile.new(tmp_path / f"{name}.mrc") as mrc:
            mrc.set_data((signal + 4 * rng.normal(size=signal.shape)).astype("f4"))
            mrc.voxel_size = 3.0
        paths.append(tmp_path / f"{name}.mrc")
    return paths


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_particles_of_two_files(dep, star, tmp_path):
    table, plot = tmp_path / "m.csv", tmp_path / "m.png"
    words = ("relion-metrics", "particles", f"ours={star}", f"other={star}")
    outcome = dep(*words, "--csv", table, "--plot", plot)
    assert outcome.status == 0, outcome.err
    assert "rlnMaxValueProbDistribution" in outcome.out
    assert "…" not in outcome.out
    assert plot.read_bytes().startswith(PNG)
    rows = rows_of(table)
    assert len(rows) == 12  # two metrics, two files, all and two classes
    assert rows[3]["file"] == "other"
    assert float(rows[3]["above_first"]) == 0.5
    found = dep(*words, "--json").json["distributions"]
    assert sum(found[0]["histogram"]["counts"]) == found[0]["particles"] == 60


def test_fsc_of_two_half_maps(dep, halves, tmp_path):
    table, plot = tmp_path / "f.csv", tmp_path / "f.png"
    words = ("relion-metrics", "fsc", *halves, "--mask-radius", 18)
    outcome = dep(*words, "--csv", table, "--plot", plot)
    assert outcome.status == 0, outcome.err
    assert "corrected" in outcome.out
    assert "at 0.143" in outcome.out
    assert plot.read_bytes().startswith(PNG)
    rows = rows_of(table)
    assert len(rows) == 13
    document = dep(*words, "--json").json
    assert document["voxel_size"] == 3.0
    for row, value in zip(rows, document["fsc"]["corrected"], strict=True):
        assert float(row["corrected"]) == pytest.approx(value, abs=1e-6)
    assert set(document["resolution"]) == {"unmasked", "masked", "corrected"}


def test_bfactor_of_pairs(dep, tmp_path):
    pairs = tmp_path / "pairs.csv"
    n = np.array([1e3, 2e3, 4e3, 8e3])
    d = 1 / np.sqrt(0.01 + 2 / 200 * np.log(n / 1e3))
    pairs.write_text(
        "particles,resolution\n"
        + "".join(f"{a:.0f},{b:.8f}\n" for a, b in zip(n, d, strict=True))
    )
    table, plot = tmp_path / "b.csv", tmp_path / "b.png"
    words = ("relion-metrics", "bfactor", pairs)
    outcome = dep(*words, "--csv", table, "--plot", plot)
    assert outcome.status == 0, outcome.err
    assert "B-factor   200.0 Å²" in outcome.out
    assert plot.read_bytes().startswith(PNG)
    assert [float(row["particles"]) for row in rows_of(table)] == n.tolist()
    document = json.loads(dep(*words, "--json").out)
    assert document["b_factor"] == pytest.approx(200, rel=1e-5)
    assert document["expected"][0]["particles"] == 16000
    from_words = dep(
        *("relion-metrics", "bfactor", "--json"),
        *(f"{a:.0f}:{b:.8f}" for a, b in zip(n, d, strict=True)),
    ).json
    assert from_words["b_factor"] == pytest.approx(document["b_factor"])


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("particles", "none.star"), 1, "none.star: cannot be read"),
        (("particles", "=x"), 2, "NAME=FILE"),
        (("fsc", "none.mrc", "none.mrc"), 1, "no such file"),
        (("fsc", "a", "b", "--mask", "m", "--mask-radius", 9), 2, "exclude each other"),
        (("fsc", "a", "b", "--randomise-from", 9), 2, "--mask"),
        (("fsc", "a", "b", "--mask-radius", -3), 2, "--mask-radius: expected Å above"),
        (("bfactor", "1000:8"), 1, "3 pairs or more"),
        (("bfactor", "1000:8:x", "2000:7"), 1, "1000 8 x"),
        (("bfactor", "1000:8", "2000:0", "3000:6"), 1, "pair 2 (2000:0)"),
        (("bfactor", "1000:8", "--confidence", 2), 2, "--confidence"),
    ],
)
def test_wrong_words_and_files_are_told(dep, words, status, message):
    outcome = dep("relion-metrics", *words)
    assert (outcome.status, message in outcome.err) == (status, True), outcome.err
