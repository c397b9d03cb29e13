"""Plans are built for real, by TensorRT-RTX, which needs no GPU for that."""

import json
import shlex
import sys
from types import SimpleNamespace

import pytest
import torch

from dep.engine import ClassInfo
from dep.engine.errors import DeviceError, ModelError
from dep.engine.model_file import read_card
from dep.engine.plan_file import read_plan, sha256
from dep.engine.runtime.tensorrt_api import TensorRt, load_tensorrt
from dep.export import (
    ExportError,
    PlanOptions,
    Published,
    export_onnx,
    export_plan,
)
from dep.train.network import NetworkConfig, ResUNet3D

trt = pytest.importorskip("tensorrt_rtx")
RTX = PlanOptions(builder="tensorrt_rtx")


@pytest.fixture(scope="module", params=["fp32", "fp16", "bf16"])
def typed(request, tmp_path_factory):
    """An exported network of the published format, at each precision."""
    folder = tmp_path_factory.mktemp("typed")
    torch.manual_seed(0)
    network = ResUNet3D(NetworkConfig(3, (4, 8), coordinates=False))
    network(torch.randn(4, 1, 16, 16, 16))  # gives the norms statistics
    with torch.no_grad():
        network.final_conv.bias[0] = 9.0  # nothing is picked in noise
    torch.save({"state_dict": network.state_dict()}, folder / "x.ckpt")
    path = folder / f"{request.param}.onnx"
    told = Published([ClassInfo("a", 100.0), ClassInfo("b", 120.0)], 10.0)
    picking = {"tile": 16, "margin": 4}
    export_onnx(
        folder / "x.ckpt",
        path,
        precision=request.param,
        published=told,
        picking=picking,
    )
    return path


def parsed(path):
    """The network as TensorRT sees it."""
    api = load_tensorrt("tensorrt_rtx")
    logger = api.logger()
    builder = trt.Builder(logger)
    network = builder.create_network(api.network_flags())
    assert trt.OnnxParser(network, logger).parse(path.read_bytes())
    return builder, network


def test_a_plan_is_built_at_every_precision(typed, tmp_path):
    out = tmp_path / "model.plan"
    card, origin = export_plan(typed, out, RTX)
    assert out.stat().st_size > 10_000
    assert read_plan(out) == (card, origin)
    assert card == read_card(typed)
    assert card.precision == typed.stem
    assert origin.builder == "tensorrt_rtx"
    assert origin.version == trt.__version__
    assert origin.batch == (1, 4, 8)
    assert origin.gpu is None
    assert origin.onnx_sha256 == sha256(typed)
    assert sorted(tmp_path.iterdir()) == [out, tmp_path / "model.plan.json"]


def test_tensorrt_sees_the_types_that_were_asked_for(typed):
    _, network = parsed(typed)
    wanted = {
        "fp32": trt.DataType.FLOAT,
        "fp16": trt.DataType.HALF,
        "bf16": trt.DataType.BF16,
    }[typed.stem]
    layers = [network.get_layer(k) for k in range(network.num_layers)]
    found = {
        kind: {one.get_output(0).dtype for one in layers if one.type == kind}
        for kind in (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION)
    }
    assert found[trt.LayerType.CONVOLUTION] == {wanted}
    # TensorRT-RTX builds no transposed convolution of bfloat16.
    wide = trt.DataType.FLOAT if typed.stem == "bf16" else wanted
    assert found[trt.LayerType.DECONVOLUTION] == {wide}
    (softmax,) = [one for one in layers if one.type == trt.LayerType.SOFTMAX]
    assert softmax.get_output(0).dtype == trt.DataType.FLOAT
    assert network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    ends = [network.get_input(0), network.get_output(0)]
    assert [one.name for one in ends] == ["tomogram", "scores"]
    assert {one.dtype for one in ends} == {trt.DataType.FLOAT}
    assert network.get_input(0).shape[0] == -1


def test_the_command_builds_it_again(typed, tmp_path):
    options = PlanOptions(
        builder="tensorrt_rtx",
        batch=(2, 2, 2),
        workspace=512,
        compute_capabilities=("8.6", "8.9"),
        version_compatible=False,
    )
    out = tmp_path / "a b.plan"
    _, origin = export_plan(typed, out, options, source="my model.ckpt")
    assert shlex.split(origin.command) == [
        *("dep", "export", "my model.ckpt", "-o", str(out), "--with", "tensorrt_rtx"),
        *("--batch", "2,2,2", "--workspace", "512"),
        *("--compute-capability", "8.6,8.9", "--overwrite"),
    ]
    assert origin.compute_capabilities == ("8.6", "8.9")


def test_progress_is_tensorrt_s_own(typed, tmp_path):
    told = []
    export_plan(
        typed, tmp_path / "m.plan", RTX, progress=lambda *words: told.append(words)
    )
    assert told[0] == ("Building engine", 0, told[0][2])
    assert len({phase for phase, _, _ in told}) > 3
    assert all(0 <= done <= total for _, done, total in told)


def test_what_the_listener_raises_ends_the_build(typed, tmp_path):
    def stop(*_words):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_plan(typed, tmp_path / "m.plan", RTX, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": (4, 2, 8)}, "fewest <= best <= most"),
        ({"batch": (0, 2, 8)}, "1 or more"),
        ({"hardware_compatible": True}, "runs on every GPU"),
        ({"timing_cache": "x"}, "measures nothing"),
        ({"compute_capabilities": ("1.0",)}, r"expected some of 7\.5, 8\.0.*'1\.0'"),
        ({"workspace": 0}, "1 MiB or more"),
    ],
)
def test_options_that_would_do_nothing_are_refused(typed, tmp_path, options, words):
    out = tmp_path / "m.plan"
    with pytest.raises(ExportError, match=words):
        export_plan(typed, out, PlanOptions(builder="tensorrt_rtx", **options))
    assert list(tmp_path.iterdir()) == []


def test_an_onnx_file_that_is_none(typed, tmp_path):
    broken = tmp_path / "broken.onnx"
    data = typed.read_bytes()
    broken.write_bytes(data[:1000])
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        export_plan(broken, tmp_path / "m.plan", RTX)
    with pytest.raises(ModelError, match="no such model file"):
        export_plan(tmp_path / "none.onnx", tmp_path / "m.plan", RTX)


def test_an_operator_that_tensorrt_does_not_know(typed, tmp_path):
    import onnx

    model = onnx.load(str(typed))
    model.graph.node[3].op_type = "Frobnicate"
    broken = tmp_path / "odd.onnx"
    onnx.save(model, str(broken))
    with pytest.raises(ExportError, match=r"odd\.onnx: .*does not parse it: .*Frobn"):
        export_plan(broken, tmp_path / "m.plan", RTX)


def test_a_failed_build_leaves_the_old_plan(typed, tmp_path):
    out = tmp_path / "m.plan"
    export_plan(typed, out, RTX)
    before = out.read_bytes()
    with pytest.raises(ExportError):
        export_plan(
            typed,
            out,
            PlanOptions(builder="tensorrt_rtx", compute_capabilities=("9.9",)),
        )
    assert out.read_bytes() == before
    assert read_plan(out)[1].batch == (1, 4, 8)


class Recorder:
    """A TensorRT 10 or 11 that notes what it is asked for: it is not installed."""

    def __init__(self, version, typed_flag):
        self.calls = []
        recorder = self

        class Anything:
            def __init__(self, name):
                self.__dict__["name_"] = name

            def __getattr__(self, attribute):
                def call(*args):
                    recorder.calls.append((attribute, args))
                    if attribute == "build_serialized_network":
                        return b"plan"
                    if attribute == "get_timing_cache":
                        return SimpleNamespace(serialize=lambda: b"measured")
                    if attribute == "set_timing_cache":
                        return args[0] != ("cache", b"of another GPU")
                    if attribute == "create_timing_cache":
                        return ("cache", args[0])
                    if attribute == "get_input":
                        return SimpleNamespace(name="tomogram")
                    return Anything(attribute)

                return call

            def __setattr__(self, attribute, value):
                recorder.calls.append((attribute, value))

        class ILogger:
            Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)

        flags = {"STRONGLY_TYPED": 1} if typed_flag else {}
        self.module = SimpleNamespace(
            __version__=version,
            ILogger=ILogger,
            Builder=lambda _logger: Anything("builder"),
            OnnxParser=lambda _network, _logger: SimpleNamespace(parse=lambda _b: True),
            NetworkDefinitionCreationFlag=SimpleNamespace(**flags),
            MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
            BuilderFlag=SimpleNamespace(VERSION_COMPATIBLE="version"),
            HardwareCompatibilityLevel=SimpleNamespace(AMPERE_PLUS="ampere"),
        )


@pytest.mark.parametrize(("version", "flagged"), [("10.13.3", True), ("11.0.0", False)])
def test_tensorrt_10_and_11_are_asked_alike(
    typed, tmp_path, monkeypatch, version, flagged
):
    recorder = Recorder(version, flagged)
    api = TensorRt("tensorrt", version, recorder.module)
    monkeypatch.setattr("dep.export.plan.load_tensorrt", lambda _name: api)
    cache = tmp_path / "timing.cache"
    cache.write_bytes(b"of another GPU")
    options = PlanOptions(
        builder="tensorrt",
        workspace=64,
        version_compatible=True,
        hardware_compatible=True,
        timing_cache=cache,
    )
    _, origin = export_plan(typed, tmp_path / "m.plan", options)
    asked = dict(recorder.calls)
    assert asked["create_network"] == (2 if flagged else 0,)
    assert asked["set_memory_pool_limit"] == ("workspace", 64 << 20)
    assert asked["set_flag"] == ("version",)
    assert asked["hardware_compatibility_level"] == "ampere"
    edge = read_card(typed).tile
    assert asked["set_shape"] == (
        "tomogram",
        *[(batch, 1, edge, edge, edge) for batch in (1, 4, 8)],
    )
    assert asked["set_timing_cache"] == (("cache", b""), False)  # the other was refused
    assert cache.read_bytes() == b"measured"
    assert (tmp_path / "m.plan").read_bytes() == b"plan"
    assert "--version-compatible --hardware-compatible" in origin.command
    document = json.loads((tmp_path / "m.plan.json").read_text())
    assert document["built"]["version"] == version
    with pytest.raises(ExportError, match="for the GPU of this machine"):
        export_plan(
            typed, tmp_path / "m.plan", PlanOptions(compute_capabilities=("8.6",))
        )


def test_without_any_tensorrt(typed, tmp_path, monkeypatch):
    monkeypatch.setattr("dep.engine.runtime.tensorrt_api.find_spec", lambda _name: None)
    with pytest.raises(DeviceError, match=r"TensorRT is not installed: pip install"):
        export_plan(typed, tmp_path / "m.plan")
    assert "tensorrt_rtx" in sys.modules  # it was there before
