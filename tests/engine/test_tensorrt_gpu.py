"""What TensorRT is asked for, and when: a stand-in for it on a simulated device."""

from dataclasses import replace

import numpy as np
import pytest

from dep.engine import DeviceError, ModelError
from dep.engine.plan_file import PlanOrigin
from dep.engine.runtime.gpu import GpuRuntime
from dep.engine.runtime.tensorrt_gpu import TensorRtNetwork

EDGE = 24
ORIGIN = PlanOrigin(
    builder="tensorrt",
    version="10.13.3",
    batch=(1, 2, 4),
    compute_capabilities=("9.0",),
    onnx="m.onnx",
    onnx_sha256="0" * 64,
    command="dep export m.onnx -o m.plan",
)


def opened(world, origin=ORIGIN, **options):
    return TensorRtNetwork(world.path, world.card, origin, world.stream, **options)


def buffers(world, batch):
    shape = (EDGE, EDGE, EDGE)
    return (
        world.stream.empty((batch, 1, *shape), np.float32),
        world.stream.empty((batch, 3, *shape), np.float32),
    )


def test_it_is_what_the_engine_says(world):
    network = opened(world)
    assert (network.name, network.precision) == ("tensorrt 10.13.3", "tf32")
    assert (network.scores, network.least, network.most) == ("f32", 1, 4)
    assert network.outside == 500  # the weights
    assert network.nbytes(3) == 3000
    assert not world.runtime.engine_host_code_allowed
    opened(world, replace(ORIGIN, version_compatible=True))
    assert world.runtime.engine_host_code_allowed


@pytest.mark.parametrize(("kind", "name"), [("HALF", "f16"), ("BF16", "bf16")])
def test_scores_may_be_of_16_bits(world, kind, name):
    mode, shape, _ = world.engine.tensors["scores"]
    world.engine.tensors["scores"] = mode, shape, world.Kind[kind]
    assert opened(world).scores == name


def test_a_batch_runs_on_the_stream_in_memory_of_the_pool(world):
    network = opened(world)
    tiles, scores = buffers(world, 4)
    before = world.gpu.used
    network.enqueue(world.stream, tiles, scores)
    assert world.gpu.used - before == 4000
    context = network._context
    assert context.addresses == {
        "tomogram": tiles.ctypes.data,
        "scores": scores.ctypes.data,
    }
    assert world.engine.asked == [("execute", 4)]  # queued; nothing has run
    world.stream.synchronize()
    assert world.engine.asked[-1] == ("ran", 4)


def test_memory_is_taken_when_a_batch_needs_more_and_handed_over_for_each_shape(world):
    network = opened(world)
    before = None
    for batch, held in ((2, 2000), (1, 2000), (4, 4000), (2, 4000), (2, 4000)):
        tiles, scores = buffers(world, batch)
        used = world.gpu.used
        network.enqueue(world.stream, tiles, scores)
        before = network._workspace.nbytes
        assert before == held
        assert network._context.memory == network._workspace.ctypes.data
        assert world.gpu.used - used in (0, 2000)
    network.release()
    assert network._workspace is None
    network.enqueue(world.stream, *buffers(world, 1))
    assert network._workspace.nbytes == 1000


class TestGraphs:
    def test_are_recorded_at_the_second_time_and_replayed_from_then_on(self, world):
        network = opened(world, cuda_graph=True)
        tiles, scores = buffers(world, 2)
        for _ in range(4):
            network.enqueue(world.stream, tiles, scores)
        # Once to allocate, once to record; the third and fourth are replays.
        assert world.engine.asked.count(("execute", 2)) == 2
        world.stream.synchronize()
        assert world.engine.asked.count(("ran", 2)) == 4

    def test_belong_to_their_buffers_and_batch(self, world):
        network = opened(world, cuda_graph=True)
        first, second = buffers(world, 2), buffers(world, 2)
        for _ in range(3):
            network.enqueue(world.stream, *first)
            network.enqueue(world.stream, *second)
        assert world.engine.asked.count(("execute", 2)) == 4
        network.enqueue(world.stream, first[0][:1], first[1][:1])
        assert world.engine.asked[-1] == ("execute", 1)

    def test_are_forgotten_with_the_memory_they_use(self, world):
        network = opened(world, cuda_graph=True)
        small = buffers(world, 2)
        for _ in range(3):
            network.enqueue(world.stream, *small)
        network.enqueue(world.stream, *buffers(world, 4))
        done = world.engine.asked.count(("execute", 2))
        network.enqueue(world.stream, *small)
        assert world.engine.asked.count(("execute", 2)) == done + 1

    def test_stay_as_they_are_whatever_batches_come_between(self, world):
        """Three batches a tomogram, the last one short; several tomograms."""
        network = opened(world, cuda_graph=True)
        runtime = GpuRuntime(network, world.stream, world.card, batch=4, threads=1)
        for _ in range(4):
            for number, count in enumerate((4, 4, 3)):
                runtime.submit(number, count)
        runtime.gpu.synchronize()
        assert world.engine.asked.count(("ran", 4)) == 9
        assert world.engine.asked.count(("execute", 4)) == 4
        assert world.engine.asked.count(("execute", 3)) == 4  # never recorded
        runtime.close()

    def test_a_whole_tomogram_needs_few(self, world):
        network = opened(world, cuda_graph=True)
        runtime = GpuRuntime(network, world.stream, world.card, batch=2, threads=1)
        for number in range(12):
            runtime.submit(number, 2)
        runtime.gpu.synchronize()
        assert world.engine.asked.count(("ran", 2)) == 13  # and the trial
        assert world.engine.asked.count(("execute", 2)) == 4
        runtime.close()


class TestRefusals:
    def test_of_a_plan_that_tensorrt_does_not_take(self, world):
        world.engine = None
        with pytest.raises(
            DeviceError,
            match=r"m\.plan: tensorrt .* this plan: magic tag .*dep export m\.onnx",
        ):
            opened(world)

    def test_of_a_plan_that_finds_no_room(self, world):
        world.engine = None
        world.lines.append("Cuda Runtime (out of memory)")
        with pytest.raises(DeviceError, match="not enough GPU memory to open the plan"):
            opened(world)

    def test_of_a_network_that_is_not_the_cards(self, world):
        mode, _, kind = world.engine.tensors["scores"]
        world.engine.tensors["scores"] = mode, (-1, 5, EDGE, EDGE, EDGE), kind
        with pytest.raises(ModelError, match=r"'scores': expected any x 3 .*any x 5"):
            opened(world)

    def test_of_types_that_nothing_here_reads(self, world):
        mode, shape, _ = world.engine.tensors["scores"]
        world.engine.tensors["scores"] = mode, shape, world.Kind.INT8
        with pytest.raises(ModelError, match="FLOAT and INT8"):
            opened(world)

    def test_of_another_gpu(self, world):
        with pytest.raises(DeviceError, match=r"capability 8\.6, this GPU has 9\.0"):
            opened(world, replace(ORIGIN, compute_capabilities=("8.6",)))

    def test_of_a_batch_beyond_the_plan(self, world):
        network = opened(world)
        with pytest.raises(DeviceError, match=r"a batch of 5 .*\(1 to 4\).*profile"):
            network.nbytes(5)

    def test_at_run_time(self, world):
        network = opened(world)
        world.engine.failure = "cuTensor: an error"
        with pytest.raises(DeviceError, match="failed: cuTensor: an error"):
            network.enqueue(world.stream, *buffers(world, 1))
        world.engine.failure = "an illegal memory access was encountered"
        with pytest.raises(DeviceError, match="illegal memory access"):
            network.enqueue(world.stream, *buffers(world, 1))
        world.engine.failure = "requested 5 GiB: out of memory"
        with pytest.raises(MemoryError):
            network.enqueue(world.stream, *buffers(world, 1))
        assert world.lines == []

    def test_after_it_was_closed(self, world):
        network = opened(world)
        network.close()
        network.close()
        with pytest.raises(DeviceError, match="closed"):
            network.enqueue(world.stream, *buffers(world, 1))


class TestRtx:
    origin = replace(
        ORIGIN, builder="tensorrt_rtx", version="1.7.1", compute_capabilities=()
    )

    def test_what_it_compiled_is_kept_and_read_again(self, world, tmp_path):
        network = opened(world, self.origin)
        assert world.engine.config.strategy is world.Strategy.USER_MANAGED
        assert world.engine.config.cuda_graph_strategy is world.Graphs.DISABLED
        network.enqueue(world.stream, *buffers(world, 1))
        (kept,) = (tmp_path / "cache" / "rtx").iterdir()
        assert kept.read_bytes() == b"kernels+++"
        assert "a-simulated-GPU-1.7.1" in kept.name
        world.engine.compiled = 5  # other shapes came
        network.close()
        assert kept.read_bytes() == b"kernels+++++"
        world.engine.compiled = 0
        again = opened(world, self.origin)
        assert world.engine.config.cache.data == b"kernels+++++"
        again.close()
        assert kept.read_bytes() == b"kernels+++++"

    def test_a_cache_that_does_not_fit_is_made_anew(self, world, tmp_path):
        opened(world, self.origin).enqueue(world.stream, *buffers(world, 1))
        (kept,) = (tmp_path / "cache" / "rtx").iterdir()
        kept.write_bytes(b"of another driver")
        opened(world, self.origin).enqueue(world.stream, *buffers(world, 1))
        assert kept.read_bytes() == b"kernels+++"

    def test_a_folder_that_takes_nothing_costs_only_time(self, world, tmp_path, caplog):
        (tmp_path / "cache").write_text("a file, not a folder")
        network = opened(world, self.origin)
        network.enqueue(world.stream, *buffers(world, 1))
        network.close()
        assert "cannot be written" in caplog.text

    def test_it_records_graphs_by_itself(self, world):
        network = opened(world, self.origin, cuda_graph=True)
        strategy = world.engine.config.cuda_graph_strategy
        assert strategy is world.Graphs.WHOLE_GRAPH_CAPTURE
        tiles, scores = buffers(world, 1)
        for _ in range(3):
            network.enqueue(world.stream, tiles, scores)
        assert world.engine.asked.count(("execute", 1)) == 3
