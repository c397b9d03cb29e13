"""8-bit networks: what is rounded, how finely, and that the picks stand it."""

import numpy as np
import onnx
import onnx.reference
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dep.engine import ClassInfo
from dep.engine.bundled import bundled_model
from dep.engine.model_file import read_card
from dep.engine.runtime.onnxruntime_cpu import OnnxRuntimeCpu
from dep.engine.runtime.openvino_cpu import OpenVinoCpu
from dep.export import ExportError, Published, export_onnx
from dep.export.calibrate import Convolution, spare
from dep.export.quantise import LIMIT, Magnitudes, quantise
from dep.train import CheckpointError, NetworkConfig, ResUNet3D
from dep.train.model_weights import load_model_weights


def error_of(values, step):
    rounded = np.rint(values / step).clip(-LIMIT, LIMIT) * step
    return float(np.square(rounded - values).sum())


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.floats(1e-6, 1e6),
    tail=st.sampled_from([2.0, 4.0, 30.0]),
)
def test_no_step_rounds_much_better_than_the_chosen_one(seed, size, tail):
    rng = np.random.default_rng(seed)
    values = (rng.standard_t(tail, 20_000) * size).astype(np.float32)
    values[values < 0] = 0  # as after a ReLU
    seen = Magnitudes()
    for part in np.split(values, 4):
        seen.see(part)
    chosen = error_of(values, seen.scale())
    largest = float(np.abs(values).max())
    others = [largest / LIMIT / 2 ** (k / 4) for k in range(25)]
    assert chosen <= 1.15 * min(error_of(values, step) for step in others)


def test_rare_large_values_are_cut_off():
    values = np.random.default_rng(0).normal(size=400_000).astype(np.float32)
    values[0] = 20.0
    seen = Magnitudes()
    seen.see(values)
    assert seen.scale() * LIMIT < 6
    assert error_of(values, seen.scale()) < error_of(values, 20 / LIMIT)


@pytest.mark.parametrize(
    ("value", "words"), [(0.0, "zeros"), (np.inf, "no numbers"), (np.nan, "no numbers")]
)
def test_values_without_a_scale_are_explained(value, words):
    seen = Magnitudes()
    seen.see(np.full(10, value, np.float32))
    with pytest.raises(ExportError, match=words):
        seen.scale()


def network_of_two(rng):
    """A convolution down and a transposed one up, with channels of unlike size."""
    first = rng.normal(size=(6, 2, 3, 3, 3)) * np.logspace(-3, 1, 6).reshape(
        6, 1, 1, 1, 1
    )
    second = rng.normal(size=(6, 3, 2, 2, 2)) * np.logspace(-2, 2, 3).reshape(
        1, 3, 1, 1, 1
    )
    nodes = [
        helper.make_node(
            "Conv", ["x", "w1", "b1"], ["y"], strides=[2] * 3, pads=[1] * 6
        ),
        helper.make_node("Relu", ["y"], ["r"]),
        helper.make_node("ConvTranspose", ["r", "w2"], ["z"], strides=[2] * 3),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("b", 2, 8, 8, 8))],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ("b", 3, 8, 8, 8))],
        [
            numpy_helper.from_array(first.astype(np.float32), "w1"),
            numpy_helper.from_array(np.ones(6, np.float32), "b1"),
            numpy_helper.from_array(second.astype(np.float32), "w2"),
        ],
    )
    opset = helper.make_opsetid("", 20)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def test_each_output_channel_is_rounded_to_its_own_size():
    rng = np.random.default_rng(0)
    exact = network_of_two(rng)
    rounded = onnx.ModelProto()
    rounded.CopyFrom(exact)
    quantise(rounded, {"w1": 4 / LIMIT, "w2": 200 / LIMIT})
    onnx.checker.check_model(rounded, full_check=True)
    weights = {i.name: numpy_helper.to_array(i) for i in rounded.graph.initializer}
    old = {i.name: numpy_helper.to_array(i) for i in exact.graph.initializer}
    for name, shape in (("w1", (6, 1, 1, 1, 1)), ("w2", (1, 3, 1, 1, 1))):
        assert weights[f"{name}_int8"].dtype == np.int8
        assert np.abs(weights[f"{name}_int8"]).max() == LIMIT
        steps = weights[f"{name}_scale"].reshape(shape)
        back = weights[f"{name}_int8"] * steps
        assert (np.abs(back - old[name]) <= 0.5001 * steps).all()
    assert not {"w1", "w2"} & weights.keys()
    assert weights["b1"].dtype == np.float32

    x = rng.normal(size=(2, 2, 8, 8, 8)).astype(np.float32)
    (a,) = onnx.reference.ReferenceEvaluator(exact).run(None, {"x": x})
    (b,) = onnx.reference.ReferenceEvaluator(rounded).run(None, {"x": x})
    for channel in range(3):
        apart = np.abs(a - b)[:, channel].max() / np.abs(a[:, channel]).max()
        assert 0 < apart < 0.05


def test_only_what_is_named_is_rounded():
    model = network_of_two(np.random.default_rng(0))
    quantise(model, {"w2": 0.1})
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == [
        "Conv",
        "Relu",
        *("QuantizeLinear", "DequantizeLinear", "DequantizeLinear"),
        "ConvTranspose",
    ]
    with pytest.raises(ExportError, match="w3"):
        quantise(model, {"w3": 0.1})


def test_most_error_for_the_least_work_stays_exact():
    found = {
        "dear": Convolution(1.0, work=1000, error=5.0),
        "cheap": Convolution(1.0, work=1, error=4.0),
        "harmless": Convolution(1.0, work=1, error=0.0001),
        "usual": Convolution(1.0, work=1000, error=0.9),
    }
    assert spare(found) == ["cheap", "dear"]
    assert spare({"exact": Convolution(1.0, work=1, error=0.0)}) == []


# What trying each convolution of the bundled model finds out takes minutes: these six
# make most of the error (tiles of 96, docs/export.md).
SPARED = {
    "network.stem.weight",
    "network.encoders.0.basic_module.conv2.conv.weight",
    "network.encoders.1.basic_module.conv1.conv.weight",
    "network.decoders.2.upsampling.upsample.weight",
    "network.final_conv.weight",
}


@pytest.fixture(scope="module")
def rounded(root, tmp_path_factory):
    """The bundled model, calibrated on and compared with the sample tomogram."""
    out = tmp_path_factory.mktemp("int8") / "standard8.onnx"
    said = []

    def errors(_model, _card, scales, _tiles, _trial):
        assert set(scales) >= SPARED
        return {name: 1e-6 if name in SPARED else 1e-9 for name in scales}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dep.export.calibrate._errors", errors)
        patch.setattr("dep.export.calibrate.TILES", 4)
        # Eight tiles of 32 hold a dozen particles: one that differs is 8 % of them.
        patch.setattr("dep.export.agreement.INT8_TILES", 8)
        patch.setattr("dep.export.agreement.AGREEMENT", 0.9)
        card, comparison = export_onnx(
            bundled_model(),
            out,
            precision="int8",
            calibrate_on=[root / "docs" / "sample" / "sample.mrc"],
            picking={"tile": 32, "margin": 4},
            say=said.append,
        )
    return out, card, comparison, said


def test_the_bundled_model_picks_as_well_with_8_bits(rounded):
    out, card, comparison, said = rounded
    assert card == read_card(out)
    assert card.precision == "int8"
    assert comparison.on == "sample.mrc"
    assert comparison.picks[0] > 4
    assert comparison.agreement >= 0.9
    assert 1e-6 < comparison.difference < 0.005 < comparison.tolerance
    assert "root mean square" in str(comparison)
    # A quarter of float32, and a little for what is spared.
    assert out.stat().st_size < 0.35 * 4 * 3_969_646
    assert any("stay float32" in words for words in said)
    assert not list(out.parent.glob(".*"))


def test_most_convolutions_have_8_bits_and_sums_none(rounded):
    model = onnx.load(rounded[0])
    made = {name: node for node in model.graph.node for name in node.output}
    convolutions = [n for n in model.graph.node if n.op_type.startswith("Conv")]
    eight = 0
    for node in convolutions:
        kinds = {made[n].op_type for n in node.input[:2] if n in made}
        eight += kinds == {"DequantizeLinear"}
    assert len(convolutions) == 26
    assert eight == 26 - len(SPARED)
    for node in model.graph.node:
        if node.op_type in ("Add", "Softmax", "ReduceSum"):
            assert "DequantizeLinear" not in {
                made[n].op_type for n in node.input if n in made
            }
    # TensorRT: symmetric, and int8 alone.
    tensors = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = tensors[node.input[2]]
            assert zero.dtype == np.int8
            assert not zero.any()


def test_both_runtimes_compute_the_same(rounded):
    out, card, *_ = rounded
    tile = np.random.default_rng(0).normal(size=(1, 1, 32, 32, 32)).astype(np.float32)
    scores = []
    for runtime in (OnnxRuntimeCpu, OpenVinoCpu):
        opened = runtime(out, card, precision="f32", threads=2, batch=1)
        scores.append(np.array(opened.infer(tile)))
        opened.close()
    assert np.sqrt(np.square(scores[0] - scores[1]).mean()) < 2e-3


def test_weights_of_8_bits_are_nothing_to_train_or_export_from(rounded, tmp_path):
    with pytest.raises(CheckpointError, match="float weights"):
        load_model_weights(rounded[0])
    with pytest.raises(CheckpointError, match="float weights"):
        export_onnx(rounded[0], tmp_path / "m.onnx")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model file of two classes, whose weights are stored as float16."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)
    network = ResUNet3D(NetworkConfig(3, (4, 8), coordinates=False))
    network(torch.randn(4, 1, 16, 16, 16))  # gives the norms statistics
    with torch.no_grad():
        network.final_conv.weight.normal_(std=0.6)
        network.final_conv.bias[0] = 6.0  # little is picked in noise
    torch.save({"state_dict": network.state_dict()}, folder / "x.ckpt")
    told = Published([ClassInfo("a", 100.0), ClassInfo("b", 120.0)], 10.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dep.export.onnx_file.HALF_FROM", 1)
        export_onnx(
            folder / "x.ckpt",
            folder / "x.onnx",
            published=told,
            half_weights=True,
            picking={"tile": 16, "margin": 4},
        )
    return folder / "x.onnx"


def test_each_convolution_is_tried_by_itself(small, root, tmp_path, monkeypatch):
    found = {}
    monkeypatch.setattr("dep.export.calibrate.TILES", 3)
    monkeypatch.setattr(
        "dep.export.calibrate.spare", lambda one: found.update(one) or []
    )
    card, _ = export_onnx(
        small,
        tmp_path / "m.onnx",
        precision="int8",
        calibrate_on=[root / "docs" / "sample" / "sample.mrc"],
    )
    assert card.precision == "int8"
    assert len(found) == 11  # three units, an upsampling, the last
    assert all(one.scale > 0 for one in found.values())
    assert all(0 < one.error < 0.01 for one in found.values())
    kernels = {name: one.work for name, one in found.items()}
    assert kernels["network.final_conv.weight"] == 16**3 * 4 * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx"]


def test_what_disagrees_is_not_written(small, root, tmp_path, monkeypatch):
    monkeypatch.setattr("dep.export.calibrate.spare", lambda _: [])
    monkeypatch.setattr(Magnitudes, "scale", lambda _: 4.0)
    with pytest.raises(ExportError, match="does not agree"):
        export_onnx(
            small,
            tmp_path / "m.onnx",
            precision="int8",
            calibrate_on=[root / "docs" / "sample" / "sample.mrc"],
        )
    assert list(tmp_path.iterdir()) == []


def test_a_models_file_is_a_source_like_a_checkpoint(small, tmp_path):
    card, comparison = export_onnx(
        small, tmp_path / "m.onnx", picking={"tile": 24, "t_seg": 0.7}
    )
    old = read_card(small)
    assert comparison.difference < 1e-4
    assert (card.tile, card.t_seg, card.margin) == (24, 0.7, old.margin)
    assert (card.classes, card.trained_on) == (old.classes, old.trained_on)
    assert card.weights_digest != old.weights_digest  # float32, not float16, is stored
    one, other = (load_model_weights(p) for p in (small, tmp_path / "m.onnx"))
    assert one.classes == other.classes
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name])


def test_options_that_do_not_go_together(root, tmp_path):
    sample = root / "docs" / "sample" / "sample.mrc"
    for options, words in (
        ({"precision": "int8"}, "--calibrate"),
        ({"precision": "fp16", "calibrate_on": [sample]}, "int8 only"),
        (
            {"precision": "int8", "calibrate_on": [sample], "half_weights": True},
            "fp32 only",
        ),
    ):
        with pytest.raises(ExportError, match=words):
            export_onnx(bundled_model(), tmp_path / "m.onnx", **options)
