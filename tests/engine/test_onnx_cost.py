"""Multiply-adds are counted as an independent count has them, or not at all."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest

from dep.engine import ModelError
from dep.engine.bundled import bundled_model
from dep.engine.onnx_cost import multiply_adds
from dep.engine.onnx_graph import read_graph


def counted_by_openvino(path, tile):
    """Count from the shapes that OpenVINO finds for the same network."""
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().read_model(path)
    model.reshape({"tomogram": [1, 1, *tile]})
    total = 0
    for op in model.get_ops():
        kind = op.get_type_name()
        if kind not in ("Convolution", "ConvolutionBackpropData"):
            continue
        # What depends on nothing but constants has no way to the input.
        given, weight = (list(op.input(k).get_shape()) for k in (0, 1))
        side = op.output(0).get_shape() if kind == "Convolution" else given
        total += math.prod(side[2:]) * math.prod(weight)
    return total


def counted_by_torch(network, tile):
    import torch
    from torch import nn

    total = 0

    def count(module, given, made):
        nonlocal total
        side = given[0] if isinstance(module, nn.ConvTranspose3d) else made
        total += side[0, 0].numel() * module.weight.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 1, *tile))
    return total


def test_the_bundled_model_costs_what_openvino_says():
    path = bundled_model()
    tile = (96, 96, 96)
    assert multiply_adds(path, tile) == counted_by_openvino(path, tile)


def test_the_bundled_model_costs_what_its_layers_say():
    pytest.importorskip("torch")
    from dep.train.network import NetworkConfig, ResUNet3D

    # docs/models.md: the interpolated head; 14 outputs, beads among them.
    config = NetworkConfig(
        14,
        widths=(32, 64, 96, 128),
        coordinates=False,
        stem_stride=2,
        head="interpolated",
    )
    tile = (64, 96, 112)
    assert multiply_adds(bundled_model(), tile) == counted_by_torch(
        ResUNet3D(config).eval(), tile
    )


@pytest.mark.parametrize(
    ("member", "half_weights"),
    [
        ({}, False),
        ({"stem_stride": 2, "head": "interpolated"}, True),
        ({"stem_stride": 2, "activation": "elu", "pyramid": False}, False),
        ({"coordinates": True}, True),
    ],
    ids=["plain", "interpolated", "elu", "coordinates"],
)
def test_every_member_of_the_family_is_counted(member, half_weights, tmp_path):
    torch = pytest.importorskip("torch")
    from dep.export import onnx_file
    from dep.export.coordinates import fold_coordinates
    from dep.train.deployed import DeployedNetwork
    from dep.train.network import NetworkConfig, ResUNet3D

    config = NetworkConfig(4, **{"widths": (8, 12), "coordinates": False, **member})
    network = ResUNet3D(config).eval()
    deployed = fold_coordinates(DeployedNetwork(network, [True, True, False]), 16)
    path = tmp_path / "member.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        model = torch.onnx.export(
            deployed.eval(),
            (torch.zeros(2, 1, 16, 16, 16),),
            dynamo=True,
            verbose=False,
            optimize=True,
            input_names=["tomogram"],
            output_names=["scores"],
        ).model_proto
    if half_weights:
        onnx_file._store_half(model)
    path.write_bytes(model.SerializeToString())
    expected = counted_by_torch(network, (16, 16, 16))
    if config.coordinates:
        # Folded: what the coordinates contribute is a constant.
        first = [
            one.basic_module.conv1.conv
            for one in (*network.encoders, *network.decoders)
        ]
        edges = (16, 8, 16)
        expected -= sum(
            edge**3 * one.out_channels * 3 * 27
            for one, edge in zip(first, edges, strict=True)
        )
    assert multiply_adds(path, (16, 16, 16)) == expected


def test_a_larger_tile_costs_in_proportion():
    small, large = (
        multiply_adds(bundled_model(), tile) for tile in ((32, 48, 64), (64, 96, 128))
    )
    assert large == 8 * small


def write(path: Path, nodes, constants):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    shape = ("b", 1, "z", "y", "x")
    graph = helper.make_graph(
        [
            helper.make_node(op, given, [made], **rest)
            for op, given, made, rest in nodes
        ],
        "graph",
        [helper.make_tensor_value_info("tomogram", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph), str(path))
    return path


KERNEL = {"kernel": np.zeros((6, 1, 3, 5, 1), np.float32)}


def test_strides_pads_and_dilations_count(tmp_path):
    path = write(
        tmp_path / "a.onnx",
        [
            (
                "Conv",
                ["tomogram", "kernel"],
                "scores",
                {
                    "strides": [2, 1, 3],
                    "pads": [1, 0, 0, 0, 2, 1],
                    "dilations": [1, 2, 1],
                },
            )
        ],
        KERNEL,
    )
    tile = (20, 21, 22)
    assert multiply_adds(path, tile) == counted_by_openvino(path, tile)


def test_a_weight_in_eight_bits_counts_as_a_weight(tmp_path):
    path = write(
        tmp_path / "a.onnx",
        [
            ("DequantizeLinear", ["bytes", "step"], "kernel", {}),
            ("QuantizeLinear", ["tomogram", "step"], "low", {}),
            ("DequantizeLinear", ["low", "step"], "again", {}),
            ("Conv", ["again", "kernel"], "scores", {}),
        ],
        {"bytes": np.zeros((2, 1, 3, 3, 3), np.int8), "step": np.float32(0.5)},
    )
    assert multiply_adds(path, (5, 6, 7)) == 3 * 4 * 5 * 2 * 27


@pytest.mark.parametrize(
    "nodes",
    [
        [("Flatten", ["tomogram"], "scores", {})],
        [("Conv", ["tomogram", "tomogram"], "scores", {})],
        [("Conv", ["tomogram", "kernel"], "scores", {"auto_pad": "SAME_UPPER"})],
        [("Softmax", ["tomogram"], "scores", {"axis": 2})],
        [("Resize", ["tomogram", "", "", "kernel"], "scores", {})],
        [
            ("Conv", ["tomogram", "kernel"], "other", {}),
            ("Add", ["tomogram", "other"], "scores", {}),
        ],
        [("Conv", ["tomogram", "kernel"], "scores", {"domain": "somebody"})],
    ],
)
def test_what_is_not_understood_is_not_known(nodes, tmp_path):
    assert multiply_adds(write(tmp_path / "a.onnx", nodes, KERNEL), (8, 8, 8)) is None


def test_a_plan_is_not_known(tmp_path):
    assert multiply_adds(tmp_path / "a.plan", (8, 8, 8)) is None


@pytest.mark.parametrize("rows", [b"\x08\x07", b"\x3a\x05ab", b"\xff" * 30])
def test_a_damaged_file_is_an_error(rows, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(rows)
    with pytest.raises(ModelError, match=r"a\.onnx"):
        read_graph(path)


def test_small_constants_keep_their_values_and_weights_do_not(tmp_path):
    path = write(
        tmp_path / "a.onnx",
        [("Conv", ["tomogram", "kernel"], "scores", {})],
        {**KERNEL, "factors": np.float32([1, 2]), "axes": np.int64([-4, 3])},
    )
    graph = read_graph(path)
    assert graph.constants["kernel"].dims == (6, 1, 3, 5, 1)
    assert graph.constants["kernel"].values is None
    assert graph.constants["factors"].values == (1.0, 2.0)
    assert graph.constants["axes"].values == (-4, 3)
    assert (graph.inputs, graph.outputs) == (("tomogram",), ("scores",))
