"""Clusters hold one pick of each set, all within t_dist; two sets are matched."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine import ClassInfo, Picks, PicksError, SettingError
from dep.engine.comparison.clusters import clusters
from dep.engine.comparison.comparison import Distance, PickSet, compare
from dep.engine.comparison.outputs import members, table, write
from dep.engine.comparison.sources import names_of, read_sets

KINDS = (ClassInfo("a", 60.0), ClassInfo("b", 90.0))


def points(seed, many=3, most=14, extent=8, whole=True):
    rng = np.random.default_rng(seed)
    made = [rng.uniform(0, extent, (rng.integers(0, most), 3)) for _ in range(many)]
    return [one.round() if whole else one for one in made]


def brute(sets, t_dist):
    """Merge the nearest mergeable pair of points, again and again."""
    every = [(s, k) for s, one in enumerate(sets) for k in range(len(one))]
    place = {key: sets[key[0]][key[1]] for key in every}

    def apart(p, q):
        return float(np.sqrt(((place[p] - place[q]) ** 2).sum()))

    def order(pair):
        low, high = sorted(tuple(place[k]) for k in pair)
        return apart(*pair), low, high, pair

    groups = [{key} for key in every]
    pairs = [
        (p, q)
        for p, q in combinations(every, 2)
        if p[0] != q[0] and apart(p, q) <= t_dist
    ]
    for p, q in sorted(pairs, key=order):
        one = next(g for g in groups if p in g)
        other = next(g for g in groups if q in g)
        if one is other or {s for s, _ in one} & {s for s, _ in other}:
            continue
        if all(apart(x, y) <= t_dist for x in one for y in other):
            groups.remove(other)
            one |= other
    return {frozenset(g) for g in groups}


def as_groups(found):
    return {
        frozenset((s, int(k)) for s, k in enumerate(row) if k >= 0) for row in found
    }


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 4), st.booleans(), st.floats(0.5, 5))
def test_clusters_are_those_of_merging_one_pair_after_another(
    seed, many, whole, t_dist
):
    sets = points(seed, many, whole=whole)
    assert as_groups(clusters(sets, t_dist)) == brute(sets, t_dist)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.floats(0.5, 5))
def test_what_a_cluster_is(seed, t_dist):
    sets = points(seed, 3)
    found = clusters(sets, t_dist)
    for s, one in enumerate(sets):  # every pick is in one
        assert sorted(found[found[:, s] >= 0, s]) == list(range(len(one)))
    for row in found:
        there = [sets[s][k] for s, k in enumerate(row) if k >= 0]
        for p, q in combinations(there, 2):
            assert np.sqrt(((p - q) ** 2).sum()) <= t_dist


@settings(max_examples=6)
@given(st.integers(0, 10**6), st.floats(0.5, 5))
def test_neither_the_order_of_sets_nor_of_rows_matters(seed, t_dist):
    sets = [np.unique(one, axis=0) for one in points(seed, 3)]
    expected = {
        frozenset((s, tuple(sets[s][k])) for s, k in group)
        for group in as_groups(clusters(sets, t_dist))
    }
    rng = np.random.default_rng(seed)
    for order in permutations(range(3)):
        turned = [rng.permutation(sets[s]) for s in order]
        found = {
            frozenset((order[s], tuple(turned[s][k])) for s, k in group)
            for group in as_groups(clusters(turned, t_dist))
        }
        assert found == expected


def test_a_chain_is_no_cluster():
    sets = [np.array([[x, 0, 0]]) for x in (0.0, 3.0, 5.0)]
    # The second is nearer to the third; the first is 5 from that, beyond 4.
    assert clusters(sets, 4.0).tolist() == [[0, -1, -1], [-1, 0, 0]]
    assert clusters(sets, 5.0).tolist() == [[0, 0, 0]]


def picks(rows, name="t", **changes):
    """Make picks of rows (class, x, y, z, score)."""
    rows = np.array(rows, float).reshape(-1, 5)
    return Picks(
        **{
            "xyz": rows[:, 1:4],
            "class_id": rows[:, 0],
            "score": rows[:, 4],
            "classes": KINDS,
            "tomogram": name,
            "voxel_size": 10.0,
            "shape": (100, 100, 100),
            **changes,
        }
    )


A = picks([(1, 10, 10, 10, 0.9), (1, 30, 10, 10, 0.8), (2, 50, 10, 10, 0.7)])
B = picks([(1, 11, 10, 10, 0.6), (2, 30, 12, 10, 0.5), (2, 80, 10, 10, 0.4)])
C = picks([(1, 10, 11, 10, 0.3), (1, 90, 90, 90, 0.2)])


def sets(**named):
    return [PickSet(name, {"t": one}) for name, one in named.items()]


def test_two_sets_counted_by_hand():
    found = compare(sets(A=A, B=B), Distance(4, "voxels"))
    assert found.sizes == (3, 3)
    assert found.combinations() == {(0, 1): 2, (0,): 1, (1,): 1}
    assert found.distances(0, 1).tolist() == [1, 2]
    assert found.by_kind() == {
        "a": {(0, 1): 1, (0,): 0, (1,): 0},
        "a / b": {(0, 1): 1, (0,): 0, (1,): 0},
        "b": {(0, 1): 0, (0,): 1, (1,): 1},
    }
    document = found.to_dict()
    (pair,) = document["pairs"]
    assert pair["jaccard"] == pytest.approx(2 / 4)
    assert (pair["mean_distance"], pair["median_distance"]) == (1.5, 1.5)
    assert sum(pair["histogram"]["counts"]) == 2
    assert pair["histogram"]["edges"][-1] == 4


def test_by_class_only_picks_of_one_class_go_together():
    found = compare(sets(A=A, B=B), Distance(4, "voxels"), by_class=True)
    assert found.combinations() == {(0, 1): 1, (0,): 2, (1,): 2}
    assert set(found.by_kind()) == {"a", "b"}


def test_classes_go_by_name():
    turned = picks(
        [(2, 10, 10, 10, 0.9), (2, 30, 10, 10, 0.8), (1, 50, 10, 10, 0.7)],
        classes=KINDS[::-1],
    )
    found = compare(sets(A=A, again=turned), Distance(1, "voxels"), by_class=True)
    assert found.combinations() == {(0, 1): 3, (0,): 0, (1,): 0}


def test_three_sets_counted_by_hand():
    found = compare(sets(A=A, B=B, C=C), Distance(4, "voxels"))
    assert found.combinations() == {(0, 1, 2): 1, (0, 1): 1, (0,): 1, (1,): 1, (2,): 1}
    rows = list(table(found))
    assert rows[0] == ["A", "B", "C", "particles", "a", "a / b", "b"]
    assert rows[1] == [1, 1, 1, 1, 1, 0, 0]
    assert rows[2] == [1, 1, 0, 1, 0, 1, 0]
    assert sum(row[3] for row in rows[1:]) == 5


def test_angstrom_and_voxels():
    one = compare(sets(A=A, B=B), Distance(15, "Å"))
    assert one.combinations()[(0, 1)] == 1
    assert one.distances(0, 1).tolist() == [10]
    unknown = picks([], voxel_size=None, shape=None)
    with pytest.raises(PicksError, match="needs the voxel size"):
        compare(sets(A=unknown, B=unknown), Distance(15, "Å"))
    with pytest.raises(PicksError, match="voxel sizes differ"):
        compare(sets(A=A, B=picks([], voxel_size=13.0)), Distance(4, "voxels"))


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.floats(0.5, 5), st.booleans())
def test_a_against_b_is_b_against_a(seed, t_dist, by_class):
    rng = np.random.default_rng(seed)
    both = [
        picks(np.column_stack([rng.integers(1, 3, len(one)), one, np.ones(len(one))]))
        for one in (np.unique(p, axis=0) for p in points(seed, 2, most=30))
    ]
    one = compare(
        sets(A=both[0], B=both[1]), Distance(t_dist, "voxels"), by_class=by_class
    )
    other = compare(
        sets(B=both[1], A=both[0]), Distance(t_dist, "voxels"), by_class=by_class
    )
    x, y = one.combinations(), other.combinations()
    assert (x[0, 1], x[0,], x[1,]) == (y[0, 1], y[1,], y[0,])
    np.testing.assert_allclose(
        np.sort(one.distances(0, 1)), np.sort(other.distances(0, 1))
    )
    itself = compare(sets(A=both[0], too=both[0]), Distance(t_dist, "voxels"))
    assert itself.combinations() == {(0, 1): len(both[0]), (0,): 0, (1,): 0}


@pytest.mark.parametrize("form", ["relion5", "csv"])
def test_pick_files_are_the_sets(tmp_path, form):
    found = compare(sets(A=A, B=B), Distance(4, "voxels"))
    paths, _ = write(found, tmp_path / "out", form)
    suffix = ".star" if form == "relion5" else ".csv"
    stems = ("intersection", "only_A", "only_B")
    assert [path.name for path in paths[:3]] == [f"{stem}{suffix}" for stem in stems]
    common, only_a, only_b = (Picks.read(path) for path in paths[:3])
    np.testing.assert_allclose(common.xyz, A.xyz[:2], atol=1e-3)
    assert common.class_names == ["a", "a"]
    np.testing.assert_allclose(common.score, [0.9, 0.8], atol=1e-3)
    np.testing.assert_allclose(only_a.xyz, A.xyz[2:], atol=1e-3)
    np.testing.assert_allclose(only_b.xyz, B.xyz[2:], atol=1e-3)
    assert (tmp_path / "out" / "comparison.json").is_file()


def test_several_tomograms(tmp_path):
    other = picks([(1, 10, 10, 10, 0.9)], "u")
    two = [
        PickSet("A", {"t": A, "u": other}),
        PickSet("B", {"t": B}),
    ]
    found = compare(two, Distance(4, "voxels"))
    assert found.combinations() == {(0, 1): 2, (0,): 2, (1,): 1}
    assert [len(one) for one in members(found, (0,))] == [1, 1]
    paths, _ = write(found, tmp_path, "csv")
    again, notes = read_sets(paths[:2], ["common", "only"])
    assert again[1].picks["u"].xyz.tolist() == [[10, 10, 10]]
    assert notes[0].startswith("common has no picks of u: it counts as having found")
    once, notes = read_sets(paths[:2], ["common", "only"], common=True)
    assert list(once[1].picks) == ["t"]
    assert notes == ["left out, not in all sets: u"]
    paths, _ = write(found, tmp_path, "coords")  # holds one tomogram a file
    assert sorted(one.name for one in paths[1].iterdir()) == ["t.coords", "u.coords"]


def test_names_of_sets(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    for folder in "xy":
        for name in ("one.csv", "two.csv"):
            (tmp_path / folder / name).touch()
    x, y = tmp_path / "x", tmp_path / "y"
    assert names_of([x / "one.csv", y / "two.csv"]) == ["one", "two"]
    assert names_of([x / "one.csv", y / "one.csv"]) == ["x", "y"]
    assert names_of([x, y]) == ["x", "y"]
    assert names_of([x / "one.csv", x / "one.csv"]) == ["A", "B"]


def test_what_cannot_be_compared():
    with pytest.raises(SettingError, match="two or more sets"):
        compare(sets(A=A), Distance(4, "voxels"))
    with pytest.raises(SettingError, match="names of their own"):
        compare([*sets(A=A), *sets(A=B)], Distance(4, "voxels"))
    for value in (0, -1, float("inf"), float("nan")):
        with pytest.raises(SettingError, match="above 0"):
            Distance(value, "voxels")
