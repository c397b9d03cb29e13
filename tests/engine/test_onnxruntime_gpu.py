"""What ONNX Runtime is asked for on a GPU: with a stand-in for its build for GPUs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dep.engine import DeviceError, ModelError, SettingError
from dep.engine.model_file import read_card
from dep.engine.runtime import (
    gpu_choice,
    onnxruntime_api,
    onnxruntime_gpu,
    open_runtime,
)
from dep.engine.runtime.onnxruntime_gpu import OnnxRuntimeNetwork

EDGE = 24
CUDA = "CUDAExecutionProvider"


class Fail(Exception):  # noqa: N818 - its name
    pass


class StandIn:
    """As much of the module as is used, and what it was asked."""

    __version__ = "1.31.0"

    def __init__(self, streams):
        self.streams = streams
        self.providers = [CUDA, "CPUExecutionProvider"]
        self.kind = "tensor(float)"
        self.asked = []
        self.failure = None
        state = SimpleNamespace(Fail=Fail)
        self.capi = SimpleNamespace(onnxruntime_pybind11_state=state)
        self.given = None

    def SessionOptions(self):  # noqa: N802 - its name
        return SimpleNamespace()

    def RunOptions(self):  # noqa: N802
        entries = {}
        return SimpleNamespace(
            entries=entries, add_run_config_entry=entries.__setitem__
        )

    def InferenceSession(self, _path, _options, providers):  # noqa: N802
        if self.failure:
            raise Fail(self.failure)
        ((name, self.given),) = providers
        assert name == CUDA
        shape = ("batch", 1, EDGE, EDGE, EDGE)
        return SimpleNamespace(
            get_providers=lambda: self.providers,
            get_inputs=lambda: [SimpleNamespace(name="tomogram", shape=shape)],
            get_outputs=lambda: [
                SimpleNamespace(
                    name="scores", shape=("batch", 3, *shape[2:]), type=self.kind
                )
            ],
            io_binding=self.binding,
            run_with_iobinding=self.run,
        )

    def binding(self):
        bound = {}

        def bind(name, device, number, kind, shape, address):
            bound[name] = (device, number, kind, tuple(shape), address)

        return SimpleNamespace(bind_input=bind, bind_output=bind, bound=bound)

    def run(self, binding, options):
        if self.failure:
            raise Fail(self.failure)
        self.asked.append((binding.bound, dict(options.entries)))


@pytest.fixture
def world(monkeypatch, tiny_model, simulated):
    gpu = simulated.gpu()
    stream = gpu.stream()
    module = StandIn(gpu.streams)
    monkeypatch.setattr(onnxruntime_gpu, "load_with_cuda", lambda: module)
    monkeypatch.setattr(onnxruntime_api, "load_with_cuda", lambda: module)
    monkeypatch.setattr(gpu_choice, "find_gpu", lambda _extra: stream)
    return SimpleNamespace(
        path=tiny_model,
        card=read_card(tiny_model),
        gpu=gpu,
        stream=stream,
        module=module,
    )


def opened(world, **options):
    options = {"exact": False} | options
    return OnnxRuntimeNetwork(world.path, world.card, world.stream, **options)


def test_it_computes_on_our_stream_where_our_memory_is_without_waiting(world):
    network = opened(world)
    shape = (EDGE, EDGE, EDGE)
    tiles = world.stream.empty((2, 1, *shape), np.float32)
    scores = world.stream.empty((2, 3, *shape), np.float32)
    network.enqueue(world.stream, tiles, scores)
    assert world.module.given["user_compute_stream"] == str(world.stream.stream_handle)
    ((bound, entries),) = world.module.asked
    assert bound == {
        "tomogram": ("cuda", 0, np.float32, tiles.shape, tiles.ctypes.data),
        "scores": ("cuda", 0, np.float32, scores.shape, scores.ctypes.data),
    }
    assert entries == {"disable_synchronize_execution_providers": "1"}
    network.close()
    with pytest.raises(DeviceError, match="closed"):
        network.enqueue(world.stream, tiles, scores)


@pytest.mark.parametrize(
    ("exact", "precision", "capability", "name", "tf32"),
    [
        (False, "fp32", "9.0", "tf32", "1"),
        (True, "fp32", "9.0", "f32", "0"),
        (False, "fp32", "7.5", "f32", "1"),
        (False, "fp16", "9.0", "f16", "1"),
    ],
)
def test_the_precision_is_said_as_it_is(
    world, monkeypatch, exact, precision, capability, name, tf32
):
    monkeypatch.setattr(type(world.stream), "capability", capability)
    world.card = replace(world.card, precision=precision)
    assert opened(world, exact=exact).precision == name
    assert world.module.given["use_tf32"] == tf32


def test_a_limit_holds_for_its_arena(world):
    network = opened(world, limit=10**9)
    assert world.module.given["gpu_mem_limit"] == str(10**9)
    assert (network.outside, network.nbytes(8)) == (10**9, 0)
    assert "gpu_mem_limit" not in (opened(world), world.module.given)[1]


@pytest.mark.parametrize(
    ("kind", "scores", "bound"),
    [
        ("tensor(float16)", "f16", np.float16),
        ("tensor(bfloat16)", "bf16", 16),
    ],
)
def test_scores_may_be_of_16_bits(world, kind, scores, bound):
    world.module.kind = kind
    network = opened(world)
    assert network.scores == scores
    tile = world.stream.empty((1, 1, EDGE, EDGE, EDGE), np.float32)
    given = world.stream.empty((1, 3, EDGE, EDGE, EDGE), np.uint16)
    network.enqueue(world.stream, tile, given)
    assert world.module.asked[0][0]["scores"][2] == bound


class TestRefusals:
    def test_a_session_that_went_to_the_processor(self, world):
        world.module.providers = ["CPUExecutionProvider"]
        with pytest.raises(DeviceError, match=r"does not take a simulated GPU.*cudnn"):
            opened(world)

    def test_scores_that_nothing_here_reads(self, world):
        world.module.kind = "tensor(double)"
        with pytest.raises(ModelError, match=r"balls\.onnx: scores of type tensor\(d"):
            opened(world)

    def test_a_model_that_it_does_not_open(self, world):
        world.module.failure = "no such operator"
        with pytest.raises(ModelError, match=r"cannot open this model \(no such op"):
            opened(world)

    def test_a_card_that_is_full(self, world):
        """With `auto`, the processor goes on."""
        world.module.failure = "CUDA failure 2: out of memory"
        with pytest.raises(DeviceError, match="not enough GPU memory to open the mod"):
            opened(world)
        assert open_runtime(world.path, world.card).device == "cpu"

    def test_failures_and_a_lack_of_memory_are_told_apart(self, world):
        network = opened(world)
        tile = world.stream.empty((1, 1, EDGE, EDGE, EDGE), np.float32)
        scores = world.stream.empty((1, 3, EDGE, EDGE, EDGE), np.float32)
        world.module.failure = "CUDNN failure 8: execution failed"
        with pytest.raises(DeviceError, match="ONNX Runtime failed: CUDNN failure 8"):
            network.enqueue(world.stream, tile, scores)
        for words in (
            "BFCArena: Failed to allocate memory for requested buffer of size 99",
            "CUDA failure 2: out of memory",
        ):
            world.module.failure = words
            with pytest.raises(MemoryError):
                network.enqueue(world.stream, tile, scores)


class TestOpening:
    """`open_runtime` on a machine with a GPU."""

    def test_auto_takes_the_gpu_for_an_onnx_file(self, world):
        runtime = open_runtime(world.path, world.card)
        assert runtime.device == "cuda"
        assert runtime.name == "onnxruntime 1.31.0 on a simulated GPU"
        assert (runtime.batch, runtime.precision) == (4, "tf32")
        runtime.close()

    @pytest.mark.parametrize(
        "options", [{"device": "cpu"}, {"runtime": "openvino"}, {"device": "auto"}]
    )
    def test_but_not_when_something_else_was_asked_for(self, world, options):
        if options == {"device": "auto"}:  # or when it turns out not to work
            world.module.providers = ["CPUExecutionProvider"]
        assert open_runtime(world.path, world.card, **options).device == "cpu"

    def test_asked_for_by_name_it_is_never_replaced(self, world):
        world.module.providers = ["CPUExecutionProvider"]
        with pytest.raises(DeviceError, match="does not take"):
            open_runtime(world.path, world.card, device="cuda")

    def test_options(self, world):
        runtime = open_runtime(
            world.path, world.card, device="cuda", precision="f32", batch=2
        )
        assert (runtime.batch, runtime.precision) == (2, "f32")
        runtime = open_runtime(world.path, world.card, device="cuda", gpu_memory=400)
        assert world.module.given["gpu_mem_limit"] == str(300 << 20)
        assert world.gpu.pool_limit == 100 << 20
        runtime.close()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"batch": 65}, "batch: expected 1 to 64 tiles, found 65"),
            ({"precision": "bf16"}, "a GPU computes what the file says"),
            ({"cuda_graph": True}, "CUDA graphs are for plans"),
            ({"cuda_graph": True, "device": "cpu"}, "CUDA graphs are for plans"),
            ({"gpu_memory": 100, "device": "cpu"}, "says nothing of the processor"),
            (
                {"gpu_memory": 100, "device": "auto", "runtime": "openvino"},
                "says nothing of the processor",
            ),
        ],
    )
    def test_options_that_it_has_not(self, world, options, words):
        with pytest.raises(SettingError, match=words):
            open_runtime(world.path, world.card, **{"device": "cuda"} | options)

    def test_a_limit_for_a_gpu_that_is_not_taken_is_remarked_on(self, world, caplog):
        world.module.providers = ["CPUExecutionProvider"]
        runtime = open_runtime(world.path, world.card, gpu_memory=400)
        assert runtime.device == "cpu"
        assert "going on with the processor" in caplog.text


def test_a_build_for_processors_is_told(monkeypatch):
    pytest.importorskip("onnxruntime")
    real = onnxruntime_api.load_onnxruntime()
    if CUDA in real.get_available_providers():
        pytest.skip("a build for GPUs is installed")
    with pytest.raises(DeviceError, match="is a build for processors: uninstall"):
        onnxruntime_api.load_with_cuda()

    def missing():
        raise ModuleNotFoundError(name="onnxruntime")

    monkeypatch.setattr(onnxruntime_api, "load_onnxruntime", missing)
    with pytest.raises(DeviceError, match="brings onnxruntime-gpu"):
        onnxruntime_api.load_with_cuda()
