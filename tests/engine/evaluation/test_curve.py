"""Curves are what matching anew at each threshold gives, and areas are sklearn's."""

import numpy as np
import pytest
from evaluation_cases import case, cases, crowd
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from dep.engine.evaluation.cases import Pairs, pairs_within_radius
from dep.engine.evaluation.curve import sweep, sweep_covered
from dep.engine.evaluation.events import events_of
from dep.engine.evaluation.report import report_on
from dep.engine.metrics import evaluate, match


def matched_anew(made, threshold, number=None):
    """Picks and hits of `dep.engine.metrics.match` at one threshold."""
    picks = hits = 0
    for one in made.each:
        kept, there = one.score >= threshold, np.ones(len(one.truth), bool)
        if number is not None:
            kept, there = kept & (one.picked_as == number), one.true_as == number
        radius = made.radii(one)[there]
        picks += int(kept.sum())
        hits += len(match(one.picks[kept], one.truth[there], radius)[0])
    return picks, hits


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_each_threshold_is_matched_anew(seed):
    made = crowd(seed)
    report = report_on(made)
    for number, curve in [
        (None, report.curve),
        (1, report.class_curves["a"]),
        (2, report.class_curves["b"]),
    ]:
        score = made.score if number is None else made.score[made.picked_as == number]
        assert curve.threshold.tolist() == sorted(set(score.tolist()), reverse=True)
        for at, threshold in enumerate(curve.threshold):
            expected = matched_anew(made, threshold, number)
            assert (curve.picks[at], curve.hits[at]) == expected
            assert curve.at(threshold) == expected
        assert curve.at(2.0) == (0, 0)


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_recall_never_falls_and_ends_at_the_figure_itself(seed):
    made = crowd(seed)
    report = report_on(made)
    assert (np.diff(report.curve.recall) >= 0).all()
    assert (np.diff(report.curve.picks) > 0).all()
    if len(report.curve.hits):
        assert report.curve.hits[-1] == report.total.localisation.hits
        assert report.curve.picks[-1] == report.total.localisation.picks


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_average_precision_is_scikit_learns(seed):
    # Each pick that raises the hits is right; what is never found has no score.
    rng = np.random.default_rng(seed)
    many = int(rng.integers(1, 40))
    score = rng.integers(0, 12, many) / 12
    right = rng.random(many) < 0.6
    missed = int(rng.integers(0, 5))
    index = np.flatnonzero(right)
    pairs = Pairs(index, np.arange(len(index)), np.zeros(len(index)))
    particles = len(index) + missed
    for make in (sweep, sweep_covered):
        curve = make(pairs, score, particles)
        if len(index) == 0:
            assert curve.average_precision == 0
            continue
        # sklearn's recall is of what has a score.
        expected = average_precision_score(right, score) * len(index) / particles
        assert curve.average_precision == pytest.approx(expected)


def test_a_nearer_pick_of_lower_score_takes_over():
    made = cases(
        case(
            [(1, 10, 10, 12, 0.9), (1, 10, 10, 10, 0.5)],
            [(1, 10, 10, 10), (1, 10, 10, 14)],
        ),
        a=6,
    )
    curve = report_on(made).curve
    # 0.9 hits the first (equally near, the earlier); 0.5 puts it out, and it goes on.
    assert curve.hits.tolist() == [1, 2]
    assert report_on(made).total.mean_distance == 1.0


def test_a_curve_counted_by_hand():
    made = cases(
        case(
            [
                (1, 0, 0, 0, 0.9),  # hits
                (1, 50, 0, 0, 0.8),  # nothing is there
                (1, 10, 0, 0, 0.8),  # hits
                (1, 20, 0, 0, 0.1),  # hits
            ],
            [(1, 0, 0, 0), (1, 10, 0, 0), (1, 20, 0, 0), (1, 30, 0, 0)],
        ),
        a=6,
    )
    curve = report_on(made).curve
    assert curve.threshold.tolist() == [0.9, 0.8, 0.1]
    assert curve.picks.tolist() == [1, 3, 4]
    assert curve.hits.tolist() == [1, 2, 3]
    assert curve.precision.tolist() == [1, 2 / 3, 3 / 4]
    assert curve.recall.tolist() == [1 / 4, 2 / 4, 3 / 4]
    assert curve.f_beta().tolist() == [2 / 5, 4 / 7, 6 / 8]
    # F_0.5 = 1.25 P R / (0.25 P + R)
    assert curve.f_beta(0.5)[0] == pytest.approx(1.25 * 0.25 / (0.25 + 0.25))
    assert curve.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 4)
    assert curve.best_to_dict(1.0)["threshold"] == 0.1
    assert curve.best_to_dict(0.1)["threshold"] == 0.9  # precision is all but all


def test_of_equal_thresholds_the_highest_is_best():
    picks = [(1, 0, 0, 0, 0.9), (1, 50, 0, 0, 0.5), (1, 10, 0, 0, 0.4)]
    made = cases(case(picks, [(1, 0, 0, 0), (1, 10, 0, 0)]), a=6)
    # F1 is 2/3, 1/2, 4/5; without the last: 2/3, 1/2.
    assert report_on(made).curve.best() == 2
    made = cases(case(picks[:2], [(1, 0, 0, 0), (1, 10, 0, 0)]), a=6)
    assert report_on(made).curve.best() == 0


def test_without_hits_no_threshold_is_best():
    made = cases(case([(1, 90, 0, 0, 0.5)], [(1, 0, 0, 0)]), a=6)
    assert report_on(made).curve.best() is None
    assert report_on(made).curve.best_to_dict(1.0) is None
    for nothing in (case(), case([(1, 1, 1, 1)]), case((), [(1, 1, 1, 1)])):
        report = report_on(cases(nothing, a=6))
        assert report.curve.average_precision == 0
        assert report.total.localisation.f1 == 0


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_events_are_what_evaluate_counts(seed):
    made = crowd(seed, tomograms=3)
    events = events_of(made)
    diameters = [one.diameter / 10 for one in made.classes]
    for at, one in enumerate(made.each):
        expected = evaluate(
            one.picks, one.picked_as, one.truth, one.true_as, diameters, made.names
        )
        found = events.of_case(at).evaluation(made.names)
        assert found.confusion.tolist() == expected.confusion.tolist()
        assert found.localisation == expected.localisation
        np.testing.assert_equal(found.mean_distance, expected.mean_distance)
    # Every pick and every particle is in one event.
    assert sorted(events.pick[events.pick >= 0]) == list(range(len(made.score)))
    there = events.particle[events.particle >= 0]
    assert sorted(there) == list(range(len(made.true_as)))
    picked = events.pick >= 0
    np.testing.assert_array_equal(events.score[picked], made.score[events.pick[picked]])
    assert np.isnan(events.score[~picked]).all()


def test_pairs_stay_within_a_tomogram():
    one = case([(1, 0, 0, 0)], [(1, 50, 0, 0)], "one")
    other = case([(1, 50, 0, 0)], [(1, 0, 0, 0)], "other")
    made = cases(one, other, a=6)
    assert len(pairs_within_radius(made).pick) == 0
    assert report_on(made).curve.hits.tolist() == [0]


def test_the_reach_is_a_factor_of_the_radius():
    made = cases(case([(1, 2, 0, 0)], [(1, 0, 0, 0)]), a=6)
    for factor, hits in ((0.66, 0), (2 / 3, 1), (1, 1)):
        assert report_on(made, factor=factor).total.localisation.hits == hits
