"""A stand-in for TensorRT that holds its caller to what the real one demands."""

import enum
from types import SimpleNamespace

from dep.engine.model_file import read_card
from dep.engine.runtime import tensorrt_gpu
from dep.engine.runtime.tensorrt_api import TensorRt

EDGE = 24  # of the tiny model


class Mode(enum.Enum):
    INPUT, OUTPUT = range(2)


class Kind(enum.Enum):
    FLOAT, HALF, BF16, INT8 = range(4)


class Strategy(enum.Enum):
    STATIC, USER_MANAGED = range(2)


class Graphs(enum.Enum):
    DISABLED, WHOLE_GRAPH_CAPTURE = range(2)


class Context:
    """Computes 0.5 everywhere, where the addresses say, on the stream it is given."""

    def __init__(self, engine, strategy):
        assert strategy is Strategy.USER_MANAGED
        self.engine = engine
        self.shape = None
        self.memory = None
        self.addresses = {}
        self.ran = False  # since the shape was set: what depends on it is settled
        self.recorded = False  # a graph holds this context as it is

    def set_input_shape(self, name, shape):
        assert name == "tomogram"
        assert not self.recorded, "changed after it was recorded"
        if not self.engine.low <= shape[0] <= self.engine.high:
            self.engine.say("shape out of the profile")
            return False
        self.shape = shape
        self.memory = None  # what was handed over is for other shapes
        self.ran = False
        return True

    def update_device_memory_size_for_shapes(self):
        return 1000 * self.shape[0]

    def set_device_memory(self, address, size):
        assert not self.recorded, "changed after it was recorded"
        assert size >= 1000 * self.shape[0]
        self.memory = address

    def set_tensor_address(self, name, address):
        assert not self.recorded, "changed after it was recorded"
        self.addresses[name] = address

    def execute_async_v3(self, handle):
        self.engine.asked.append(("execute", self.shape[0]))
        assert self.memory is not None
        assert set(self.addresses) == {"tomogram", "scores"}
        if self.engine.failure:
            self.engine.say(self.engine.failure)
            return False
        (stream,) = [one for one in self.engine.streams if one.stream_handle == handle]
        if stream.recording is not None:
            assert self.ran, "recorded before it ran with these shapes"
            self.recorded = True
        self.ran = True
        stream.put(lambda: self.engine.asked.append(("ran", self.shape[0])))
        return True


class Config:
    def __init__(self, engine):
        self.engine = engine
        self.cuda_graph_strategy = Graphs.DISABLED
        self.strategy = Strategy.STATIC
        self.cache = None

    def set_execution_context_allocation_strategy(self, strategy):
        self.strategy = strategy

    def create_runtime_cache(self):
        self.cache = Cache(self.engine)
        return self.cache

    def set_runtime_cache(self, cache):
        return cache is self.cache


class Cache:
    def __init__(self, engine):
        self.engine = engine
        self.data = b""

    def deserialize(self, data):
        if data.startswith(b"kernels"):
            self.data = data
            return True
        return False

    def serialize(self):
        grown = b"kernels" + b"+" * self.engine.compiled
        return grown if len(grown) > len(self.data) else self.data


class Engine:
    """A plan as TensorRT sees it."""

    def __init__(self, words, **changes):
        self.asked, self.streams = [], []
        self.low, self.high = 1, 4
        self.failure = ""
        self.compiled = 3
        self.config = None
        self.tensors = {
            "tomogram": (Mode.INPUT, (-1, 1, EDGE, EDGE, EDGE), Kind.FLOAT),
            "scores": (Mode.OUTPUT, (-1, 3, EDGE, EDGE, EDGE), Kind.FLOAT),
        } | changes
        self._words = words

    def say(self, words):
        self._words.append(words)

    num_io_tensors = property(lambda self: len(self.tensors))

    def get_tensor_name(self, k):
        return list(self.tensors)[k]

    def get_tensor_mode(self, name):
        return self.tensors[name][0]

    def get_tensor_shape(self, name):
        return self.tensors[name][1]

    def get_tensor_dtype(self, name):
        return self.tensors[name][2]

    def get_tensor_profile_shape(self, name, profile):
        assert (name, profile) == ("tomogram", 0)
        edges = self.tensors[name][1][1:]
        return [(self.low, *edges), (2, *edges), (self.high, *edges)]

    def create_runtime_config(self):
        self.config = Config(self)
        return self.config

    def create_execution_context(self, how):
        return Context(self, getattr(how, "strategy", how))


def make_world(monkeypatch, tmp_path, tiny_model, simulated):
    """A plan file, a device, and a TensorRT whose next engine can be chosen."""
    path = tmp_path / "m.plan"
    path.write_bytes(b"p" * 500)
    gpu = simulated.gpu(eager=0)
    stream = gpu.stream()
    lines = []
    here = SimpleNamespace(
        path=path,
        card=read_card(tiny_model),
        gpu=gpu,
        stream=stream,
        engine=Engine(lines),
        lines=lines,
        rtx=False,
        runtime=None,
        Kind=Kind,
        Strategy=Strategy,
        Graphs=Graphs,
    )
    here.engine.streams = gpu.streams

    class Runtime:
        engine_host_code_allowed = False

        def __init__(self, logger):
            assert logger.lines is lines
            here.runtime = self

        def deserialize_cuda_engine(self, data):
            assert data == path.read_bytes()
            if here.engine is None:
                lines.append("magic tag does not match")
            return here.engine

    module = SimpleNamespace(
        Runtime=Runtime,
        TensorIOMode=Mode,
        ExecutionContextAllocationStrategy=Strategy,
        CudaGraphStrategy=Graphs,
    )

    class Api(TensorRt):
        def logger(self):
            return SimpleNamespace(lines=lines)

    def load(name):
        version = {"tensorrt": "10.13.3", "tensorrt_rtx": "1.7.1"}[name]
        return Api(name, version, module)

    monkeypatch.setattr(tensorrt_gpu, "load_tensorrt", load)
    monkeypatch.setenv("DEP_CACHE", str(tmp_path / "cache"))
    return here
