"""The network is the published one, and its relatives keep their promises."""

import numpy as np
import pytest
import torch
from torch import nn

from dep.train.checkpoint import load_checkpoint
from dep.train.network import (
    NetworkConfig,
    ResidualUnit,
    ResUNet3D,
    with_coordinates,
)


def test_published_checkpoint_computes_the_published_scores(shared_data):
    folder = shared_data / "deepetpicker_checkpoint"
    loaded = load_checkpoint(folder / "random-13class.ckpt")
    with np.load(folder / "random-13class-io.npz") as io:
        patch, expected = io["input_zyx"], io["scores_core"]
    with torch.no_grad():
        scores = torch.softmax(loaded.network(torch.from_numpy(patch)[None, None]), 1)
    core = scores[0, :, 24:48, 24:48, 24:48].numpy()
    assert np.abs(core - expected).max() <= 1e-5


def test_published_configuration_has_the_published_size():
    network = ResUNet3D(NetworkConfig.published(13))
    assert sum(p.numel() for p in network.parameters()) == 2_430_145


def test_published_names_of_all_weights(shared_data):
    listed = (shared_data / "deepetpicker_checkpoint/state_dict_keys.txt").read_text()
    expected = {line.split("\t")[0] for line in listed.splitlines() if line.strip()}
    assert set(ResUNet3D(NetworkConfig.published(13)).state_dict()) == expected


@pytest.mark.parametrize("stem_stride", [1, 2])
@pytest.mark.parametrize("pyramid", [False, True])
@pytest.mark.parametrize("coordinates", [False, True])
@pytest.mark.parametrize("activation", ["relu", "elu"])
def test_every_member_keeps_the_patch_shape(
    stem_stride, pyramid, coordinates, activation
):
    config = NetworkConfig(3, (4, 6, 8), coordinates, pyramid, stem_stride, activation)
    network = ResUNet3D(config)
    edge = 2 * config.multiple
    logits = network(torch.randn(2, 1, edge, edge + config.multiple, edge))
    assert logits.shape == (2, 3, edge, edge + config.multiple, edge)
    logits.sum().backward()
    unused = [n for n, p in network.named_parameters() if p.grad is None]
    assert unused == []


@pytest.mark.parametrize(
    "relative",
    [
        {"residual": False},
        {"convolutions": 2},
        {"convolutions": 4},
        {"stem_stride": 2, "head": "interpolated"},
    ],
    ids=str,
)
def test_relatives_keep_the_patch_shape_and_use_all_their_weights(relative):
    config = NetworkConfig(3, (4, 6, 8), coordinates=False, **relative)
    network = ResUNet3D(config)
    edge = 2 * config.multiple
    logits = network(torch.randn(2, 1, edge, edge, edge))
    assert logits.shape == (2, 3, edge, edge, edge)
    logits.sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


def test_without_residual_the_unit_is_a_plain_chain():
    torch.manual_seed(0)
    x = torch.randn(1, 2, 6, 6, 6)
    outputs = []
    for residual in (True, False):
        torch.manual_seed(1)
        unit = ResidualUnit(2, NetworkConfig(2, residual=residual), 3).eval()
        outputs.append((unit(x), unit.conv1(x)))
    (with_skip, first), (plain, _) = outputs
    assert torch.equal(with_skip, plain + first)


def test_interpolated_head_is_centred():
    """A lone half-resolution voxel comes back around the point it stands for."""
    config = NetworkConfig(2, (4, 6), False, False, 2, head="interpolated")
    network = ResUNet3D(config).eval()
    logits = torch.zeros(1, 4, 8, 8, 8)
    logits[..., 4, 4, 4] = 1
    with torch.no_grad():
        network.decoders[-1].register_forward_hook(lambda *_: logits)
        network.final_conv.weight.fill_(1)
        network.final_conv.bias.fill_(0)
        out = network(torch.zeros(1, 1, 16, 16, 16))[0, 0]
    where = torch.arange(16, dtype=torch.float32)
    centre = (out.sum((0, 1)) * where).sum() / out.sum()
    assert centre == pytest.approx(8.5)  # between voxels 8 and 9


def test_interpolated_head_without_a_stem_is_refused():
    with pytest.raises(ValueError, match="needs stem_stride = 2"):
        NetworkConfig(2, head="interpolated")


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_coordinate_free_network_does_not_know_where_it_is(stem_stride):
    """Moving the content by the network's multiple moves the scores with it."""
    torch.manual_seed(0)
    config = NetworkConfig(2, (4, 6), False, True, stem_stride)
    network = ResUNet3D(config).eval()
    step = config.multiple
    volume = torch.randn(1, 1, 80, 80, 80 + step)
    with torch.no_grad():
        left = network(volume[..., :80])
        right = network(volume[..., step:])
    inner = slice(36, 40)  # further from any border than the network can see
    a = left[..., inner, inner, slice(36 + step, 40 + step)]
    b = right[..., inner, inner, inner]
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_stem_shifts_nothing():
    """A half-resolution member maps a mirrored patch to mirrored scores.

    With weights that are symmetric themselves, any shift would break the symmetry.
    """
    torch.manual_seed(0)
    network = ResUNet3D(NetworkConfig(2, (4, 6), False, True, 2)).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv3d):
                w = module.weight
                w.copy_((w + w.flip(-1)) / 2)
            elif isinstance(module, nn.ConvTranspose3d) and w_is_even(module):
                module.weight.copy_((module.weight + module.weight.flip(-1)) / 2)
        # The published 3-wide upsampling is not symmetric about the fine grid, so
        # its part is taken out of this test of the stem and the head.
        for decoder in network.decoders:
            decoder.upsampling.upsample.weight.zero_()
        x = torch.randn(1, 1, 16, 16, 16)
        torch.testing.assert_close(
            network(x).flip(-1), network(x.flip(-1)), rtol=0, atol=1e-5
        )


def w_is_even(module):
    return module.kernel_size[0] % 2 == 0


def test_coordinates_run_from_minus_one_to_one_in_the_order_x_y_z():
    out = with_coordinates(torch.zeros(1, 2, 3, 4, 5))
    assert out.shape == (1, 5, 3, 4, 5)
    x, y, z = out[0, 2], out[0, 3], out[0, 4]
    assert x[0, 0].tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1])
    assert y[0, :, 0].tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    assert z[:, 0, 0].tolist() == pytest.approx([-1, 0, 1])


def test_wrong_configuration_lists_every_fault():
    with pytest.raises(ValueError, match=r"outputs.*widths.*stem_stride.*activation"):
        NetworkConfig(0, (4,), True, True, 3, "tanh")


def test_configuration_survives_the_checkpoint():
    config = NetworkConfig(5, (8, 16), False, True, 2, "elu")
    assert NetworkConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="unknown keys"):
        NetworkConfig.from_dict({"outputs": 2, "depth": 3})
