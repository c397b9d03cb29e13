"""On a GPU the candidates are those of the processor, whatever runs when."""

import gc
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dep.engine import DeviceError, Picker, TomogramError, open_volume
from dep.engine.device_pipeline import stream_on_device
from dep.engine.model_file import read_card
from dep.engine.normalise import Normaliser
from dep.engine.pipeline import stream
from dep.engine.runtime.gpu import MIB, GpuRuntime
from dep.engine.settings import PickSettings
from dep.engine.tiles import plan_tiles

EDGE, MARGIN = 12, 2
PLAIN = Normaliser(0.0, 1.0)
FIELDS = ("xyz", "voxel", "class_id", "value", "score")


@pytest.fixture(scope="module", autouse=True)
def _few_blocks():
    """A thousand blocks with nothing to do take long on a processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dep.kernels.cuda.nms.SEARCHERS", 5)
        yield


@pytest.fixture(scope="module")
def card(make_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    return read_card(make_model(path, EDGE, MARGIN))


@pytest.fixture
def make_gpu(simulated):
    return simulated.gpu


@pytest.fixture
def make_network(simulated):
    return simulated.network


def volume_of(shape, seed=0):
    noise = np.random.default_rng(seed).normal(0, 3, shape)
    for axis in range(3):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    return (noise / 3).astype(np.float32)


def settings_of(assembly="joint", iterations=2):
    return PickSettings(
        t_seg=0.3, t_lm=0.05, t_dist=3.0, iterations=iterations, assembly=assembly
    )


def rounded(function, kind):
    """What the processor computes must have passed through the same type."""
    if kind == "f32":
        return function
    if kind == "f16":
        return lambda tiles: function(tiles).astype(np.float16)

    def bf16(tiles):
        bits = function(tiles).astype(np.float32).view(np.uint32)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        return bits.view(np.float32)

    return bf16


def joined(result):
    return {
        name: np.concatenate([getattr(part, name) for part in result.candidates])
        for name in FIELDS
    }


def on_processor(fake, array, chosen, plan, function):
    class Here(fake):
        def infer(self, tiles):
            return function(tiles)

    volume = open_volume(array, 10.0)
    return joined(stream(volume, PLAIN, plan, Here(), chosen, background=True))


def on_gpu(runtime, array, chosen, plan, **options):
    volume = open_volume(array, 10.0)
    return stream_on_device(
        volume, PLAIN, plan, runtime, chosen, background=True, **options
    )


few = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@few
@given(
    shape=st.tuples(*[st.integers(1, 20)] * 3),
    batch=st.integers(1, 5),
    least=st.sampled_from([1, 1, 2, 4]),
    kind=st.sampled_from(["f32", "f16", "bf16"]),
    iterations=st.one_of(
        st.integers(1, 7), st.tuples(st.integers(1, 4), st.integers(1, 4))
    ),
    seed=st.integers(0, 2**32 - 1),
    eager=st.sampled_from([0, 1, 3, 50]),
)
def test_candidates_are_those_of_the_processor(
    make_gpu,
    make_network,
    card,
    fake,
    scores_of,
    shape,
    batch,
    least,
    kind,
    iterations,
    seed,
    eager,
):
    """Thin volumes, short last batches, minimum batches, every type; in any order."""
    array = volume_of(shape, seed)
    assembly = "joint" if isinstance(iterations, int) else "per_class"
    chosen = settings_of(assembly, iterations)
    plan = plan_tiles(shape, EDGE, MARGIN)
    gpu = make_gpu(seed=seed, eager=eager)
    network = make_network(scores_of, kind, least=least)
    runtime = GpuRuntime(network, gpu.stream(), card, batch=batch, threads=1)
    found = on_gpu(runtime, array, chosen, plan)
    runtime.close()
    expected = on_processor(fake, array, chosen, plan, rounded(scores_of, kind))
    for name in FIELDS:
        np.testing.assert_array_equal(joined(found)[name], expected[name], name)
    assert network.closed
    assert found.warnings == ()


def test_several_tomograms_one_after_the_other(
    make_gpu, make_network, card, fake, scores_of
):
    gpu = make_gpu(seed=4)
    network = make_network(scores_of)
    runtime = GpuRuntime(network, gpu.stream(), card, batch=3, threads=1)
    for seed, shape in enumerate([(30, 20, 25), (9, 40, 13), (30, 20, 25)]):
        array, chosen = volume_of(shape, seed), settings_of()
        plan = plan_tiles(shape, EDGE, MARGIN)
        found = joined(on_gpu(runtime, array, chosen, plan))
        assert len(found["value"]) > 0
        expected = on_processor(fake, array, chosen, plan, scores_of)
        for name in FIELDS:
            np.testing.assert_array_equal(found[name], expected[name], name)
    runtime.close()
    runtime.close()
    with pytest.raises(DeviceError, match="the model is closed"):
        on_gpu(runtime, array, chosen, plan)


@pytest.mark.parametrize("fault", ["copied", "computed", "arrived"])
def test_a_missing_wait_shows(
    make_gpu, make_network, card, fake, scores_of, fault, monkeypatch, simulated
):
    """Each of the three waits is needed: the device notices when one is left out."""
    stream_class = simulated.stream
    if fault == "copied":  # the host fills a buffer that is still being copied
        monkeypatch.setattr(stream_class, "finish", lambda _self, _event: None)
    else:
        real = stream_class.wait

        def wait(self, event):
            copier = self is not self.gpu.streams[0]
            if copier != (fault == "computed"):
                real(self, event)

        monkeypatch.setattr(stream_class, "wait", wait)
    array, chosen = volume_of((40, 30, 30)), settings_of()
    plan = plan_tiles(array.shape, EDGE, MARGIN)
    expected = on_processor(fake, array, chosen, plan, scores_of)
    wrong = 0
    for seed in range(6):
        gpu = make_gpu(seed=seed, eager=seed % 3)
        network = make_network(scores_of)
        runtime = GpuRuntime(network, gpu.stream(), card, batch=1, threads=1)
        found = joined(on_gpu(runtime, array, chosen, plan))
        wrong += any(
            not np.array_equal(found[name], expected[name], equal_nan=True)
            for name in FIELDS
        )
    assert wrong


def test_the_next_batch_is_read_while_the_device_computes(
    make_gpu, make_network, card, scores_of, monkeypatch
):
    """Nothing of a batch has run when the host goes on to the next."""
    gpu = make_gpu(eager=0)
    network = make_network(scores_of)
    runtime = GpuRuntime(network, gpu.stream(), card, batch=2, threads=1)
    pending = []
    real = runtime.submit

    def submit(number, count):
        scores = real(number, count)
        pending.append(len(gpu.streams[0].queue))
        return scores

    monkeypatch.setattr(runtime, "submit", submit)
    array = volume_of((8, 30, 30))
    on_gpu(runtime, array, settings_of(), plan_tiles(array.shape, EDGE, MARGIN))
    assert min(pending) > 0


class TestFailures:
    def run(self, runtime, **options):
        array = volume_of((30, 20, 20))
        plan = plan_tiles(array.shape, EDGE, MARGIN)
        return on_gpu(runtime, array, settings_of(), plan, **options)

    def test_of_the_network_end_the_run_and_it_can_be_used_again(
        self, make_gpu, make_network, card, scores_of
    ):
        gpu = make_gpu()
        fails = {4: DeviceError("the network failed")}  # 1 is the trial
        network = make_network(scores_of, fails=fails)
        runtime = GpuRuntime(network, gpu.stream(), card, batch=2, threads=1)
        with pytest.raises(DeviceError, match="the network failed"):
            self.run(runtime)
        assert not any(one.queue for one in gpu.streams)
        assert len(joined(self.run(runtime))["value"]) > 0

    def test_of_the_device_are_explained(self, make_gpu, make_network, card, scores_of):
        gpu = make_gpu()
        network = make_network(scores_of, fails={3: "an illegal address"})
        runtime = GpuRuntime(network, gpu.stream(), card, batch=2, threads=1)
        with pytest.raises(
            DeviceError, match="simulated 1 on a simulated GPU failed: an illegal"
        ):
            self.run(runtime)
        with pytest.raises(DeviceError, match="failed: an illegal address"):
            runtime.infer(np.zeros((1, 1, EDGE, EDGE, EDGE), np.float32))

    @pytest.mark.parametrize("call", [1, 2])
    def test_of_a_device_that_dies_are_never_the_drivers_words_alone(
        self, make_gpu, make_network, card, scores_of, call
    ):
        """While it is tried out, and while it works; closing it says nothing more."""
        gpu = make_gpu()
        network = make_network(scores_of, fails={call: "an illegal address"})
        with pytest.raises(DeviceError, match="failed: an illegal address"):  # noqa: PT012
            runtime = GpuRuntime(network, gpu.stream(), card, batch=2, threads=1)
            try:
                self.run(runtime)
            finally:
                runtime.close()
        assert network.closed

    def test_of_a_device_that_dies_while_the_batch_is_halved(
        self, make_gpu, make_network, card, scores_of
    ):
        gpu = make_gpu()
        network = make_network(scores_of, fails={3: MemoryError(), 4: "lost"})
        runtime = GpuRuntime(network, gpu.stream(), card, batch=2, threads=1)
        with pytest.raises(DeviceError, match="failed: lost"):
            self.run(runtime)

    def test_of_the_reader_are_raised_once(
        self, make_gpu, make_network, card, scores_of
    ):
        gpu = make_gpu(eager=0)
        network = make_network(scores_of)
        runtime = GpuRuntime(network, gpu.stream(), card, batch=2, threads=1)
        volume = open_volume(volume_of((30, 20, 20)), 10.0)

        class Broken:
            label, shape, dtype = "TS_1.mrc", volume.shape, volume.dtype
            failure: BaseException = TomogramError("TS_1.mrc: cut off")

            def read(self, z0, z1):
                if z0 > 8:
                    raise self.failure
                return volume.read(z0, z1)

            def rest(self):
                pass

        plan = plan_tiles(volume.shape, EDGE, MARGIN)
        for failure, words in (
            (Broken.failure, "TS_1.mrc: cut off"),
            (MemoryError(), "TS_1.mrc: not enough memory to read it"),
        ):
            Broken.failure = failure
            with pytest.raises(TomogramError, match=words):
                stream_on_device(
                    Broken(), PLAIN, plan, runtime, settings_of(), background=True
                )
            assert not any(one.queue for one in gpu.streams)

    def test_of_the_listener(self, make_gpu, make_network, card, scores_of):
        gpu = make_gpu(eager=0)
        network = make_network(scores_of)
        runtime = GpuRuntime(network, gpu.stream(), card, batch=2, threads=1)

        before = threading.active_count()

        def stop(done, total, stage):
            assert (total, stage) == (36, "network")
            if done > 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.run(runtime, progress=stop)
        assert not any(one.queue for one in gpu.streams)
        assert threading.active_count() == before


def test_more_candidates_than_expected_in_layers_of_one_batch(
    make_gpu, make_network, card, fake, scores_of, monkeypatch
):
    """They are searched for again: what they lie in must still be there."""
    monkeypatch.setattr("dep.kernels.cuda.nms.ROOM", 1)
    array, chosen = volume_of((60, 9, 9)), settings_of(iterations=1)
    plan = plan_tiles(array.shape, EDGE, MARGIN)
    assert len(plan.z) > 6
    runtime = GpuRuntime(
        make_network(scores_of), make_gpu().stream(), card, batch=64, threads=1
    )
    found = joined(on_gpu(runtime, array, chosen, plan))
    expected = on_processor(fake, array, chosen, plan, scores_of)
    assert len(expected["value"]) > 12
    for name in FIELDS:
        np.testing.assert_array_equal(found[name], expected[name], name)


class TestMemory:
    """It runs out at the start, in the middle, or is capped."""

    def test_a_tomogram_is_begun_again_with_half_the_batch(
        self, make_gpu, make_network, card, fake, scores_of
    ):
        gpu = make_gpu()
        network = make_network(scores_of, fails={5: MemoryError("no room")})
        runtime = GpuRuntime(network, gpu.stream(), card, batch=4, threads=1)
        array, chosen = volume_of((30, 20, 20)), settings_of()
        plan = plan_tiles(array.shape, EDGE, MARGIN)
        found = on_gpu(runtime, array, chosen, plan)
        expected = on_processor(fake, array, chosen, plan, scores_of)
        for name in FIELDS:
            np.testing.assert_array_equal(joined(found)[name], expected[name], name)
        assert runtime.batch == 2
        (said,) = found.warnings
        assert "not enough GPU memory for this tomogram" in said
        assert "batch of 2" in said
        assert on_gpu(runtime, array, chosen, plan).warnings == ()

    def test_twice_is_too_often(self, make_gpu, make_network, card, scores_of):
        gpu = make_gpu()
        fails = {5: MemoryError("no room"), 8: MemoryError("no room at all")}
        network = make_network(scores_of, fails=fails)
        runtime = GpuRuntime(network, gpu.stream(), card, batch=4, threads=1)
        array = volume_of((30, 20, 20))
        plan = plan_tiles(array.shape, EDGE, MARGIN)
        with pytest.raises(DeviceError, match=r"not even with a batch of 2 \(no room"):
            on_gpu(runtime, array, settings_of(), plan)

    def test_where_no_smaller_batch_is_left(
        self, make_gpu, make_network, card, scores_of
    ):
        for least, batch in ((1, 1), (4, 4)):
            gpu = make_gpu()
            network = make_network(
                scores_of, least=least, fails={1: MemoryError("no room")}
            )
            with pytest.raises(DeviceError, match=f"with a batch of {batch}.*End"):
                GpuRuntime(network, gpu.stream(), card, batch=batch, threads=1)
            assert network.closed

    def test_buffers_that_do_not_fit_are_halved(
        self, make_gpu, make_network, card, scores_of
    ):
        tile = 4 * EDGE**3
        gpu = make_gpu(memory=2 * 4 * (tile + 3 * tile) - 1)
        network = make_network(scores_of)
        runtime = GpuRuntime(network, gpu.stream(), card, batch=4, threads=1)
        assert runtime.batch == 2
        assert "its buffers: going on with a batch of 2" in runtime.remarks()[0]

    def test_a_cap_chooses_the_batch_and_is_kept(
        self, make_gpu, make_network, card, scores_of
    ):
        gpu = make_gpu()
        network = make_network(scores_of, workspace=MIB, outside=MIB)
        runtime = GpuRuntime(
            network, gpu.stream(), card, batch=64, threads=1, memory=48
        )
        assert runtime.batch == 41 * MIB // (MIB + 2 * 4 * 4 * EDGE**3)
        (said,) = runtime.remarks()
        assert said.endswith("instead of 64 fits 48 MiB")
        assert gpu.pool_limit == 47 * MIB
        array = volume_of((30, 20, 20))
        plan = plan_tiles(array.shape, EDGE, MARGIN)
        assert on_gpu(runtime, array, settings_of(), plan).warnings == ()
        assert gpu.most_used <= 47 * MIB
        runtime.close()
        assert gpu.pool_limit is None

    def test_a_cap_that_is_too_small_says_what_is_needed(
        self, make_gpu, make_network, card, scores_of
    ):
        network = make_network(scores_of, workspace=3 * MIB)
        with pytest.raises(DeviceError, match=r"2 MiB .* allowed; .*needs 4 MiB"):
            GpuRuntime(network, make_gpu().stream(), card, batch=4, threads=1, memory=2)
        assert network.closed

    def test_everything_is_given_back(self, make_gpu, make_network, card, scores_of):
        gpu = make_gpu()
        network = make_network(scores_of, workspace=1000)
        runtime = GpuRuntime(network, gpu.stream(), card, batch=4, threads=1)
        array = volume_of((30, 20, 20))
        on_gpu(runtime, array, settings_of(), plan_tiles(array.shape, EDGE, MARGIN))
        runtime.close()
        gpu.kernels.forget()
        gc.collect()
        assert gpu.used == 0
        assert gpu.released > 0


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
def test_scores_can_be_fetched(make_gpu, make_network, card, scores_of, kind):
    gpu = make_gpu()
    network = make_network(scores_of, kind, least=2)
    runtime = GpuRuntime(network, gpu.stream(), card, batch=3, threads=1)
    tiles = volume_of((3, 1, EDGE * EDGE, EDGE)).reshape(3, 1, EDGE, EDGE, EDGE)
    first, second = runtime.infer(tiles), runtime.infer(tiles[:1])
    expected = rounded(scores_of, kind)(tiles)
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second, expected[:1])
    assert network.batches[-2:] == [3, 2]  # never fewer than it takes


@pytest.mark.parametrize("kernels", ["auto", "c"])
def test_a_picker_picks_with_it(
    make_gpu, make_network, tiny_model, make_tomogram, tmp_path, monkeypatch, kernels
):
    """The whole way, against the processor's picks of the same network."""
    make_tomogram(tmp_path / "t.mrc")
    with Picker(tiny_model, "cpu", runtime="onnxruntime") as picker:
        expected = picker.pick(tmp_path / "t.mrc")
        here = picker.runtime

        def open_here(_path, card, **_options):
            network = make_network(lambda tiles: here.infer(tiles))
            stream_ = make_gpu(seed=1).stream()
            return GpuRuntime(network, stream_, card, batch=1, threads=1)

        monkeypatch.setattr("dep.engine.picker.open_runtime", open_here)
        with Picker(tiny_model, kernels=kernels) as other:
            found = other.pick(tmp_path / "t.mrc")
    np.testing.assert_array_equal(found.xyz, expected.xyz)
    np.testing.assert_array_equal(found.score, expected.score)
    np.testing.assert_array_equal(found.class_id, expected.class_id)
    assert found.stats.runtime == "simulated 1 on a simulated GPU"
    assert found.stats.device == "cuda"
