"""Tiles are those that compute the fewest voxels, and fit what they must fit."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dep.engine import Picker, SettingError
from dep.engine.bundled import BUNDLED, bundled_model
from dep.engine.model_file import read_card
from dep.engine.tile_planner import (
    CHANNEL,
    INSIDE,
    LABELLED,
    MIB,
    Tiling,
    choose_tile,
)
from dep.engine.tiles import plan_tiles


def best_by_trying(shape, margin, multiple, fits):
    """Try every box there is."""
    longest = -(-(max(shape) + 2 * margin) // multiple) * multiple
    smallest = (2 * margin // multiple + 1) * multiple
    edges = range(smallest, max(smallest, longest) + 1, multiple)
    found = []
    for box in itertools.product(edges, repeat=3):
        if fits(box):
            plan = plan_tiles(shape, box, margin)
            found.append((plan.computed_voxels, len(plan)))
    return min(found, default=None)


@given(
    shape=st.tuples(*[st.integers(1, 60)] * 3),
    margin=st.integers(0, 9),
    multiple=st.sampled_from([1, 4, 8, 16]),
    most=st.integers(1, 80**3),
    layer=st.sampled_from([0, 100, 3000]),
)
def test_no_box_computes_less(shape, margin, multiple, most, layer):
    if multiple == 1:
        shape = tuple(1 + length % 9 for length in shape)

    def fits(box):
        return np.prod(box) + layer * box[0] <= most

    expected = best_by_trying(shape, margin, multiple, fits)
    box = choose_tile(shape, margin, multiple, fits)
    if expected is None:
        assert box is None
        return
    assert fits(box)
    assert all(edge % multiple == 0 for edge in box)
    plan = plan_tiles(shape, box, margin)
    assert (plan.computed_voxels, len(plan)) == expected


@pytest.mark.parametrize("name", BUNDLED)
def test_a_usual_tomogram_costs_at_most_1_7_of_its_voxels(name):
    """With cubes of 96 and margins of 12 it was 3.24."""
    card = read_card(bundled_model(name))
    plan = Tiling(card, free=True).plan((200, 512, 512))
    assert plan.overhead <= 1.7


def test_a_fixed_network_keeps_its_tile():
    card = read_card(bundled_model())
    assert Tiling(card).plan((200, 512, 512)).tile == (card.tile,) * 3
    assert Tiling(card, tile=(card.tile,) * 3).plan((9, 9, 9)).tile == (card.tile,) * 3
    with pytest.raises(SettingError, match=r"tiles of 96 voxels only.*\(32, 96, 96\)"):
        Tiling(card, tile=(32, 96, 96))


def test_a_tile_that_is_asked_for_is_taken():
    tiling = Tiling(read_card(bundled_model()), free=True, tile=(32, 48, 64))
    assert tiling.plan((300, 300, 300)).tile == (32, 48, 64)


@pytest.mark.parametrize("tile", [(16, 96, 96), (40, 96, 96), (0, 0, 0), (-16,) * 3])
def test_tiles_that_no_network_takes(tile):
    with pytest.raises(SettingError, match="multiples of 16"):
        Tiling(read_card(bundled_model()), free=True, tile=tile)


@pytest.mark.parametrize("held", [0, 4])
def test_memory_bounds_tile_and_layer(held):
    card = read_card(bundled_model())
    each, layer = CHANNEL * card.channels + INSIDE, LABELLED + held
    shape = (500, 900, 900)
    for memory in (160, 400, 900, 2000):
        tiling = Tiling(card, free=True, memory=memory)
        tile = tiling.plan(shape, lambda planes: held * planes * 900 * 900).tile
        taken = np.prod(tile) * each + layer * tile[0] * shape[1] * shape[2]
        assert taken <= memory * MIB
    with pytest.raises(SettingError, match=r"memory: 20 MiB hold no tile.*expected"):
        Tiling(card, free=True, memory=20).plan(shape)
    with pytest.raises(SettingError, match="exclude each other"):
        Tiling(card, free=True, memory=100, tile=(96, 96, 96))


def test_without_a_limit_the_widest_tomogram_has_a_plan():
    plan = Tiling(read_card(bundled_model()), free=True).plan((100, 9000, 9000))
    assert plan.tile == (32, 32, 32)


def test_a_plan_does_not_depend_on_the_machine():
    """Nothing but shape, card and what is asked for goes in; these are its answers."""
    tiling = Tiling(read_card(bundled_model()), free=True)
    assert tiling.plan((128, 256, 256)).tile == (144, 144, 144)
    assert tiling.plan((200, 512, 512)).tile == (224, 80, 144)


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_bundled_networks_take_boxes(runtime):
    tomogram = np.random.default_rng(3).normal(size=(20, 40, 60)).astype("f4")
    with Picker("fast", "cpu", runtime=runtime, tile=(32, 48, 64)) as picker:
        first = picker.pick(tomogram, 10.0).stats
        assert (first.tile, first.margin) == ((32, 48, 64), 8)
    with Picker("fast", "cpu", runtime=runtime) as picker:
        for shape in ((20, 40, 60), (40, 20, 20), (20, 40, 60)):
            stats = picker.pick(
                tomogram.reshape(-1)[: np.prod(shape)].reshape(shape), 10
            ).stats
            assert stats.tile == picker.tiling.plan(shape).tile
            assert stats.tiles == 1
