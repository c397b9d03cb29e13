"""Checkpoints of the published tool become models that compute what it computes."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from dep.engine.card import ClassInfo
from dep.engine.errors import CardError
from dep.engine.model_file import read_card
from dep.engine.runtime.onnxruntime_cpu import OnnxRuntimeCpu
from dep.engine.runtime.openvino_cpu import OpenVinoCpu
from dep.export import ExportError, Published, export_onnx, parse_classes
from dep.train import NetworkConfig, ResUNet3D

SHARED = Path(
    os.environ.get("DEP_SHARED_DATA", Path(__file__).parents[3] / "shared/data")
)
PUBLISHED = SHARED / "deepetpicker_checkpoint"
TWELVE = Published([ClassInfo(f"p{k}", 70.0 + 10 * k) for k in range(12)], 10.0)


def infer(path, tiles, runtime=OnnxRuntimeCpu):
    opened = runtime(
        path, read_card(path), precision="f32", threads=2, batch=len(tiles)
    )
    try:
        return np.array(opened.infer(tiles))
    finally:
        opened.close()


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the reference data are not here")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 1e-3)])
def test_the_published_codes_scores_are_met(
    tmp_path, precision, tolerance, monkeypatch
):
    out = tmp_path / "m.onnx"
    monkeypatch.setattr("dep.export.agreement.TILES", 1)  # 72 voxels wide: seconds each
    if precision != "fp32":  # once is enough: the scores are compared below as well
        monkeypatch.setattr(
            "dep.export.onnx_file.compare",
            lambda *_, **__: SimpleNamespace(agrees=True),
        )
    card, _ = export_onnx(
        PUBLISHED / "random-13class.ckpt", out, precision=precision, published=TWELVE
    )
    assert (card.tile, card.margin, card.tile_fixed) == (72, 12, True)
    assert (card.assembly, card.t_seg, card.t_lm) == ("per_class", 0.5, 0.1)
    assert card.precision == precision
    reference = np.load(PUBLISHED / "random-13class-io.npz")
    tile = reference["input_zyx"].astype(np.float32)[None, None]
    core = infer(out, tile)[0][:, 24:48, 24:48, 24:48]
    np.testing.assert_allclose(core, reference["scores_core"], atol=tolerance, rtol=0)


def published(path, network, seed=0, **beside):
    torch.manual_seed(seed)
    made = ResUNet3D(network)
    made(torch.randn(4, 1, 16, 16, 16))  # gives the norms statistics
    with torch.no_grad():
        # Scores that vary and stay below t_seg: noise is full of ties, whose picks
        # would compare thresholds and not networks.
        made.final_conv.weight.normal_(std=0.6)
        made.final_conv.bias.zero_()
        made.final_conv.bias[0] = 8.0 if network.outputs > 1 else -8.0
    state = {"model." + k: v for k, v in made.state_dict().items()}
    torch.save({"state_dict": state, **beside}, path)
    return made.eval()


# An untrained network of 20 classes is never sure of one: with bfloat16's eight bits
# its picks differ, and the export rightly refuses to write.
@pytest.mark.parametrize(
    ("precision", "classes", "coordinates"),
    [
        ("fp32", 1, True),
        ("fp32", 2, False),
        ("fp32", 20, True),
        ("fp16", 1, False),
        ("fp16", 2, True),
        ("fp16", 20, False),
        ("bf16", 1, True),
        ("bf16", 2, False),
    ],
)
def test_any_number_of_classes_at_any_precision(
    tmp_path, precision, classes, coordinates
):
    outputs = 1 if classes == 1 else classes + 1
    network = published(
        tmp_path / "x.ckpt", NetworkConfig(outputs, (4, 8), coordinates=coordinates)
    )
    told = Published([ClassInfo(f"c{k}", 100.0) for k in range(classes)], 10.0)
    out = tmp_path / "m.onnx"
    card, comparison = export_onnx(
        tmp_path / "x.ckpt",
        out,
        precision=precision,
        published=told,
        picking={"tile": 16, "margin": 4},
    )
    assert comparison.difference <= comparison.tolerance
    assert card.activation == ("sigmoid" if classes == 1 else "softmax")
    assert card.tile_fixed == coordinates
    tiles = np.random.default_rng(1).normal(size=(2, 1, 16, 16, 16)).astype(np.float32)
    runtime = OpenVinoCpu if precision == "bf16" else OnnxRuntimeCpu
    scores = infer(out, tiles, runtime)
    with torch.no_grad():
        logits = network(torch.from_numpy(tiles))
        expected = (
            torch.sigmoid(logits) if classes == 1 else torch.softmax(logits, 1)
        ).numpy()
    error = np.abs(scores - expected).max()
    assert error < {"fp32": 1e-5, "fp16": 0.02, "bf16": 0.15}[precision]
    if precision != "fp32":
        assert error > 2e-7  # it is not float32 under another name


@pytest.mark.parametrize(
    ("precision", "kind"),
    [("fp16", onnx.TensorProto.FLOAT16), ("bf16", onnx.TensorProto.BFLOAT16)],
)
def test_typed_networks_are_typed_throughout_but_for_the_softmax(
    tmp_path, precision, kind
):
    published(tmp_path / "x.ckpt", NetworkConfig(3, (4, 8)))
    told = Published([ClassInfo("a", 100.0), ClassInfo("b", 120.0)], 10.0)
    export_onnx(
        tmp_path / "x.ckpt",
        tmp_path / "m.onnx",
        precision=precision,
        published=told,
        picking={"tile": 16, "margin": 4},
    )
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "m.onnx"))
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)
    }
    types |= {item.name: item.data_type for item in model.graph.initializer}
    convolutions = [n for n in model.graph.node if n.op_type.startswith("Conv")]
    # Three units and what folding their coordinates left, an upsampling, the last.
    assert len(convolutions) == 3 * (3 + 1) + 1 + 1
    for node in convolutions:
        wide = precision == "bf16" and node.op_type == "ConvTranspose"
        expected = {onnx.TensorProto.FLOAT} if wide else {kind}
        assert {types[name] for name in (*node.input, *node.output)} == expected
    (softmax,) = [n for n in model.graph.node if n.op_type == "Softmax"]
    assert types[softmax.input[0]] == types[softmax.output[0]] == onnx.TensorProto.FLOAT
    assert types["tomogram"] == types["scores"] == onnx.TensorProto.FLOAT


def test_what_is_told_must_fit_the_network(tmp_path):
    path, out = tmp_path / "x.ckpt", tmp_path / "m.onnx"
    published(path, NetworkConfig(3, (4, 8)))
    with pytest.raises(ExportError, match=r"2 classes apart .* 1 are named"):
        export_onnx(path, out, published=Published([ClassInfo("a", 100.0)], 10.0))
    two = [ClassInfo("a", 100.0), ClassInfo("b", 120.0)]
    with pytest.raises(CardError, match="voxel_size"):
        export_onnx(path, out, published=Published(two, -1.0))
    with pytest.raises(ExportError, match="speed"):
        export_onnx(path, out, published=Published(two, 10.0), picking={"speed": 1})
    with pytest.raises(ExportError, match="for fp32 only"):
        export_onnx(
            path,
            out,
            precision="fp16",
            half_weights=True,
            published=Published(two, 10.0),
        )
    assert not out.exists()


def test_classes_are_read_from_words():
    assert parse_classes("ribosome:250, a:b:7.5") == (
        ClassInfo("ribosome", 250.0),
        ClassInfo("a:b", 7.5),
    )
    for wrong in ("", "ribosome", "a:", ":7", "a:x", "a:-1", "a:1,,b:2", "a:inf"):
        with pytest.raises(ExportError, match="NAME:DIAMETER"):
            parse_classes(wrong)
