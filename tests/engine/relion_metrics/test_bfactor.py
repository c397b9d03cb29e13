"""The B-factor of pairs that the law itself made, and what its interval promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dep.engine.errors import MetricsError
from dep.engine.relion_metrics.bfactor import Pairs, fit_bfactor, read_pairs
from dep.engine.relion_metrics.student import central, quantile

N = np.array([500.0, 1000, 2000, 4000, 8000, 16000, 32000, 64000])
START = 1 / 20.0**2  # 1 / d² at ln N = 6


def law(b, n=N):
    """1 / d² = start + (2 / B) (ln N - 6)."""
    return START + 2 / b * (np.log(n) - 6)


@given(st.floats(20, 2000), st.integers(3, 8))
def test_pairs_of_the_law_give_it_back(b, many):
    n = N[:many]
    fit = fit_bfactor(Pairs(n, 1 / np.sqrt(law(b, n))))
    assert fit.b_factor == pytest.approx(b, rel=1e-9)
    np.testing.assert_allclose(fit.interval, b, rtol=1e-4)
    assert fit.r_squared == pytest.approx(1)
    line, low, high = fit.band(1234.0)
    assert line == pytest.approx(law(b, 1234.0))
    assert low <= line <= high
    assert fit.expected(1234.0)[0] == pytest.approx(1 / math.sqrt(law(b, 1234.0)))


def test_it_is_the_slope_of_ln_n_over_two_d_squared():
    """The paper's own form: ln N = B / 2 d² + constant."""
    d = np.array([12.0, 10.0, 8.0, 7.0])
    fit = fit_bfactor(Pairs(np.exp(150 / (2 * d**2) + 3), d))
    assert fit.b_factor == pytest.approx(150)


@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_interval_and_band_hold_as_often_as_they_say(confidence):
    b, rng, rounds, at = 300.0, np.random.default_rng(7), 600, 200_000.0
    held = band = 0
    for _ in range(rounds):
        y = law(b) + rng.normal(0, 4e-4, len(N))
        fit = fit_bfactor(Pairs(N, 1 / np.sqrt(y)), confidence)
        low, high = fit.interval
        held += low <= b <= high
        _, below, above = fit.band(at)
        band += below <= law(b, at) <= above
    # Four standard deviations of a share of so many rounds.
    slack = 4 * math.sqrt(confidence * (1 - confidence) / rounds)
    assert held / rounds == pytest.approx(confidence, abs=slack)
    assert band / rounds == pytest.approx(confidence, abs=slack)


def test_deviations_weigh_points_and_still_hold():
    b, rng, rounds = 300.0, np.random.default_rng(8), 500
    deviation_y = 1e-4 * np.array([4, 3, 2, 2, 1, 1, 1, 0.5])
    d = 1 / np.sqrt(law(b))
    held, weighted, plain = 0, [], []
    for _ in range(rounds):
        measured = 1 / np.sqrt(law(b) + rng.normal(0, deviation_y))
        # Known deviations of d, as sigma(1 / d²) = 2 sigma(d) / d³ makes them.
        fit = fit_bfactor(Pairs(N, measured, deviation_y * d**3 / 2))
        held += fit.interval[0] <= b <= fit.interval[1]
        weighted.append(fit.slope)
        plain.append(fit_bfactor(Pairs(N, measured)).slope)
    assert np.std(weighted) < 0.9 * np.std(plain)
    # Weights come from the measured d, which are a little off.
    assert held / rounds == pytest.approx(0.95, abs=0.035)


def test_equal_deviations_change_nothing():
    rng = np.random.default_rng(1)
    d = 1 / np.sqrt(law(200.0) + rng.normal(0, 2e-4, len(N)))
    plain = fit_bfactor(Pairs(N, d))
    weighted = fit_bfactor(Pairs(N, d, 0.3 * d**3))
    assert weighted.b_factor == pytest.approx(plain.b_factor)
    np.testing.assert_allclose(weighted.interval, plain.interval)
    np.testing.assert_allclose(weighted.band(5e4), plain.band(5e4))


def test_against_scipy():
    rng = np.random.default_rng(2)
    y = law(250.0) + rng.normal(0, 5e-4, len(N))
    fit = fit_bfactor(Pairs(N, 1 / np.sqrt(y)))
    other = stats.linregress(np.log(N), y)
    assert fit.slope == pytest.approx(other.slope)
    assert fit.slope_error == pytest.approx(other.stderr)
    assert fit.r_squared == pytest.approx(other.rvalue**2)
    for freedom in (1, 2, 3, 6, 17, 60):
        for probability in (0.5, 0.9, 0.95, 0.999):
            expected = stats.t.ppf((1 + probability) / 2, freedom)
            assert quantile(probability, freedom) == pytest.approx(expected, rel=1e-9)
            assert central(expected, freedom) == pytest.approx(probability)


def test_too_much_scatter_leaves_the_upper_end_open():
    d = 1 / np.sqrt([0.01, 0.02, 0.011])
    fit = fit_bfactor(Pairs(np.array([1e3, 2e3, 4e3]), d))
    assert fit.interval[1] == math.inf
    assert fit.to_dict()["interval"][1] is None


@pytest.mark.parametrize(
    ("n", "d", "words"),
    [
        ([1e3, 2e3], [10, 9], "3 pairs or more"),
        ([1e3, 1e3, 1e3], [10, 9, 8], "two numbers"),
        ([1e3, 2e3, 4e3], [8, 9, 10], "does not improve"),
        ([1e3, 2e3, 0], [10, 9, 8], "above 0"),
        ([1e3, 2e3, 4e3], [10, 9, math.inf], "above 0"),
    ],
)
def test_pairs_without_a_b_factor_are_refused(n, d, words):
    with pytest.raises(MetricsError, match=words):
        fit_bfactor(Pairs(np.array(n, float), np.array(d, float)))


def test_pairs_are_read_from_words_and_files(tmp_path):
    words = read_pairs(["1000:8.1", "2000:7.5", "4000:7"])
    path = tmp_path / "pairs.csv"
    path.write_text("particles,resolution\n1000,8.1\n# all\n2000, 7.5\n\n4000,7\n")
    file = read_pairs([str(path)])
    np.testing.assert_array_equal(words.particles, file.particles)
    np.testing.assert_array_equal(words.resolution, file.resolution)
    assert file.deviation is None
    path.write_text("1000 8.1 0.2\n2000 7.5 0.1\n")
    np.testing.assert_array_equal(read_pairs([str(path)]).deviation, [0.2, 0.1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no pairs"),
        ("particles,resolution\n", "no pairs"),
        ("1000,8\n2000,seven\n", r"line 2: .*'2000 seven'"),
        ("1000\n", "line 1"),
        ("1000,8\n2000,7,0.1\n", "some pairs have a deviation"),
    ],
)
def test_a_file_without_pairs_says_where(tmp_path, text, words):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(MetricsError, match=words) as error:
        read_pairs([str(path)])
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MetricsError, match=r"none\.csv: cannot be read"):
        read_pairs([str(tmp_path / "none.csv")])
