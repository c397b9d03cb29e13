"""Plans are built for real, by TensorRT-RTX, which needs no GPU for that."""

import shlex
import sys
from contextlib import contextmanager

import pytest

from dep.engine.atomic import atomic_path
from dep.engine.errors import DeviceError, ModelError
from dep.engine.model_file import read_card
from dep.engine.plan_file import read_plan, sha256
from dep.engine.runtime.tensorrt_api import load_tensorrt
from dep.export import (
    ExportError,
    PlanOptions,
    export_plan,
)

trt = pytest.importorskip("tensorrt_rtx")
RTX = PlanOptions(builder="tensorrt_rtx")


@pytest.fixture(params=["fp32", "fp16", "bf16", "int8"])
def typed(request, exported_once):
    """An exported network at each precision."""
    return exported_once(request.param)


@pytest.fixture
def model(exported_once):
    """One of them, where the precision does not matter."""
    return exported_once("fp16")


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
        "int8": trt.DataType.FLOAT,  # what convolutions give; see the next test
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


def test_8_bits_reach_tensorrt_as_quantised_inputs_and_weights(exported_once):
    _, network = parsed(exported_once("int8"))
    layers = [network.get_layer(k) for k in range(network.num_layers)]
    down = [one for one in layers if one.type == trt.LayerType.QUANTIZE]
    assert {one.get_output(0).dtype for one in down} == {trt.DataType.INT8}
    made = {one.get_output(0).name: one for one in layers}
    eight = 0
    for layer in layers:
        if layer.type in (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION):
            # Weights that are constants of the layer are no inputs of it.
            inputs = [layer.get_input(k) for k in range(min(2, layer.num_inputs))]
            kinds = [
                made[one.name].type if one is not None and one.name in made else None
                for one in inputs
            ]
            eight += kinds == [trt.LayerType.DEQUANTIZE] * 2
    assert eight == len(down) >= 1


@pytest.mark.parametrize("batch", [(1, 1, 1), (3, 3, 3), (2, 4, 6)])
def test_the_batch_may_be_fixed_or_a_range(model, tmp_path, batch):
    out = tmp_path / "m.plan"
    _, origin = export_plan(
        model, out, PlanOptions(builder="tensorrt_rtx", batch=batch)
    )
    assert origin.batch == read_plan(out)[1].batch == batch
    assert f"--batch {','.join(map(str, batch))} " in origin.command


def test_the_command_builds_it_again(model, tmp_path):
    options = PlanOptions(
        builder="tensorrt_rtx",
        batch=(2, 2, 2),
        workspace=512,
        compute_capabilities=("8.6", "8.9"),
        version_compatible=False,
    )
    out = tmp_path / "a b.plan"
    words = ["my model.ckpt", "--precision", "fp16"]
    _, origin = export_plan(model, out, options, words=words)
    assert shlex.split(origin.command) == [
        *("dep", "export", "my model.ckpt", "--precision", "fp16"),
        *("-o", str(out), "--with", "tensorrt_rtx"),
        *("--batch", "2,2,2", "--workspace", "512"),
        *("--compute-capability", "8.6,8.9", "--overwrite"),
    ]
    assert origin.compute_capabilities == ("8.6", "8.9")


def test_progress_is_tensorrt_s_own(model, tmp_path):
    told = []
    export_plan(
        model, tmp_path / "m.plan", RTX, progress=lambda *words: told.append(words)
    )
    assert told[0] == ("Building engine", 0, told[0][2])
    assert len({phase for phase, _, _ in told}) > 3
    assert all(0 <= done <= total for _, done, total in told)


def test_what_the_listener_raises_ends_the_build(model, tmp_path):
    def stop(*_words):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_plan(model, tmp_path / "m.plan", RTX, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": (4, 2, 8)}, "fewest <= best <= most"),
        ({"batch": (0, 2, 8)}, "1 to 64"),
        ({"hardware_compatible": True}, "runs on every GPU"),
        ({"version_compatible": True}, "after an upgrade"),
        ({"timing_cache": "x"}, "measures nothing"),
        ({"compute_capabilities": ("1.0",)}, r"expected some of 7\.5, 8\.0.*'1\.0'"),
        ({"workspace": 0}, "1 to 1048576 MiB"),
    ],
)
def test_options_that_would_do_nothing_are_refused(model, tmp_path, options, words):
    out = tmp_path / "m.plan"
    with pytest.raises(ExportError, match=words):
        export_plan(model, out, PlanOptions(builder="tensorrt_rtx", **options))
    assert list(tmp_path.iterdir()) == []


def test_an_onnx_file_that_is_none(model, tmp_path):
    broken = tmp_path / "broken.onnx"
    data = model.read_bytes()
    broken.write_bytes(data[:1000])
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        export_plan(broken, tmp_path / "m.plan", RTX)
    with pytest.raises(ModelError, match="no such model file"):
        export_plan(tmp_path / "none.onnx", tmp_path / "m.plan", RTX)


def test_an_operator_that_tensorrt_does_not_know(model, tmp_path):
    import onnx

    graph = onnx.load(str(model))
    graph.graph.node[3].op_type = "Frobnicate"
    broken = tmp_path / "odd.onnx"
    onnx.save(graph, str(broken))
    with pytest.raises(ExportError, match=r"odd\.onnx: .*does not parse it: .*Frobn"):
        export_plan(broken, tmp_path / "m.plan", RTX)


def test_a_failed_build_leaves_the_old_plan(model, tmp_path):
    out = tmp_path / "m.plan"
    export_plan(model, out, RTX)
    before = out.read_bytes()
    with pytest.raises(ExportError):
        export_plan(
            model,
            out,
            PlanOptions(builder="tensorrt_rtx", compute_capabilities=("9.9",)),
        )
    assert out.read_bytes() == before
    assert read_plan(out)[1].batch == (1, 4, 8)


def test_what_the_check_raises_leaves_nothing_new(model, tmp_path):
    out = tmp_path / "m.plan"
    seen = []

    def refuse(plan, card):
        seen.append((read_plan(plan)[0], card))
        message = "it does not agree"
        raise ExportError(message)

    with pytest.raises(ExportError, match="does not agree"):
        export_plan(model, out, RTX, check=refuse)
    assert seen[0][0] == seen[0][1] == read_card(model)
    assert list(tmp_path.iterdir()) == []
    _, old = export_plan(model, out, RTX)
    with pytest.raises(ExportError, match="does not agree"):
        export_plan(
            model,
            out,
            PlanOptions(builder="tensorrt_rtx", batch=(2, 2, 2)),
            check=refuse,
        )
    assert read_plan(out)[1] == old
    assert sorted(tmp_path.iterdir()) == [out, tmp_path / "m.plan.json"]


def test_a_plan_that_loses_its_document_does_not_stay(model, tmp_path, monkeypatch):
    """Stopped between the two renames: no plan of one build, no document of another."""
    out = tmp_path / "m.plan"
    export_plan(model, out, RTX)
    names = []

    @contextmanager
    def stopped(path):
        names.append(path.name)
        if path.suffix == ".json":
            raise KeyboardInterrupt
        with atomic_path(path) as temporary:
            yield temporary

    monkeypatch.setattr("dep.export.plan.atomic_path", stopped)
    with pytest.raises(KeyboardInterrupt):
        export_plan(model, out, RTX)
    assert names == ["m.plan", "m.plan.json"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(model, tmp_path):
    with pytest.raises(ExportError, match=r"none/m\.plan: cannot be written"):
        export_plan(model, tmp_path / "none" / "m.plan", RTX)


def test_without_any_tensorrt(model, tmp_path, monkeypatch):
    monkeypatch.setattr("dep.engine.runtime.tensorrt_api.find_spec", lambda _name: None)
    with pytest.raises(DeviceError, match=r"TensorRT is not installed: pip install"):
        export_plan(model, tmp_path / "m.plan")
    assert "tensorrt_rtx" in sys.modules  # it was there before
