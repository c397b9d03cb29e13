"""Folded coordinates: the same scores from fewer input channels."""

import dataclasses

import numpy as np
import onnx
import pytest
import torch

from dep.engine.card import ClassInfo
from dep.engine.model_file import read_card
from dep.engine.runtime.onnxruntime_cpu import OnnxRuntimeCpu
from dep.export import Published, export_onnx
from dep.export.coordinates import PlacedConv, fold_coordinates
from dep.train import CheckpointError, NetworkConfig, ResUNet3D
from dep.train.deployed import DeployedNetwork
from dep.train.model_weights import load_model_weights


def deployed(config, seed=0):
    torch.manual_seed(seed)
    network = ResUNet3D(config)
    network(torch.randn(2, 1, 16, 16, 16))  # gives the norms statistics
    with torch.no_grad():
        network.final_conv.weight.normal_(std=0.6)
    return DeployedNetwork(network.eval(), [True] * (config.outputs - 1)).eval()


@pytest.mark.parametrize("tile", [8, 16, 24])
@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(3, (4, 6, 8)),
        NetworkConfig(3, (4, 8), pyramid=False),
        NetworkConfig(3, (4, 8), stem_stride=2),
        NetworkConfig(3, (4, 8), convolutions=2, activation="elu", residual=False),
    ],
)
def test_folding_changes_no_score_anywhere_in_the_tile(config, tile):
    network = deployed(config).double()
    network.dtype = torch.float64
    folded = fold_coordinates(network, tile)
    x = torch.randn(2, 1, tile, tile, tile, dtype=torch.float64)
    with torch.no_grad():
        # Softmax is float32 whatever goes in: its rounding is all that may differ.
        torch.testing.assert_close(folded(x), network(x), atol=1e-6, rtol=0)
        inner, outer = folded.network(x), network.network(x)
        torch.testing.assert_close(inner, outer, atol=1e-11, rtol=1e-11)
    assert (
        sum(isinstance(m, PlacedConv) for m in folded.modules())
        == len(config.widths) + len(config.widths) - 1
    )


def test_the_place_matters_so_the_test_above_sees_it():
    network = deployed(NetworkConfig(3, (4, 6, 8)))
    folded = fold_coordinates(network, 16)
    for module in folded.modules():
        if isinstance(module, PlacedConv):
            module.get_buffer("ramp").neg_()
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert (folded(x) - network(x)).abs().max() > 1e-2


def test_the_network_that_is_folded_stays_as_it_was():
    network = deployed(NetworkConfig(3, (4, 8)))
    fold_coordinates(network, 16)
    assert network.network.config.coordinates
    assert not any(isinstance(m, PlacedConv) for m in network.modules())


def test_without_coordinates_there_is_nothing_to_fold():
    network = deployed(NetworkConfig(3, (4, 8), coordinates=False))
    assert fold_coordinates(network, 16) is network


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(1)
    network = ResUNet3D(NetworkConfig(3, (4, 8)))
    network(torch.randn(2, 1, 16, 16, 16))
    torch.save({"state_dict": network.state_dict()}, tmp_path / "x.ckpt")
    told = Published([ClassInfo("a", 100.0), ClassInfo("b", 120.0)], 10.0)
    out = tmp_path / "m.onnx"
    export_onnx(
        tmp_path / "x.ckpt", out, published=told, picking={"tile": 16, "margin": 4}
    )
    return network.eval(), out


def test_the_file_reads_no_coordinates_and_any_batch(exported):
    network, out = exported
    model = onnx.load(out)
    widths = {
        item.name: item.dims[1]
        for item in model.graph.initializer
        if item.name.endswith("conv1.conv.weight")
    }
    # The image; features and the image's average; features and their skip.
    assert sorted(widths.values()) == [1, 4, 5]
    tiles = np.random.default_rng(0).normal(size=(3, 1, 16, 16, 16)).astype(np.float32)
    runtime = OnnxRuntimeCpu(out, read_card(out), precision="f32", threads=2, batch=3)
    scores = runtime.infer(tiles)
    runtime.close()
    with torch.no_grad():
        expected = torch.softmax(network(torch.from_numpy(tiles)), 1).numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_the_weights_come_back_out_of_the_file(exported):
    network, out = exported
    again = load_model_weights(out).network
    assert again.config == network.config
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(again(x), network(x), atol=1e-5, rtol=1e-4)


def test_a_file_without_its_coordinate_weights_is_refused(exported, tmp_path):
    _, out = exported
    model = onnx.load(out)
    for item in model.graph.initializer:
        if item.name.endswith(".coordinates"):
            item.name += "_lost"
    onnx.save(model, tmp_path / "n.onnx")
    with pytest.raises(CheckpointError, match=r"n\.onnx"):
        load_model_weights(tmp_path / "n.onnx")


def test_a_model_with_coordinates_keeps_its_tile(exported, tmp_path):
    _, out = exported
    with pytest.raises(Exception, match="must stay 16"):
        export_onnx(out, tmp_path / "n.onnx", picking={"tile": 24})
    card, comparison = export_onnx(out, tmp_path / "n.onnx", picking={"t_seg": 0.7})
    assert comparison.agrees
    old = read_card(out)
    assert dataclasses.replace(card, weights_digest=old.weights_digest) == (
        dataclasses.replace(old, t_seg=0.7)
    )
