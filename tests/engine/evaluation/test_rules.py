"""Contests' rules give what their own scripts would."""

import numpy as np
import pytest
from evaluation_cases import case, cases, crowd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree
from skimage.morphology import dilation

from dep.engine import DepError, SettingError, TomogramError
from dep.engine.evaluation.czii import CLASSES, czii, weights_of
from dep.engine.evaluation.events import events_of
from dep.engine.evaluation.shrec import occupancies_of, owners, shrec


def by_trees(made, number, kept=None):
    """Count as the contest's metric does: TP, FP, FN of a class, over tomograms."""
    total = np.zeros(3, int)
    for one in made.each:
        there = one.truth[one.true_as == number]
        mine = one.picked_as == number
        if kept is not None:
            mine = mine & kept(one)
        picks = one.picks[mine]
        radius = made.classes[number - 1].diameter / one.voxel_size / 2 * 0.5
        found = set()
        if len(there) and len(picks):
            near = KDTree(picks).query_ball_tree(KDTree(there), r=radius)
            found = {k for one_pick in near for k in one_pick}
        total += len(found), len(picks) - len(found), len(there) - len(found)
    return total


def f4(tp, fp, fn):
    precision = tp / (tp + fp) if tp + fp > 0 else 0
    recall = tp / (tp + fn) if tp + fn > 0 else 0
    if precision + recall == 0:
        return 0.0
    return 17 * precision * recall / (16 * precision + recall)


class TestCzii:
    @settings(max_examples=20)
    @given(st.integers(0, 10**6))
    def test_it_is_the_contests_metric(self, seed):
        made = crowd(seed, extent=9)
        result = czii(made, events_of(made), {"b": 2})
        scores, weights = [], []
        for number, (name, weight) in enumerate({"a": 1, "b": 2}.items(), start=1):
            if not (made.true_as == number).any():
                assert name not in result.per_class
                continue
            tp, fp, fn = by_trees(made, number)
            rates = result.per_class[name]
            assert (rates.hits, rates.picks, rates.particles) == (tp, tp + fp, tp + fn)
            assert rates.f_beta(4) == pytest.approx(f4(tp, fp, fn))
            scores.append(f4(tp, fp, fn))
            weights.append(weight)
        expected = np.average(scores, weights=weights) if scores else 0
        assert result.figures["score"] == pytest.approx(expected)

    @settings(max_examples=10)
    @given(st.integers(0, 10**6))
    def test_its_curves_count_at_each_threshold(self, seed):
        made = crowd(seed, extent=9)
        result = czii(made, events_of(made))
        for name, curve in result.curves.items():
            number = made.names.index(name) + 1
            for at, threshold in enumerate(curve.threshold):
                tp, fp, _ = by_trees(
                    made, number, lambda one, t=threshold: one.score >= t
                )
                assert (curve.hits[at], curve.picks[at]) == (tp, tp + fp)
        one = result.best["one_for_all"]
        if one is not None:
            again = [
                np.mean(
                    [
                        f4(*by_trees(made, k, lambda c, t=t: c.score >= t))
                        for k in (1, 2)
                        if (made.true_as == k).any()
                    ]
                )
                for t in sorted(set(made.score.tolist()))
            ]
            assert one["score"] == pytest.approx(max(again))
            assert result.best["score_at_those"] >= one["score"] - 1e-12

    def test_a_case_counted_by_hand(self):
        made = cases(
            case(
                [
                    (1, 0, 0, 1.5),  # half the radius of a: found
                    (1, 0, 0, 0),  # again: a false pick
                    (1, 9, 0, 1.51),  # just too far
                    (2, 20, 0, 0),  # of another class than what is there
                ],
                [(1, 0, 0, 0), (1, 9, 0, 0), (1, 20, 0, 0), (2, 40, 0, 0)],
                "one",
            ),
            case([], [(1, 0, 0, 0)], "two"),  # nothing picked
        )
        result = czii(made, events_of(made))
        assert result.per_class["a"].to_dict()["hits"] == 1
        assert (result.per_class["a"].picks, result.per_class["a"].particles) == (3, 4)
        assert result.per_class["b"].hits == 0
        expected = 17 * (1 / 3) * (1 / 4) / (16 / 3 + 1 / 4)
        assert result.figures["score"] == pytest.approx(expected / 2)
        weighted = czii(made, events_of(made), {"b": 0})
        assert weighted.figures["score"] == pytest.approx(expected)

    def test_the_contests_own_table(self):
        radius = {one.name: one.diameter / 2 for one in CLASSES}
        assert radius["ribosome"] == 150
        weights = weights_of(tuple(radius))
        assert weights == {
            "apo-ferritin": 1,
            "beta-amylase": 0,
            "beta-galactosidase": 2,
            "ribosome": 1,
            "thyroglobulin": 2,
            "virus-like-particle": 1,
        }
        assert weights_of(("ribosome", "mine"), {"ribosome": 3}) == {
            "ribosome": 3,
            "mine": 1,
        }

    def test_weights_that_make_no_sense(self):
        made = cases(case([(1, 0, 0, 0)], [(1, 0, 0, 0)]))
        for weights, words in (
            ({"dragon": 1}, "a weight for dragon"),
            ({"a": -1}, "0 or above"),
            ({"a": 0}, "weight 0"),
        ):
            with pytest.raises(SettingError, match=words):
                czii(made, events_of(made), weights)


def write_mrc(path, voxels):
    import mrcfile

    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(voxels)
        mrc.set_volume()
    return path


class TestShrec:
    def test_only_a_step_beyond_the_volume_hits(self, tmp_path):
        rng = np.random.default_rng(1)
        voxels = rng.integers(0, 4, (5, 6, 7)).astype(np.int16)
        voxels[rng.random(voxels.shape) < 0.7] = 0
        path = write_mrc(tmp_path / "o.mrc", voxels)
        z, y, x = (one.ravel() for one in np.indices(voxels.shape))
        owner, _ = owners(path, np.stack([x, y, z], axis=1).astype(float))
        np.testing.assert_array_equal(owner, dilation(voxels).ravel())

    def test_picks_are_rounded_and_moved_into_the_volume(self, tmp_path):
        voxels = np.zeros((5, 6, 7), np.int16)
        voxels[0, 0, 0], voxels[4, 5, 6] = 1, 2
        path = write_mrc(tmp_path / "o.mrc", voxels)
        xyz = np.array([[0.4, -3, -0.5], [9, 5.5, 8], [3, 3, 2]])
        owner, voxel = owners(path, xyz)
        assert owner.tolist() == [1, 2, 0]
        assert voxel.tolist() == [[0, 0, 0], [6, 5, 4], [3, 3, 2]]

    @pytest.fixture
    def counted(self, tmp_path):
        """A tomogram of four particles, the third of a class left out."""
        voxels = np.zeros((10, 20, 40), np.int16)
        for row, x in enumerate((5, 15, 25, 35), start=1):
            voxels[4:7, 9:12, x - 1 : x + 2] = row
        made = cases(
            case(
                [
                    (2, 5, 10, 7, 0.4),  # on the first, dilated; second there
                    (1, 6, 10, 5, 0.9),  # on the first
                    (2, 15, 10, 5.4, 0.8),  # on the second, another class
                    (1, 25, 10, 5, 0.7),  # on the one left out
                    (1, 20, 2, 2, 0.6),  # on nothing
                    (1, 50, 2, 2, 0.5),  # outside, and on nothing
                ],
                [(1, 5, 10, 5), (1, 15, 10, 5), (1, 35, 10, 5)],
                left_out=(3,),
            )
        )
        return made, write_mrc(tmp_path / "t.mrc", voxels)

    def test_a_case_counted_by_hand(self, counted):
        made, path = counted
        result = shrec(made, events_of(made), [path])
        figures = result.figures
        assert (figures["hits"], figures["reported"], figures["particles"]) == (2, 6, 3)
        assert figures["precision"] == pytest.approx(2 / 6)
        assert figures["recall"] == pytest.approx(2 / 3)
        assert figures["f1"] == pytest.approx(2 * 2 / 9)
        assert figures["miss_rate"] == pytest.approx(1 / 3)
        assert figures["false_positives"] == 2
        assert figures["false_negatives"] == 1
        assert figures["multiple_hits"] == 1
        assert figures["outside"] == 1
        assert figures["on_left_out"] == 1
        # The best score is the first: 1 voxel off; 5.4 rounds to 5.
        assert figures["mean_distance"] == pytest.approx((1 + 0) / 2)
        assert result.per_class["a"].to_dict()["recall"] == pytest.approx(1 / 3)
        assert result.per_class["a"].precision == 1
        assert result.confusion == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]

    @pytest.mark.parametrize("seed", range(6))
    def test_it_counts_as_the_organisers_script(self, tmp_path, seed):
        """Particle by particle, picks in turn, the whole volume dilated."""
        rng = np.random.default_rng(seed)
        n, m = int(rng.integers(1, 25)), int(rng.integers(1, 60))
        voxels = np.zeros((12, 16, 20), np.int16)
        truth = rng.integers(0, (20, 16, 12), (n, 3))
        for row, (x, y, z) in enumerate(truth, start=1):
            voxels[max(z - 1, 0) : z + 2, max(y - 1, 0) : y + 2, x : x + 2] = row
        out = set(rng.choice(n, n // 4, replace=False).tolist())
        kind = rng.integers(1, 3, n)
        picked = np.column_stack(
            [
                rng.integers(1, 3, m),
                rng.uniform(-2, (22, 18, 14), (m, 3)).round(1),
                rng.integers(0, 9, m) / 9,
            ]
        )
        made = cases(
            case(
                picked,
                [(kind[k], *truth[k]) for k in range(n) if k not in out],
                left_out=tuple(k + 1 for k in out),
            )
        )
        result = shrec(made, events_of(made), [write_mrc(tmp_path / "t.mrc", voxels)])
        dilated = dilation(voxels)
        found = [[] for _ in range(n + 1)]
        outside = 0
        for row in picked[np.argsort(-picked[:, 4], kind="stable")]:
            at = [round(float(np.float32(value))) for value in row[1:4]]
            x, y, z = inside = np.clip(at, 0, (19, 15, 11)).tolist()
            outside += inside != at
            owner = dilated[z, y, x]
            centre = truth[owner - 1] if owner else (0, 0, 0)
            found[owner].append(
                (int(row[0]), float(np.linalg.norm(np.subtract(inside, centre))))
            )
        kept = [found[k + 1] for k in range(n) if k not in out]
        hit = [one[0] for one in kept if one]
        figures = result.figures
        assert figures["hits"] == len(hit)
        assert figures["false_negatives"] == len(kept) - len(hit)
        assert figures["false_positives"] == len(found[0])
        assert figures["multiple_hits"] == sum(len(one) > 1 for one in kept)
        assert figures["outside"] == outside
        assert figures["recall"] == pytest.approx(len(hit) / len(kept))
        assert figures["precision"] == pytest.approx(len(hit) / m)
        if hit:
            apart = np.mean([one[1] for one in hit])
            assert figures["mean_distance"] == pytest.approx(apart)
        actual = [kind[k] for k in range(n) if k not in out]
        called = [one[0][0] if one else 0 for one in kept]
        confusion = np.zeros((3, 3), int)
        np.add.at(confusion, (actual, called), 1)
        assert result.confusion == confusion.tolist()

    def test_over_thresholds(self, counted):
        made, path = counted
        curve = shrec(made, events_of(made), [path]).curves[""]
        assert curve.threshold.tolist() == [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
        assert curve.hits.tolist() == [1, 2, 2, 2, 2, 2]
        assert curve.picks.tolist() == [1, 2, 3, 4, 5, 6]

    def test_picks_at_the_truth_are_perfect(self, tmp_path):
        truth = [(1, 5, 5, 5), (2, 15, 5, 5)]
        voxels = np.zeros((10, 10, 20), np.int16)
        voxels[5, 5, 5], voxels[5, 5, 15] = 1, 2
        made = cases(case(truth, truth))
        path = write_mrc(tmp_path / "o.mrc", voxels)
        result = shrec(made, events_of(made), [path])
        assert result.figures["f1"] == 1
        assert result.figures["mean_distance"] == 0
        assert all(one.f1 == 1 for one in result.per_class.values())

    def test_a_volume_of_another_tomogram(self, counted):
        _, path = counted
        few = cases(case([(1, 35, 10, 5)], [(1, 5, 10, 5)]))
        with pytest.raises(TomogramError, match="names particle 4, but"):
            shrec(few, events_of(few), [path])

    def test_a_volume_that_was_cut(self, tmp_path):
        """SHREC 2020's has 200 of 512 planes: all picks would seem to miss."""
        truth = [(1, 5, 5, 25), (2, 15, 5, 25)]
        voxels = np.zeros((40, 10, 20), np.int16)
        voxels[25, 5, 5], voxels[25, 5, 15] = 1, 2
        made = cases(case(truth, truth))
        path = write_mrc(tmp_path / "o.mrc", voxels[15:])
        with pytest.raises(TomogramError, match=r"only 0 of 2 particles of .* centre"):
            shrec(made, events_of(made), [path])

    def test_a_volume_of_something_else(self, tmp_path):
        path = write_mrc(tmp_path / "o.mrc", np.full((5, 5, 5), 0.5, np.float32))
        with pytest.raises(TomogramError, match="whole numbers"):
            owners(path, np.array([[1.0, 1, 1]]))
        with pytest.raises(DepError, match=r"none\.mrc"):
            owners(tmp_path / "none.mrc", np.zeros((1, 3)))

    def test_volumes_are_found_by_name(self, tmp_path):
        made = cases(case(name="one"), case(name="two"))
        (tmp_path / "one.mrc").touch()
        with pytest.raises(TomogramError, match=r"no occupancy volume .* of two"):
            occupancies_of(tmp_path, made)
        (tmp_path / "two.mrc").touch()
        found = occupancies_of(tmp_path, made)
        assert [path.name for path in found] == ["one.mrc", "two.mrc"]
        with pytest.raises(TomogramError, match="one file for 2 tomograms"):
            occupancies_of(found[0], made)
