"""Distributions of RELION's particle metrics."""

import numpy as np
import pytest
from scipy import stats

from dep.engine.errors import MetricsError
from dep.engine.relion_metrics import ParticleMetrics, distributions, read_particles
from dep.engine.relion_metrics.distributions import superiority
from dep.engine.relion_metrics.particles import CLASS, LIKELIHOOD, PROBABILITY

OPTICS = """
# version 50001

data_optics

loop_
_rlnOpticsGroup #1
_rlnImagePixelSize #2
1 10.0

"""


def star(path, columns, rows, head=OPTICS):
    lines = [head, "data_particles", "", "loop_"]
    lines += [f"_{tag} #{number}" for number, tag in enumerate(columns, start=1)]
    lines += [" ".join(map(str, row)) for row in rows]
    path.write_text("\n".join(lines) + "\n\n")
    return path


@pytest.fixture
def refined(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        (f"{k}@a.mrcs", 1 + k % 3, f"{rng.normal(5e4, 900):.6f}", f"{rng.random():.6f}")
        for k in range(300)
    ]
    columns = ("rlnImageName", CLASS, LIKELIHOOD, PROBABILITY)
    return star(tmp_path / "run_data.star", columns, rows), rows


def test_both_metrics_are_read_with_their_classes(refined):
    path, rows = refined
    found = read_particles(path)
    assert found.name == "run_data"
    np.testing.assert_array_equal(found.class_id, [row[1] for row in rows])
    for column, metric in ((2, LIKELIHOOD), (3, PROBABILITY)):
        np.testing.assert_array_equal(
            found.values[metric], [float(row[column]) for row in rows]
        )


def test_summaries_are_those_of_numpy(refined):
    found = read_particles(refined[0], "ours")
    every = distributions([found], bins=10)
    assert [one.class_id for one in every] == [None, 1, 2, 3] * 2
    whole = every[0]
    values = found.values[LIKELIHOOD]
    assert (whole.file, whole.metric, whole.particles) == ("ours", LIKELIHOOD, 300)
    assert whole.mean == pytest.approx(values.mean())
    assert whole.std == pytest.approx(values.std(ddof=1))
    assert whole.quantiles[2] == pytest.approx(np.median(values))
    for one in every:
        assert one.counts.sum() == one.particles
    for metric in (every[:4], every[4:]):
        assert sum(one.counts for one in metric[1:]).tolist() == (
            metric[0].counts.tolist()
        )
    assert every[4].edges[[0, -1]].tolist() == [0, 1]  # probabilities


def test_files_are_compared_with_the_first():
    rng = np.random.default_rng(1)
    ones = np.ones(500, int)
    files = [
        ParticleMetrics(name, ones, {PROBABILITY: np.round(rng.beta(a, 2, 500), 2)})
        for name, a in (("a", 2), ("b", 4), ("c", 2))
    ]
    first, better, alike = distributions(files)
    assert first.above_first is None
    assert better.above_first > 0.65
    assert alike.above_first == pytest.approx(0.5, abs=0.08)
    u = stats.mannwhitneyu(files[1].values[PROBABILITY], files[0].values[PROBABILITY])
    assert better.above_first == pytest.approx(u.statistic / 500**2)
    np.testing.assert_array_equal(first.edges, better.edges)


def test_ties_count_half():
    assert superiority(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.5
    assert superiority(np.array([3.0]), np.array([1.0, 3.0])) == 0.75


def test_one_metric_is_enough_and_classes_are_not_needed(tmp_path):
    path = star(tmp_path / "p.star", (PROBABILITY,), [(0.25,), (0.75,)])
    found = read_particles(path)
    assert list(found.values) == [PROBABILITY]
    (only,) = distributions([found], bins=4)
    assert only.counts.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("columns", "rows", "words"),
    [
        (("rlnCoordinateX",), [(1,)], "no particles with rlnLogLikeli"),
        ((LIKELIHOOD,), [(1,), ("x",)], "row 2, rlnLogLikeli.*'x'"),
        ((LIKELIHOOD,), [(1,), ("nan",)], "row 2.* finite"),
        ((LIKELIHOOD, CLASS), [(1, 1.5)], "whole numbers"),
    ],
)
def test_files_without_sound_metrics_are_refused(tmp_path, columns, rows, words):
    path = star(tmp_path / "p.star", columns, rows)
    with pytest.raises(MetricsError, match=words) as error:
        read_particles(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "not a star file", "data_x\nloop_\n_a\n"])
def test_what_is_no_star_file_is_refused(tmp_path, text):
    path = tmp_path / "p.star"
    path.write_text(text)
    with pytest.raises(MetricsError, match=r"p\.star"):
        read_particles(path)


def test_bytes_and_missing_files_are_named(tmp_path):
    path = tmp_path / "p.star"
    path.write_bytes(b"\xff\xfe\x00data")
    with pytest.raises(MetricsError, match="UTF-8"):
        read_particles(path)
    with pytest.raises(MetricsError, match="cannot be read"):
        read_particles(tmp_path / "none.star")


def test_files_of_one_name_are_refused(refined):
    found = read_particles(refined[0])
    with pytest.raises(MetricsError, match="same name"):
        distributions([found, found])
