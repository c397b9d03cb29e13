"""Tiles cover a tomogram: every voxel is owned exactly once, deep inside its tile."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dep.engine import SettingError
from dep.engine.tiles import plan_axis, plan_tiles

edges = st.integers(1, 40).flatmap(
    lambda edge: st.tuples(st.just(edge), st.integers(0, (edge - 1) // 2))
)


@given(st.tuples(*[st.integers(1, 60)] * 3), edges)
def test_every_voxel_is_owned_exactly_once(shape, edge_and_margin):
    edge, margin = max(6, edge_and_margin[0]), min(2, edge_and_margin[1])
    plan = plan_tiles(shape, edge, margin)
    owned = np.zeros(shape, int)
    for tile in plan:
        (z, y, x), (dz, dy, dx) = tile.core, tile.size
        owned[z : z + dz, y : y + dy, x : x + dx] += 1
    assert (owned == 1).all()
    assert len(list(plan)) == len(plan)
    assert plan.computed_voxels == len(plan) * edge**3
    assert plan.owned_voxels == owned.size


@given(st.integers(1, 2000), edges)
def test_a_core_lies_at_least_the_margin_inside_its_tile(length, edge_and_margin):
    edge, margin = edge_and_margin
    spans = plan_axis(length, edge, margin)
    assert spans[0].start == 0
    assert spans[-1].stop == length
    for before, after in pairwise(spans):
        assert before.stop == after.start
    for span in spans:
        assert span.start < span.stop
        assert span.start - span.origin >= margin
        assert span.origin + edge - span.stop >= margin


@given(st.integers(1, 2000), edges)
def test_no_fewer_tiles_would_do(length, edge_and_margin):
    edge, margin = edge_and_margin
    assert len(plan_axis(length, edge, margin)) == -(-length // (edge - 2 * margin))


@given(st.integers(1, 2000), edges)
def test_padding_is_the_margin_where_more_than_one_tile_is_needed(
    length, edge_and_margin
):
    edge, margin = edge_and_margin
    spans = plan_axis(length, edge, margin)
    if len(spans) > 1:
        assert spans[0].origin == -margin
        assert spans[-1].origin + edge == length + margin


def test_tiles_come_layer_by_layer():
    plan = plan_tiles((100, 50, 40), 32, 4)
    starts = [tile.z.start for tile in plan]
    assert starts == sorted(starts)


def test_the_core_in_a_tile():
    tile = next(iter(plan_tiles((5, 300, 300), 96, 12)))
    assert tile.core == (0, 0, 0)
    assert tile.core_in_tile == tuple(-begin for begin in tile.origin)


def test_margins_that_leave_nothing():
    with pytest.raises(SettingError, match="no core"):
        plan_tiles((9, 9, 9), 24, 12)
    with pytest.raises(SettingError, match="no voxels"):
        plan_tiles((9, 0, 9), 24, 4)
