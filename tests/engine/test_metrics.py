"""Scores are what one would count by hand, and do not depend on the order."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine import ClassInfo, Picks, PicksError, SettingError
from dep.engine.metrics import Rates, evaluate, match
from dep.engine.truth import evaluate_picks, read_truth


def brute_match(picks, truth, radius):
    """Take the nearest pair left, again and again."""
    pairs = sorted(
        (float(np.sqrt(((p - t) ** 2).sum())), j, i)
        for i, p in enumerate(picks)
        for j, t in enumerate(truth)
    )
    used_picks, used_truth, found = set(), set(), []
    for distance, j, i in pairs:
        if distance <= radius[j] and i not in used_picks and j not in used_truth:
            used_picks.add(i)
            used_truth.add(j)
            found.append((i, j))
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 10**6),
    st.booleans(),
    st.floats(2, 200),
)
def test_matching_is_greedy_by_distance(n, m, seed, on_grid, extent):
    rng = np.random.default_rng(seed)
    picks, truth = rng.uniform(-extent, extent, (n + m, 3))[:n], None
    truth = rng.uniform(-extent, extent, (m, 3))
    if on_grid:  # many equal distances
        picks, truth = picks.round(), truth.round()
    radius = rng.uniform(0.5, 20, m)
    pick, particle, distance = match(picks, truth, radius)
    assert list(zip(pick.tolist(), particle.tolist(), strict=True)) == brute_match(
        picks, truth, radius
    )
    np.testing.assert_allclose(
        distance, np.linalg.norm(picks[pick] - truth[particle], axis=1)
    )


def test_a_case_counted_by_hand():
    truth = [[10, 10, 10], [30, 10, 10], [50, 10, 10], [70, 10, 10]]
    picks = [
        [11, 10, 10],  # right
        [10, 13, 10],  # right place, but that one is taken
        [30, 12, 10],  # right place, called another class
        [55.1, 10, 10],  # too far
    ]
    found = evaluate(picks, [1, 1, 1, 2], truth, [1, 2, 2, 1], [10, 10], ["a", "b"])
    assert found.localisation == Rates(2, 4, 4)
    assert found.localisation.f1 == 0.5
    assert found.mean_distance == 1.5
    assert found.per_class == (Rates(1, 3, 2), Rates(0, 1, 2))
    assert found.confusion.tolist() == [[0, 1, 1], [1, 1, 0], [1, 1, 0]]
    assert found.mean_class_f1 == pytest.approx((2 / 5 + 0) / 2)
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_radius_is_that_of_the_particle_and_includes_its_rim():
    for x, hits in ((3.0, 1), (3.01, 0)):
        found = evaluate([[x, 0, 0]], [2], [[0, 0, 0]], [1], [6, 100])
        assert found.localisation.hits == hits


def test_perfect_picks_score_1():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(0, 500, (300, 3))
    label = rng.integers(1, 6, 300)
    found = evaluate(xyz, label, xyz, label, [7] * 5)
    assert found.localisation == Rates(300, 300, 300)
    assert found.mean_class_f1 == 1
    assert found.mean_distance == 0
    assert np.trace(found.confusion) == 300


def test_nothing_scores_0_without_dividing_by_it():
    for picks, truth in (([], []), ([[1, 1, 1]], []), ([], [[1, 1, 1]])):
        found = evaluate(picks, [1] * len(picks), truth, [1] * len(truth), [7])
        assert found.localisation.f1 == found.mean_class_f1 == 0
        assert found.to_dict()["localisation"]["mean_distance"] is None


def test_classes_that_do_not_occur_do_not_count_in_the_mean():
    found = evaluate([[0, 0, 0]], [1], [[0, 0, 0]], [1], [7, 7, 7])
    assert found.mean_class_f1 == 1


def test_order_does_not_matter():
    rng = np.random.default_rng(3)
    truth, picks = rng.uniform(0, 60, (80, 3)), rng.uniform(0, 60, (90, 3))
    as_truth, as_picks = rng.integers(1, 4, 80), rng.integers(1, 4, 90)
    expected = evaluate(picks, as_picks, truth, as_truth, [9, 12, 15])
    a, b = rng.permutation(90), rng.permutation(80)
    found = evaluate(picks[a], as_picks[a], truth[b], as_truth[b], [9, 12, 15])
    assert found.localisation == expected.localisation
    assert found.per_class == expected.per_class
    assert found.confusion.tolist() == expected.confusion.tolist()
    assert found.mean_distance == pytest.approx(expected.mean_distance)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"diameters": [0]}, "diameters above 0"),
        ({"picks_class": [2]}, "picks: classes from 2 to 2, expected 1 to 1"),
        ({"truth_class": [1, 1]}, "truth: 1 coordinates but classes of shape"),
        ({"picks_xyz": [[np.nan, 0, 0]]}, "picks: coordinates that are not finite"),
    ],
)
def test_input_that_makes_no_sense(change, words):
    right = {
        "picks_xyz": [[0, 0, 0]],
        "picks_class": [1],
        "truth_xyz": [[0, 0, 0]],
        "truth_class": [1],
        "diameters": [7],
    }
    with pytest.raises(SettingError, match=words):
        evaluate(**{**right, **change})


CLASSES = (ClassInfo("1bxn", 122.0), ClassInfo("4cr2", 216.0))
TRUTH = """class,class_id,x,y,z,rot,tilt,psi,instance
vesicle,14,183.378,90.213,61.024,58.931,35.716,-132.108,1
4cr2,12,20,30,40,0,0,0,2
1bxn,9,50.5,60.25,70,0,0,0,3
"""


@pytest.mark.filterwarnings("ignore::dep.engine.formats.LossWarning")
class TestTruth:
    def picks(self, **changes):
        return Picks(
            **{
                "xyz": [[50, 60, 70], [20, 30, 41]],
                "class_id": [1, 2],
                "score": [0.9, 0.8],
                "classes": CLASSES,
                "tomogram": "TS_01",
                "voxel_size": 10.0,
                "shape": (100, 100, 100),
                **changes,
            }
        )

    def test_classes_that_the_model_does_not_know_are_left_out(self, tmp_path):
        (tmp_path / "truth.csv").write_text(TRUTH)
        truth = read_truth(tmp_path / "truth.csv", CLASSES)
        np.testing.assert_allclose(truth.xyz, [[20, 30, 40], [50.5, 60.25, 70]])
        assert truth.class_id.tolist() == [2, 1]
        assert truth.ignored == {"vesicle": 1}
        found = evaluate_picks(self.picks(), truth)
        assert found.localisation == Rates(2, 2, 2)
        assert found.classes == ("1bxn", "4cr2")

    @pytest.mark.parametrize("suffix", [".csv", ".star", ".coords"])
    def test_picks_are_a_truth_too(self, tmp_path, suffix):
        path = self.picks().write(tmp_path / f"a{suffix}")
        truth = read_truth(path, CLASSES)
        found = evaluate_picks(self.picks(), truth)
        assert found.localisation == Rates(2, 2, 2)
        assert found.mean_class_f1 == 1

    def test_classes_are_told_by_name_not_by_number(self, tmp_path):
        path = self.picks().write(tmp_path / "a.csv")
        truth = read_truth(path, CLASSES[::-1])
        assert evaluate_picks(self.picks(), truth).mean_class_f1 == 1

    def test_diameters_and_voxel_size_must_be_known(self, tmp_path):
        (tmp_path / "truth.csv").write_text(TRUTH)
        truth = read_truth(tmp_path / "truth.csv", CLASSES)
        with pytest.raises(PicksError, match="voxel size of the picks is unknown"):
            evaluate_picks(self.picks(voxel_size=None), truth)
        bare = read_truth(tmp_path / "truth.csv", [ClassInfo("1bxn", 0.0)])
        with pytest.raises(PicksError, match="no diameter is known of 1bxn"):
            evaluate_picks(self.picks(), bare)
        one = read_truth(tmp_path / "truth.csv", CLASSES[:1])
        with pytest.raises(PicksError, match="picks of 4cr2, which"):
            evaluate_picks(self.picks(), one)

    def test_the_development_data(self, shared_data):
        truth = read_truth(shared_data / "tomograms" / "tomo_0001.csv", CLASSES)
        assert len(truth.xyz) > 10
        assert truth.ignored["fiducial"] == 3


def test_points_without_number_in_one_place_are_refused_before_memory_is_full():
    same = np.zeros((60_000, 3))
    with pytest.raises(PicksError, match=r"3,600,000,000 pairs .* voxel size"):
        match(same, same, np.ones(len(same)))
