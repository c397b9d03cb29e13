"""The picks of a tomogram do not depend on tiles, batches, threads or slabs."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine import DeviceError, open_volume
from dep.engine.normalise import Normaliser
from dep.engine.pipeline import TileReader, stream
from dep.engine.settings import PickSettings
from dep.engine.slab import Slab
from dep.engine.tiles import plan_tiles
from dep.kernels import assemble, halo, mp_nms

REACH = 2  # of the fake network
PLAIN = Normaliser(0.0, 1.0)
FIELDS = ("xyz", "voxel", "class_id", "value", "score")


def volume_of(shape, seed=0):
    """Noise smoothed a little, so that blobs of both kinds lie everywhere."""
    noise = np.random.default_rng(seed).normal(0, 3, shape)
    for axis in range(3):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    return (noise / 3).astype(np.float32)


def settings_of(assembly="joint", iterations=2, t_seg=0.3):
    return PickSettings(
        t_seg=t_seg, t_lm=0.05, t_dist=3.0, iterations=iterations, assembly=assembly
    )


def whole(scores_of, array, chosen):
    """Pick the tomogram in one piece, without tiles and slabs."""
    scores = scores_of(array[None, None])[0]
    labels = np.zeros(array.shape, np.uint8)
    probability = np.zeros(array.shape, np.uint8)
    joint = chosen.assembly == "joint"
    assemble(
        scores,
        labels,
        probability,
        (0, 0, 0),
        (0, 0, 0),
        array.shape,
        t_seg=chosen.t_seg,
        joint=joint,
    )
    return mp_nms(labels, chosen.iterations, chosen.t_lm, probability, joint=joint)


def streamed(array, chosen, runtime, edge, margin=REACH, normalise=PLAIN):
    plan = plan_tiles(array.shape, edge, margin)
    volume = open_volume(array, 10.0)
    result = stream(volume, normalise, plan, runtime, chosen, background=True)
    return {
        name: np.concatenate([getattr(part, name) for part in result.candidates])
        for name in FIELDS
    }


def assert_same(found, expected):
    assert len(expected) > 0
    for name in FIELDS:
        np.testing.assert_array_equal(found[name], getattr(expected, name), name)


@pytest.mark.parametrize("assembly", ["joint", "per_class"])
@pytest.mark.parametrize("edge", [12, 17, 30, 64])
@pytest.mark.parametrize("iterations", [1, 3, 6])
def test_picks_do_not_depend_on_the_tiling(fake, scores_of, assembly, edge, iterations):
    """Slabs of cores thinner than the halo of six iterations included."""
    array = volume_of((41, 30, 33))
    chosen = settings_of(assembly, iterations)
    expected = whole(scores_of, array, chosen)
    assert_same(streamed(array, chosen, fake(), edge), expected)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 26)] * 3),
    edge=st.integers(2 * REACH + 1, 24),
    margin=st.integers(REACH, 4),
    batch=st.integers(1, 5),
    iterations=st.one_of(
        st.integers(1, 4), st.tuples(st.integers(1, 4), st.integers(1, 4))
    ),
)
def test_nor_on_shape_margin_and_batch(
    fake, scores_of, shape, edge, margin, batch, iterations
):
    array = volume_of(shape, seed=sum(shape))
    assembly = "joint" if isinstance(iterations, int) else "per_class"
    chosen = settings_of(assembly, iterations)
    expected = whole(scores_of, array, chosen)
    edge = max(edge, 2 * margin + 1)
    found = streamed(array, chosen, fake(batch=batch), edge, margin)
    for name in FIELDS:
        np.testing.assert_array_equal(found[name], getattr(expected, name), name)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_nor_on_batches_and_threads(fake, scores_of, batch, threads):
    array = volume_of((30, 28, 26))
    chosen = settings_of()
    found = streamed(array, chosen, fake(batch=batch, threads=threads), 14)
    assert_same(found, whole(scores_of, array, chosen))


def test_tiles_beyond_the_tomogram_are_padded_with_its_mean(fake):
    """With a mean of 50, padding with anything else would be a wall of bright."""
    array = volume_of((20, 20, 20)) + 50
    runtime = fake()
    runtime_seen = []
    infer = runtime.infer
    runtime.infer = lambda tiles: runtime_seen.append(tiles.copy()) or infer(tiles)
    streamed(array, settings_of(), runtime, 30, 4, Normaliser(50.0, 1.0))
    tile = runtime_seen[0][0, 0]
    np.testing.assert_array_equal(tile[5:25, 5:25, 5:25], array - np.float32(50))
    assert not tile[:5].any()
    assert not tile[:, :, 25:].any()


def test_memory_is_that_of_a_slab_not_of_the_tomogram():
    edge, margin, n = 32, 4, 3
    plan = plan_tiles((2000, 40, 40), edge, margin)
    slab = Slab(plan, settings_of(iterations=n), background=True, threads=1)
    most = (edge - 2 * margin + 2 * halo(n)) * 40 * 40 * 2
    assert slab.nbytes <= most


def test_progress_counts_tiles(fake):
    array = volume_of((30, 28, 26))
    plan = plan_tiles(array.shape, 14, 2)
    seen = []
    stream(
        open_volume(array, 10.0),
        PLAIN,
        plan,
        fake(batch=4),
        settings_of(),
        background=True,
        progress=lambda *now: seen.append(now),
    )
    assert seen[0] == (4, len(plan), "network")
    assert seen[-1] == (len(plan), len(plan), "network")
    assert [done for done, *_ in seen] == sorted(done for done, *_ in seen)


@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_failure_of_the_runtime_surfaces_once(fake, after):
    runtime = fake(failure=DeviceError("out of memory"), after=after)
    before = threading.active_count()
    with pytest.raises(DeviceError, match="out of memory"):
        streamed(volume_of((30, 28, 26)), settings_of(), runtime, 14)
    assert runtime.calls == after + 1
    assert threading.active_count() == before


def test_an_interrupt_ends_the_run_and_its_threads(fake):
    runtime = fake(failure=KeyboardInterrupt(), after=3)
    before = threading.active_count()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        streamed(volume_of((60, 60, 60)), settings_of(), runtime, 14)
    assert time.perf_counter() - start < 2
    assert threading.active_count() == before


def test_what_progress_raises_ends_the_run(fake):
    class StopError(Exception):
        pass

    def stop(*_now):
        raise StopError

    array = volume_of((30, 28, 26))
    plan = plan_tiles(array.shape, 14, 2)
    runtime = fake()
    with pytest.raises(StopError):
        stream(
            open_volume(array, 10.0),
            PLAIN,
            plan,
            runtime,
            settings_of(),
            background=True,
            progress=stop,
        )
    assert runtime.calls == 1


def test_a_failure_while_reading_surfaces(fake):
    class BrokenVolume:
        name, shape, dtype = "broken", (30, 28, 26), np.dtype("f4")

        def read(self, z0, z1):
            if z0 > 10:
                raise OSError(5, "Input/output error")
            return np.zeros((z1 - z0, 28, 26), "f4")

        def rest(self):
            pass

    plan = plan_tiles(BrokenVolume.shape, 14, 2)
    with pytest.raises(OSError, match="Input/output error"):
        stream(BrokenVolume(), PLAIN, plan, fake(), settings_of(), background=True)


def test_stages_overlap(fake, monkeypatch):
    """The next batch is read while the runtime computes, which here waits for it."""
    volume = open_volume(volume_of((40, 30, 30)), 10.0)
    runtime = fake()
    plan = plan_tiles(volume.shape, 20, 2)
    batches = -(-len(plan) // runtime.batch)
    fill, infer = TileReader.fill, runtime.infer
    filled = threading.Semaphore(0)
    waited = []

    def counted(reader, tiles, out):
        fill(reader, tiles, out)
        filled.release()

    def patient(tiles):
        if not waited:
            filled.acquire()  # the batch at hand
        last = len(waited) == batches - 1
        waited.append(last or filled.acquire(timeout=10))
        return infer(tiles)

    monkeypatch.setattr(TileReader, "fill", counted)
    runtime.infer = patient
    stream(volume, PLAIN, plan, runtime, settings_of(), background=True)
    assert batches > 2
    assert waited == [True] * batches
