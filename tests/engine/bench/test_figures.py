"""What `dep bench` makes of its measurements: medians, ratios of pairs, agreement."""

import numpy as np
import pytest

from dep.engine import DepError, Picks
from dep.engine.bench.compare import Ratio, agreement, compare
from dep.engine.bench.figures import Tiling, figures
from dep.engine.bench.measure import Turn, stats_of
from dep.engine.card import ClassInfo
from dep.engine.stats import PickStats
from dep.engine.tiles import plan_tiles


def stats(total=10.0, network=8.0, **changes):
    fields = {
        **dict.fromkeys(("open", "statistics", "read", "assemble", "mp_nms"), 0.5),
        "deduplicate": 0.25,
        "tiles": 4,
        "tile": (10, 10, 10),
        "margin": 1,
        "computed_voxels": 4000,
        "owned_voxels": 2000,
        "candidates": 1,
        "runtime": "fake 1",
        "device": "cpu",
        "precision": "f32",
        "threads": 2,
    }
    return PickStats(**{**fields, "total": total, "network": network, **changes})


TILING = Tiling(4, (10, 10, 10), 1, 4000, 2000)


def test_figures_are_medians_of_rounds():
    turns = [
        Turn(stats(total=10, network=8), 5.0),
        Turn(stats(total=12, network=9), 12.0),
        Turn(stats(total=50, network=49), 8.0),
    ]
    found = figures(turns, TILING, 100, 400.0)
    assert found.seconds["total"] == 12
    assert found.seconds["network"] == 9
    assert found.seconds["read"] == 0.5
    assert found.alone == 8
    # Of the rounds' ratios 2, 1 and 6.25, not of the medians 12 and 8.
    assert found.whole_by_alone == Ratio(2.0, 1.0, 6.25)
    assert found.outside == pytest.approx(0.2)  # of 0.2, 0.25 and 0.02
    assert found.voxels_per_second == 2000 / 12
    assert found.operations == 2 * 100 * 4
    assert found.operations_per_second == 800 / 8
    assert found.share_of_matmul == 0.25
    assert TILING.overhead == 2


def test_what_is_not_known_is_not_made_up():
    found = figures([Turn(stats(), 5.0)], TILING, None, None)
    assert found.operations is None
    assert found.operations_per_second is None
    assert found.share_of_matmul is None
    assert figures([Turn(stats(), 5.0)], TILING, 1, None).share_of_matmul is None


def test_tilings_are_those_of_plans():
    plan = plan_tiles((30, 40, 50), (24, 20, 22), 3)
    tiling = Tiling.of(plan)
    assert tiling.tile == (24, 20, 22)
    assert tiling.margin == 3
    assert tiling.tiles == len(plan)
    assert tiling.overhead == len(plan) * 24 * 20 * 22 / (30 * 40 * 50)


def picks_of(xyz, class_id, names=("a", "b")):
    return Picks(
        xyz=np.reshape(xyz, (-1, 3)),
        class_id=class_id,
        score=np.ones(len(class_id)),
        classes=tuple(ClassInfo(name, 50.0) for name in names),
        tomogram="t",
    )


def test_agreement_pairs_picks_by_place_and_classes_by_name():
    first = picks_of([[0, 0, 0], [20, 0, 0], [40, 0, 0]], [1, 2, 1])
    second = picks_of(
        [[1, 0, 0], [20, 0, 2], [46, 0, 0], [60, 0, 0]], [2, 2, 2, 1], "ba"
    )
    found = agreement(first, second, 5.0)
    assert found.rates.hits == 2
    assert found.f1 == pytest.approx(2 * 2 / 7)
    assert found.same_class == 1  # "a" is 1 there and 2 here
    assert found.mean_distance == pytest.approx(1.5)
    assert agreement(first, second, 6.0).rates.hits == 3


def test_nothing_agrees_with_nothing():
    none = picks_of([], [])
    found = agreement(none, none, 5.0)
    assert found.f1 is None
    assert found.mean_distance is None
    assert agreement(none, picks_of([[0, 0, 0]], [1]), 5.0).f1 == 0


def test_ratios_are_of_pairs():
    first = [Turn(stats(total=t, network=t / 2), t / 4) for t in (1.0, 2.0, 8.0)]
    second = [Turn(stats(total=t, network=t), t) for t in (2.0, 6.0, 8.0)]
    none = picks_of([], [])
    found = compare(first, second, agreement(none, none, 5.0))
    assert found.whole == Ratio(2.0, 1.0, 3.0)  # of the medians: 6 / 2
    assert found.network == Ratio(4.0, 2.0, 6.0)
    assert found.alone == Ratio(8.0, 4.0, 12.0)


def test_picks_that_were_read_have_no_times():
    with pytest.raises(DepError, match="nothing is known"):
        stats_of(picks_of([], []))
