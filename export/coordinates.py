"""Fold the coordinate channels of a network into constants, for its fixed tile."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention

from dep.train.deployed import DeployedNetwork

AXES = 3


class PlacedConv(nn.Conv3d):
    """A convolution whose last three inputs were coordinates; they became a constant.

    What the coordinates contribute depends on the place in the tile and on nothing
    else. It is written as a convolution of three ramps, without the image: runtimes
    compute it once, when they open the model, and the file does not hold it (93 MB for
    the published network's tile of 72).
    """

    def __init__(self, conv: nn.Conv3d, edge: int) -> None:
        inputs = conv.in_channels - AXES
        kind = conv.weight.dtype
        super().__init__(inputs, conv.out_channels, 3, padding=1, dtype=kind)
        with torch.no_grad():
            self.weight.copy_(conv.weight[:, :inputs])
            assert self.bias is not None
            assert conv.bias is not None
            self.bias.copy_(conv.bias)
        self.coordinates = nn.Parameter(conv.weight[:, inputs:].detach().clone())
        self.register_buffer("ramp", torch.linspace(-1, 1, edge, dtype=kind))
        self.edge = edge
        self.low = 0

    def crop(self, low: int) -> None:
        """Expect tiles that lack `low` voxels at every face."""
        self.low = low

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, i, z, y, x) -> (b, o, z, y, x)."""
        ramp = self.get_buffer("ramp")
        shape = (1, 1, self.edge, self.edge, self.edge)
        channels = [  # x, y, z, as `with_coordinates` has them
            ramp.view(1, 1, 1, 1, self.edge).expand(shape),
            ramp.view(1, 1, 1, self.edge, 1).expand(shape),
            ramp.view(1, 1, self.edge, 1, 1).expand(shape),
        ]
        place = F.conv3d(torch.cat(channels, dim=1), self.coordinates, padding=1)
        return super().forward(x) + inner(place, self.low)


def inner(x: Tensor, low: int) -> Tensor:
    """Leave out `low` voxels at every face of (b, c, z, y, x)."""
    return x[:, :, low:-low, low:-low, low:-low] if low else x


def fold_coordinates(network: DeployedNetwork, tile: int) -> DeployedNetwork:
    """Return a copy for tiles of one edge that appends no coordinates.

    Parameters
    ----------
    network
        Whose batch norms are folded. One without coordinates is returned as it is.
    tile
        Edge of its tiles, voxels.
    """
    if not network.network.config.coordinates:
        return network
    folded = copy.deepcopy(network)
    body = folded.network
    body.config = replace(body.config, coordinates=False)
    finest = tile // body.config.stem_stride
    for level, encoder in enumerate(body.encoders):
        _fold(encoder, finest >> level)
    for level, decoder in enumerate(reversed(body.decoders)):
        _fold(decoder, finest >> level)
    return folded


def _fold(level: nn.Module, edge: int) -> None:
    first = level.get_submodule("basic_module.conv1")
    conv = level.get_submodule("basic_module.conv1.conv")
    assert isinstance(conv, nn.Conv3d)
    first.conv = PlacedConv(conv, edge)
