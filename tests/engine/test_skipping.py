"""Tiles that are left out are as if the network had found nothing in their cores."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dep.engine import Picker, TomogramError, open_volume
from dep.engine.device_pipeline import stream_on_device
from dep.engine.emptiness import EDGE, EMPTY, Blocks, without_empty
from dep.engine.mask import open_mask
from dep.engine.model_file import read_card
from dep.engine.normalise import Normaliser, measure
from dep.engine.pipeline import stream
from dep.engine.runtime.gpu import GpuRuntime
from dep.engine.settings import PickSettings
from dep.engine.tiles import plan_tiles
from dep.kernels import assemble, halo, mp_nms

PLAIN = Normaliser(0.0, 1.0)
FIELDS = ("xyz", "voxel", "class_id", "value", "score")


def settings_of(iterations=2):
    return PickSettings(
        t_seg=0.3,
        t_lm=0.05,
        t_dist=3.0,
        iterations=iterations,
        assembly="joint" if isinstance(iterations, int) else "per_class",
    )


def volume_of(shape, seed=0):
    noise = np.random.default_rng(seed).normal(0, 3, shape)
    for axis in range(3):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    return (noise / 3).astype(np.float32)


def whole(scores_of, array, chosen, plan):
    """Pick the tomogram in one piece, its labels 0 where tiles are left out."""
    joint = chosen.assembly == "joint"
    labels = np.zeros(array.shape, np.uint8)
    probability = np.zeros(array.shape, np.uint8)
    assemble(
        scores_of(array[None, None])[0],
        *(labels, probability, (0, 0, 0), (0, 0, 0), array.shape),
        t_seg=chosen.t_seg,
        joint=joint,
    )
    for tile in plan.skipped:
        labels[
            tuple(
                slice(start, start + size)
                for start, size in zip(tile.core, tile.size, strict=True)
            )
        ] = 0
    return mp_nms(labels, chosen.iterations, chosen.t_lm, probability, joint=joint)


def joined(parts):
    return {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS
    }


def streamed(array, chosen, runtime, plan):
    volume = open_volume(array, 10.0)
    result = stream(volume, PLAIN, plan, runtime, chosen, background=True)
    return joined(result.candidates)


def thinned(plan, share, layers, seed):
    """Leave out a share of the tiles, and some layers whole."""
    rng = np.random.default_rng(seed)
    bare = {z for z in plan.z if rng.random() < layers}
    return plan.without(
        [tile for tile in plan if tile.z in bare or rng.random() < share]
    )


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 26)] * 3),
    edge=st.integers(7, 20),
    batch=st.integers(1, 5),
    iterations=st.one_of(
        st.integers(1, 5), st.tuples(st.integers(1, 4), st.integers(1, 4))
    ),
    share=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    layers=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 1000),
)
def test_candidates_are_those_without_the_labels_of_skipped_cores(
    fake, scores_of, shape, edge, batch, iterations, share, layers, seed
):
    """First, last, consecutive and all layers without tiles included."""
    array = volume_of(shape, seed)
    chosen = settings_of(iterations)
    plan = thinned(plan_tiles(shape, edge, 2), share, layers, seed)
    expected = whole(scores_of, array, chosen, plan)
    found = streamed(array, chosen, fake(batch=batch), plan)
    for name in FIELDS:
        np.testing.assert_array_equal(found[name], getattr(expected, name), name)


@pytest.fixture(scope="module")
def card(make_model, tmp_path_factory):
    return read_card(make_model(tmp_path_factory.mktemp("model") / "m.onnx", 10, 2))


@pytest.fixture
def _few_blocks(monkeypatch):
    """A thousand blocks with nothing to do take long on a processor."""
    monkeypatch.setattr("dep.kernels.cuda.nms.SEARCHERS", 5)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    shape=st.tuples(*[st.integers(1, 22)] * 3),
    iterations=st.integers(1, 5),
    batch=st.integers(1, 5),
    share=st.sampled_from([0.3, 0.8, 1.0]),
    layers=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 1000),
)
@pytest.mark.usefixtures("_few_blocks")
def test_candidates_on_a_device_are_those_of_the_processor(
    simulated, card, fake, scores_of, shape, iterations, batch, share, layers, seed
):
    array, chosen = volume_of(shape, seed), settings_of(iterations)
    plan = thinned(plan_tiles(shape, 10, 2), share, layers, seed)
    gpu = simulated.gpu(seed=seed)
    network = simulated.network(scores_of)
    runtime = GpuRuntime(network, gpu.stream(), card, batch=batch, threads=1)
    volume = open_volume(array, 10.0)
    result = stream_on_device(volume, PLAIN, plan, runtime, chosen, background=True)
    runtime.close()
    found = joined(result.candidates)
    expected = streamed(array, chosen, fake(), plan)
    for name in FIELDS:
        np.testing.assert_array_equal(found[name], expected[name], name)


def blocks_of(array):
    blocks = Blocks(array.shape)
    for plane in array:
        blocks.take(plane)
    return blocks


class TestBlocks:
    @given(
        st.tuples(*[st.integers(1, 30)] * 3),
        st.tuples(*[st.integers(-9, 30)] * 3),
        st.tuples(*[st.integers(1, 30)] * 3),
        st.sampled_from([0.0, 1e5]),
    )
    def test_boxes_cover_the_region_and_are_measured(self, shape, low, size, mean):
        array = np.random.default_rng(0).normal(mean, 1, shape)
        low = tuple(min(a, n - 1) for a, n in zip(low, shape, strict=True))
        high = tuple(max(a + n, 1) for a, n in zip(low, size, strict=True))
        found = blocks_of(array)._boxes(low, high)
        moved = array - array[0].mean()
        wanted = np.stack([moved, moved**2])
        for axis, length in enumerate(shape):
            count = max(1, length // EDGE)
            edges = [k * EDGE for k in range(count)] + [length]
            means = np.concatenate(
                [
                    wanted.take(range(a, b), axis + 1).mean(axis + 1, keepdims=True)
                    for a, b in pairwise(edges)
                ],
                axis + 1,
            )
            # The blocks that any voxel of the region lies in, and pairs of neighbours.
            inside = [
                k
                for k in range(count)
                if edges[k] < high[axis] and edges[k + 1] > max(low[axis], 0)
            ]
            wanted = means.take(inside, axis + 1)
            if len(inside) > 1:
                many = len(inside)
                first = wanted.take(range(many - 1), axis + 1)
                wanted = (first + wanted.take(range(1, many), axis + 1)) / 2
        np.testing.assert_allclose(found, wanted, atol=1e-5)

    @pytest.mark.parametrize("kind", ["plain", "robust"])
    def test_they_are_gathered_while_statistics_are_measured(self, kind):
        array = np.random.default_rng(0).normal(5, 3, (17, 30, 41)).astype("f4")
        volume = open_volume(array, 10.0)
        blocks = Blocks(volume.shape)
        assert measure(volume, None, kind, blocks) == measure(volume, None, kind)
        np.testing.assert_array_equal(blocks._means, blocks_of(array)._means)

    @pytest.mark.parametrize("place", [(100, 20, 33), (10, 50, 60), (36, 48, 48)])
    @pytest.mark.parametrize("change", ["darker", "coarser"])
    def test_noise_and_fill_are_empty_and_a_particle_is_not(self, place, change):
        rng = np.random.default_rng(0)
        array = rng.normal(0, 1, (120, 96, 96))
        array[40:80] = 3.7
        plan = plan_tiles(array.shape, 40, 8)
        empty = without_empty(plan, blocks_of(array), 1.0, 4).skipped
        for tile in plan:  # all but those that hold noise and fill
            low, high = tile.z.start - 4, tile.z.stop + 4
            pure = high <= 40 or low >= 80 or (low >= 40 and high <= 80)
            assert not pure or tile in empty
        box = tuple(slice(start, start + 7) for start in place)
        if change == "darker":
            array[box] -= 2
        else:
            array[box] += 2 * (np.indices((7, 7, 7)).sum(0) % 2 * 2 - 1)
        left = without_empty(plan, blocks_of(array), 1.0, 4)
        (owner,) = [
            tile
            for tile in plan
            if all(
                start <= at + 3 < start + size
                for start, size, at in zip(tile.core, tile.size, place, strict=True)
            )
        ]
        assert owner not in left.skipped

    def test_what_looks_alike_is_measured_in_deviations(self):
        array = np.zeros((32, 32, 32))
        array[8:16, 8:16, 8:16] = 1.01 * EMPTY
        blocks = blocks_of(array)
        assert not blocks.alike((0, 0, 0), (32, 32, 32), 1.0)
        assert not blocks.alike((0, 0, 0), (32, 32, 32), 1.02)  # varies at its faces
        assert blocks.alike((0, 0, 0), (32, 32, 32), 10.0)
        assert blocks.alike((20, 0, 0), (32, 32, 32), 1.0)


def test_no_pick_of_a_test_tomogram_is_lost(shared_data):
    """Fill above it as outside of the field of view, noise below it as beside the ice.

    Other tomograms and all of their planes: docs/performance.md.
    """
    with open_volume(shared_data / "tomograms" / "tomo_0010.mrc") as volume:
        sample = volume.array[:, :100, :100].astype(np.float32)
    mean, std = sample.mean(), sample.std()
    noise = np.random.default_rng(0).normal(mean, 0.9 * std, (110, 100, 100))
    fill = np.full((110, 100, 100), mean + 5)
    array = np.concatenate([fill, sample, noise]).astype(np.float32)
    # Small tiles: more of them are empty.
    with Picker("fast", tile=96) as picker:
        every = picker.pick(array, 10.0)
        found = picker.pick(array, 10.0, skip_empty=True)
    assert found.stats.skipped_tiles >= 4
    assert found.stats.tiles + found.stats.skipped_tiles == every.stats.tiles
    assert len(every) > 20
    np.testing.assert_array_equal(found.xyz, every.xyz)
    np.testing.assert_array_equal(found.score, every.score)


class TestMask:
    SHAPE = (40, 36, 44)

    def pick(self, fake, array, mask, iterations=2, edge=14):
        volume, chosen = open_volume(array, 10.0), settings_of(iterations)
        plan = plan_tiles(volume.shape, edge, 2)
        opened = open_mask(mask, volume)
        plan = opened.plan(plan, halo(chosen.iterations))
        result = stream(volume, PLAIN, plan, fake(), chosen, background=True)
        return joined([opened.inside(part) for part in result.candidates]), plan

    def test_everything_changes_nothing(self, fake):
        array = volume_of(self.SHAPE)
        plan = plan_tiles(self.SHAPE, 14, 2)
        found, used = self.pick(fake, array, np.ones(self.SHAPE, np.int8))
        assert used == plan
        expected = streamed(array, settings_of(), fake(), plan)
        for name in FIELDS:
            np.testing.assert_array_equal(found[name], expected[name], name)

    @pytest.mark.parametrize("iterations", [1, 4])
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_candidates_are_those_inside_to_the_last_bit(self, fake, seed, iterations):
        array = volume_of(self.SHAPE)
        rng = np.random.default_rng(seed)
        mask = np.zeros(self.SHAPE, np.float32)
        low = [int(rng.integers(0, n - 10)) for n in self.SHAPE]
        mask[low[0] : low[0] + 9, low[1] : low[1] + 9, low[2] : low[2] + 9] = -0.5
        found, used = self.pick(fake, array, mask, iterations)
        assert used.skipped
        plan = plan_tiles(self.SHAPE, 14, 2)
        every = streamed(array, settings_of(iterations), fake(), plan)
        x, y, z = every["voxel"].T
        inside = mask[z, y, x] != 0
        assert inside.any()
        for name in FIELDS:
            np.testing.assert_array_equal(found[name], every[name][inside], name)

    @given(st.floats(0.4, 2.5), st.integers(0, 100))
    def test_in_another_frame_tiles_of_what_lies_inside_are_kept(self, factor, seed):
        rng = np.random.default_rng(seed)
        mask = np.zeros(self.SHAPE, np.uint8)
        place = tuple(int(rng.integers(0, n)) for n in self.SHAPE)
        mask[place] = 1
        seen = tuple(int((n - 1) / factor + 1e-6) + 1 for n in self.SHAPE)
        volume = open_volume(np.zeros(self.SHAPE, np.int8), 10.0)
        opened = open_mask(mask, volume, factor)
        plan = plan_tiles(seen, 12, 2)
        z, y, x = (
            np.minimum(np.rint(np.arange(n) * factor), m - 1).astype(int)
            for n, m in zip(seen, self.SHAPE, strict=True)
        )
        sample = mask[np.ix_(z, y, x)] != 0
        if not sample.any():
            return  # finer than the frame the network sees
        left = opened.plan(plan, 0)
        for tile in plan:
            core = tuple(
                slice(a, a + n) for a, n in zip(tile.core, tile.size, strict=True)
            )
            if sample[core].any():
                assert tile not in left.skipped

    def test_of_another_shape_is_refused(self):
        volume = open_volume(np.zeros(self.SHAPE, np.int8), 10.0)
        with pytest.raises(
            TomogramError, match=r"44 x 36 x 40 voxels, found 36 x 36 x 40"
        ):
            open_mask(np.ones((40, 36, 36), np.int8), volume)

    def test_without_sample_is_refused(self):
        volume = open_volume(np.zeros(self.SHAPE, np.int8), 10.0, name="TS_01")
        mask = open_mask(np.zeros(self.SHAPE, np.int8), volume)
        with pytest.raises(TomogramError, match=r"mask of TS_01: no voxel .* sample"):
            mask.plan(plan_tiles(self.SHAPE, 14, 2), 2)

    def test_of_a_folder_is_that_of_the_tomograms_name(self, tmp_path, make_tomogram):
        volume = open_volume(np.zeros((32, 40, 44), np.int8), 10.0, name="TS_01")
        with pytest.raises(TomogramError, match=r"one mask TS_01\.mrc .* found none"):
            open_mask(tmp_path, volume)
        make_tomogram(tmp_path / "TS_02.mrc", shape=(5, 5, 5))
        make_tomogram(tmp_path / "TS_01.rec")
        open_mask(tmp_path, volume).close()
        make_tomogram(tmp_path / "TS_01.mrc")
        with pytest.raises(TomogramError, match=r"found TS_01\.mrc, TS_01\.rec"):
            open_mask(tmp_path, volume)
