"""Leaving out margins changes no score of a core."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine.card import ClassInfo
from dep.engine.onnx_cost import multiply_adds
from dep.engine.runtime.onnxruntime_cpu import OnnxRuntimeCpu
from dep.engine.runtime.openvino_cpu import OpenVinoCpu
from dep.export import Published, cropping, export_onnx
from dep.export.coordinates import fold_coordinates
from dep.export.cropping import crops, leave_out_margins
from dep.train import NetworkConfig, ResUNet3D
from dep.train.deployed import DeployedNetwork
from dep.train.model_weights import load_model_weights


def deployed(config, tile):
    torch.manual_seed(0)
    network = ResUNet3D(config)
    network(torch.randn(2, 1, 16, 16, 16))  # gives the norms statistics
    with torch.no_grad():
        for parameter in network.parameters():
            # Large enough that what lies three convolutions away still shows.
            parameter.mul_(1.2)
        network.final_conv.weight.normal_(std=0.6)
    whole = DeployedNetwork(network.eval(), [True] * (config.outputs - 1))
    folded = fold_coordinates(whole, tile).eval().double()
    folded.dtype = torch.float64
    return folded


def differences(network, cropped, tile, margin):
    """Give the largest difference of logits in the core."""
    x = torch.randn(1, 1, tile, tile, tile, dtype=torch.float64)
    whole, cut = network.network(x), cropped.network(x)
    low = cropped.left_out
    core = slice(margin, tile - margin)
    inside = slice(margin - low, tile - margin - low)
    return float(
        (whole[:, :, core, core, core] - cut[:, :, inside, inside, inside]).abs().max()
    )


configurations = st.builds(
    NetworkConfig,
    outputs=st.just(3),
    widths=st.sampled_from([(3, 4), (3, 4, 5), (2, 3, 4, 5)]),
    coordinates=st.booleans(),
    pyramid=st.booleans(),
    convolutions=st.integers(2, 3),
    residual=st.booleans(),
)


@settings(max_examples=12, deadline=None)
@given(
    config=configurations,
    stem=st.sampled_from(["none", "learned", "interpolated"]),
    margin=st.integers(0, 15),
)
def test_the_core_stays_what_it_is(config, stem, margin):
    if stem != "none":
        config = NetworkConfig.from_dict(
            {**config.to_dict(), "stem_stride": 2, "head": stem}
        )
    tile = 32
    network = deployed(config, tile)
    cropped = leave_out_margins(network, margin)
    with torch.no_grad():
        assert differences(network, cropped, tile, margin) < 1e-9
        scores = cropped(torch.randn(1, 1, tile, tile, tile))
    low = cropped.left_out
    assert scores.shape[2:] == (tile, tile, tile)
    assert low <= margin
    if low:
        assert not scores[:, :, :low].any()
        assert not scores[..., -low:].any()


@pytest.mark.parametrize("margin", [6, 8, 12])
def test_no_more_could_be_left_out(monkeypatch, margin):
    """Two voxels more, the least that stays even, and the core would change."""
    network = deployed(NetworkConfig(3, (3, 4, 5)), 48)
    right = crops(network.network.config, margin)
    assert right[-1] > 0
    for level in range(len(right)):
        if not right[level] and level + 1 < len(right):
            continue  # of a level that is whole nothing was asked
        wrong = [each + 2 * (k == level) for k, each in enumerate(right)]
        monkeypatch.setattr(cropping, "crops", lambda *_, wrong=wrong: wrong)
        cropped = leave_out_margins(network, margin)
        with torch.no_grad():
            assert differences(network, cropped, 48, margin) > 1e-6


def test_what_the_published_network_leaves_out():
    config = NetworkConfig.published(13)
    assert crops(config, 12) == [0, 0, 8]
    assert crops(config, 3) == [0, 0, 0]
    network = deployed(NetworkConfig(3, (3, 4)), 16)
    assert leave_out_margins(network, 3) is network


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cropped")
    torch.manual_seed(1)
    network = ResUNet3D(NetworkConfig(3, (4, 8)))
    network(torch.randn(2, 1, 16, 16, 16))
    torch.save({"state_dict": network.state_dict()}, folder / "x.ckpt")
    told = Published([ClassInfo("a", 100.0), ClassInfo("b", 120.0)], 10.0)
    files = {}
    for margin in (0, 8):
        files[margin] = folder / f"{margin}.onnx"
        card, comparison = export_onnx(
            folder / "x.ckpt",
            files[margin],
            published=told,
            picking={"tile": 32, "margin": margin},
        )
        assert comparison.agrees
    return network.eval(), card, files


@pytest.mark.parametrize("runtime", [OnnxRuntimeCpu, OpenVinoCpu])
def test_runtimes_compute_the_core(exported, runtime):
    network, card, files = exported
    tiles = np.random.default_rng(0).normal(size=(2, 1, 32, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = torch.softmax(network(torch.from_numpy(tiles)), 1).numpy()
    opened = runtime(files[8], card, precision="f32", threads=2, batch=2)
    scores = opened.infer(tiles)
    opened.close()
    core = (slice(None), slice(None), *(slice(8, 24),) * 3)
    np.testing.assert_allclose(scores[core], expected[core], atol=1e-5)


def test_the_file_computes_less_and_holds_the_same_weights(exported):
    network, _, files = exported
    tile = (32, 32, 32)
    whole, cropped = (multiply_adds(files[margin], tile) for margin in (0, 8))
    # The last unit works on 24 voxels of 32, and the transposed convolution before it.
    unit = 27 * (4 * 4 * 3)
    transposed = 27 * 8 * 4 // 8
    final = 4 * 3
    low = crops(network.config, 8)[-1]
    assert low == 4
    assert whole - cropped == (unit + transposed + final) * (32**3 - 24**3)
    again = load_model_weights(files[8]).network
    for one, other in zip(
        again.final_conv.parameters(), network.final_conv.parameters(), strict=True
    ):
        assert torch.equal(one, other)
    ops = {node.op_type for node in onnx.load(files[8]).graph.node}
    assert "Pad" in ops
    assert "Slice" in ops
