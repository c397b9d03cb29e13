"""On a real GPU: streaming, ONNX Runtime and plans against the processor."""

import numpy as np
import pytest

from dep.engine import DeviceError, Picker, open_volume
from dep.engine.device_pipeline import stream_on_device
from dep.engine.model_file import read_card
from dep.engine.normalise import Normaliser
from dep.engine.pipeline import stream
from dep.engine.runtime.gpu import GpuRuntime
from dep.engine.runtime.onnxruntime_api import load_with_cuda
from dep.engine.settings import PickSettings
from dep.engine.tiles import plan_tiles

pytestmark = pytest.mark.gpu
FIELDS = ("xyz", "voxel", "class_id", "value", "score")
EDGE, MARGIN = 24, 4


class ArrayNetwork:
    """A `DeviceNetwork` in CuPy: a function of NumPy's that takes its arrays too."""

    name, precision, scores = "arrays", "f32", "f32"
    least, most, outside = 1, 64, 0

    def __init__(self, function):
        self.function = function

    def nbytes(self, batch):
        return 0 * batch

    def enqueue(self, device, tiles, scores):
        with device.activate(), device._stream:
            scores[...] = self.function(tiles)

    def release(self):
        pass

    def close(self):
        pass


@pytest.fixture
def device():
    from dep.kernels.cuda.cupy_device import CupyDevice

    return CupyDevice()


def joined(result):
    return {
        name: np.concatenate([getattr(part, name) for part in result.candidates])
        for name in FIELDS
    }


@pytest.mark.parametrize("batch", [1, 3])
def test_streaming_gives_what_the_processor_gives(
    device, fake, make_model, scores_of, tmp_path, batch
):
    array = np.random.default_rng(0).normal(0, 2, (60, 70, 80)).astype(np.float32)
    card = read_card(make_model(tmp_path / "m.onnx", EDGE, MARGIN))
    plan = plan_tiles(array.shape, EDGE, MARGIN)
    chosen = PickSettings(
        t_seg=0.3, t_lm=0.05, t_dist=3.0, iterations=3, assembly="joint"
    )
    volume, plain = open_volume(array, 10.0), Normaliser(0.0, 1.0)
    runtime = GpuRuntime(ArrayNetwork(scores_of), device, card, batch=batch, threads=1)

    class Fetched(fake):
        """The same scores on the processor: a GPU may round the network otherwise."""

        def infer(self, tiles):
            return runtime.infer(tiles)

    expected = joined(stream(volume, plain, plan, Fetched(), chosen, background=True))
    assert len(expected["value"]) > 20
    for _ in range(2):
        found = joined(
            stream_on_device(volume, plain, plan, runtime, chosen, background=True)
        )
        for name in FIELDS:
            np.testing.assert_array_equal(found[name], expected[name], name)
    runtime.close()


def test_what_was_recorded_is_replayed(device):
    labels = device.zeros((8, 8, 8), np.uint8)
    ones = device.upload(np.ones((8, 8, 8), np.uint8))
    graph = device.capture(lambda: device.copy(labels, ones))
    assert not device.download(labels).any()
    device.replay(graph)
    assert device.download(labels).all()


def same_picks(found, expected):
    assert len(expected.xyz) > 0
    np.testing.assert_array_equal(found.class_id, expected.class_id)
    np.testing.assert_allclose(found.xyz, expected.xyz, atol=0.05)


@pytest.fixture
def expected(tiny_model, make_tomogram, tmp_path):
    make_tomogram(tmp_path / "t.mrc")
    with Picker(tiny_model, "cpu") as picker:
        return picker.pick(tmp_path / "t.mrc")


@pytest.mark.parametrize("options", [{}, {"gpu_memory": 2000}, {"precision": "f32"}])
def test_onnx_runtime_picks(tiny_model, tmp_path, expected, options):
    try:
        load_with_cuda()
    except DeviceError as error:
        pytest.skip(str(error))
    with Picker(tiny_model, "cuda", **options) as picker:
        found = picker.pick(tmp_path / "t.mrc")
        again = picker.pick(tmp_path / "t.mrc")
    same_picks(found, expected)
    np.testing.assert_array_equal(again.xyz, found.xyz)


@pytest.mark.parametrize("builder", ["tensorrt", "tensorrt_rtx"])
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_plans_pick(tiny_model, tmp_path, expected, builder, cuda_graph, monkeypatch):
    pytest.importorskip(builder)
    export = pytest.importorskip("dep.export")
    monkeypatch.setenv("DEP_CACHE", str(tmp_path / "cache"))
    plan = tmp_path / "m.plan"
    export.export_plan(tiny_model, plan, export.PlanOptions(builder=builder))
    with Picker(plan, cuda_graph=cuda_graph) as picker:
        for _ in range(3):
            found = picker.pick(tmp_path / "t.mrc")
            same_picks(found, expected)
    if builder == "tensorrt_rtx":
        assert list((tmp_path / "cache" / "rtx").glob("*.cache"))
