"""Intervals are as wide as the draws that they stand for."""

import numpy as np
import pytest
from evaluation_cases import case, cases, crowd

from dep.engine import SettingError
from dep.engine.evaluation.bootstrap import (
    FEWEST_EVENTS,
    FEWEST_TOMOGRAMS,
    intervals_of,
    units_of,
)
from dep.engine.evaluation.czii import czii
from dep.engine.evaluation.events import events_of
from dep.engine.evaluation.ratios import points_of
from dep.engine.evaluation.report import report_on
from dep.engine.metrics import Rates


def spaced(seed, particles, found, name="t", extent=900):
    """Particles far apart, of which some are found, with as many false picks."""
    rng = np.random.default_rng(seed)
    xyz = rng.permutation(
        np.stack(np.meshgrid(*[np.arange(0, extent, 30)] * 2), -1).reshape(-1, 2)
    )[:particles]
    truth = [(1, x, y, 5) for x, y in xyz]
    picks = [(1, x, y, 5) for x, y in xyz[:found]]
    false = [(1, x + 15, y + 15, 5) for x, y in xyz[found:]]
    return case(picks + false, truth, name)


def test_single_events_have_the_interval_of_a_proportion():
    made = cases(spaced(0, 100, 80), a=6)
    report = report_on(made).with_intervals(20_000)
    assert report.intervals.kind == "events"
    # 120 events: 80 hits, 20 misses, 20 false picks. Recall 80 / 100 of what is drawn.
    low, high = report.interval("figures.localisation.recall")
    deviation = np.sqrt(0.8 * 0.2 / 100)
    assert low == pytest.approx(0.8 - 1.96 * deviation, abs=0.012)
    assert high == pytest.approx(0.8 + 1.96 * deviation, abs=0.012)


def test_what_goes_together_widens_the_interval():
    # Each tomogram is all found or all missed: as many draws as there are tomograms.
    each = [spaced(k, 50, 50 * (k % 2), name=f"t{k}") for k in range(16)]
    report = report_on(cases(*each, a=6)).with_intervals(5000)
    assert report.intervals.kind == "tomograms"
    low, high = report.interval("figures.localisation.recall")
    deviation = np.sqrt(0.5 * 0.5 / 16)
    assert low == pytest.approx(0.5 - 1.96 * deviation, abs=0.05)
    assert high == pytest.approx(0.5 + 1.96 * deviation, abs=0.05)


def test_tomograms_that_are_alike_leave_no_doubt():
    each = [spaced(1, 20, 15, name=f"t{k}") for k in range(FEWEST_TOMOGRAMS)]
    report = report_on(cases(*each, a=6)).with_intervals(200)
    for name in ("precision", "recall", "f1"):
        low, high = report.interval(f"figures.localisation.{name}")
        assert low == pytest.approx(high)
        assert low == pytest.approx(getattr(report.total.localisation, name))
    assert "5 tomograms" in report.intervals.words


def test_one_large_tomogram_is_drawn_in_blocks():
    made = cases(spaced(2, 300, 240), a=6)
    events = events_of(made)
    units = units_of(events, 1)
    assert units.kind == "blocks"
    assert units.number == 36  # 360 events, about 8 a block
    assert len(events.case) == 360 >= FEWEST_EVENTS
    # A block is a column: its events are near each other in x and y.
    for block in range(units.number):
        flat = events.xyz[units.of_event == block, :2]
        assert (np.ptp(flat, axis=0) <= 930 / 6).all()


def test_blocks_see_what_single_events_do_not():
    # Found on the left, missed on the right: events of a block go together.
    grid = [(x, y) for x in range(0, 900, 30) for y in range(0, 300, 30)]
    truth = [(1, x, y, 5) for x, y in grid]
    picks = [row for row in truth if row[1] < 450]
    made = cases(case(picks, truth), a=6)
    events = events_of(made)
    points = {"f": points_of(events, made.names, 1.0)}
    blocks = intervals_of(units_of(events, 1), points, tomograms=1, replicates=2000)
    low, high = blocks.figures["f.localisation.recall"]
    alone = 2 * 1.96 * np.sqrt(0.25 / len(truth))
    assert high - low > 1.7 * alone


def test_the_seed_decides():
    made = crowd(3, tomograms=6)
    report = report_on(made)
    first = report.with_intervals(100, seed=1).intervals.figures
    assert report.with_intervals(100, seed=1).intervals.figures == first
    assert report.with_intervals(100, seed=2).intervals.figures != first


def test_figures_lie_within_their_intervals():
    made = crowd(5, picks=60, particles=60, extent=40, tomograms=8)
    events = events_of(made)
    report = report_on(made, rule=czii(made, events)).with_intervals(2000)
    total = report.total

    def inside(name, value):
        low, high = report.interval(name)
        assert low <= value <= high, name

    for name in ("precision", "recall", "f1"):
        inside(f"figures.localisation.{name}", getattr(total.localisation, name))
        inside(f"figures.pooled.{name}", getattr(total.pooled, name))
        inside(f"figures.macro.{name}", total.macro[name])
        for label, rates in zip(total.classes, total.per_class, strict=True):
            inside(f"figures.per_class.{label}.{name}", getattr(rates, name))
    inside("figures.localisation.mean_distance", total.mean_distance)
    inside("rule.score", report.rule.figures["score"])


def test_the_sum_of_all_units_is_the_figure():
    made = crowd(9, tomograms=3)
    points = points_of(events_of(made), made.names, 2.0)
    figures = points.figures(points.values.sum(axis=0)[None])
    total = report_on(made, beta=2.0).total
    assert isinstance(total.pooled, Rates)
    assert figures["localisation.f1"][0] == pytest.approx(total.localisation.f1)
    assert figures["pooled.f_beta"][0] == pytest.approx(total.pooled.f_beta(2))
    assert figures["macro.recall"][0] == pytest.approx(total.macro["recall"])
    assert figures["per_class.a.precision"][0] == pytest.approx(
        total.per_class[0].precision
    )


def test_without_anything_there_is_no_interval():
    report = report_on(cases(case(), a=6)).with_intervals(10)
    assert report.interval("figures.localisation.recall") is None
    report.to_dict()


@pytest.mark.parametrize(("draws", "seed"), [(1, 0), (10**9, 0), (10, -1)])
def test_draws_that_make_no_sense(draws, seed):
    with pytest.raises(SettingError, match="expected"):
        report_on(cases(case(), a=6)).with_intervals(draws, seed)
