"""Leave out what only a tile's margin would show: the finest levels of the way up."""

import copy

from torch import Tensor, nn

from dep.export.coordinates import PlacedConv, inner
from dep.train.deployed import DeployedNetwork
from dep.train.network import Decoder, NetworkConfig


def crops(config: NetworkConfig, margin: int) -> list[int]:
    """Say how many voxels each decoder can leave out at every face of its tile.

    Only a tile's core counts. Of a level on the way up, what counts are the voxels that
    the core's scores are made of: the core and one voxel more at every face for each
    convolution. (On the way down all voxels of the tile are needed, since the coarse
    levels see far.) So the core's scores stay what they are.

    Parameters
    ----------
    config
        Of the network.
    margin
        Of its tiles, voxels.

    Returns
    -------
    list of int
        Voxels of each decoder's level, coarsest first as the network has them; even.
    """
    # Of a level, counted from the tile's faces: voxels that need not be right.
    free = margin // config.stem_stride
    if config.head == "interpolated":
        free -= 1
    found = []
    for _ in range(len(config.widths) - 1):
        free -= config.convolutions
        # A transposed convolution makes an odd voxel of the two next to it, so that the
        # last voxel of a crop would lack one: it must be one that need not be right.
        free = max(0, (free - 1) // 2)  # of the coarser level
        found.append(2 * free)
    return found[::-1]


def leave_out_margins(network: DeployedNetwork, margin: int) -> DeployedNetwork:
    """Return a copy that computes no more of its finest levels than the core needs.

    The scores have the tile's size all the same, 0 where they were not computed.

    Parameters
    ----------
    network
        Its coordinates, if it has any, were folded.
    margin
        Of its tiles, voxels.
    """
    config = network.network.config
    cut = crops(config, margin)
    if not any(cut):
        return network
    cropped = copy.deepcopy(network)
    body = cropped.network
    before = 0  # what the coarser level left out
    for level, (decoder, low) in enumerate(zip(body.decoders, cut, strict=True)):
        assert isinstance(decoder, Decoder)
        body.decoders[level] = CroppedDecoder(decoder, low, before)
        before = low
    cropped.left_out = before * config.stem_stride
    return cropped


class CroppedDecoder(nn.Module):
    """A decoder that leaves out `low` voxels at every face of its level.

    Parameters
    ----------
    decoder
        Whose weights are taken, under the same names.
    low
        Even; voxels of this level.
    before
        Voxels of the coarser level that its input lacks at every face.
    """

    def __init__(self, decoder: Decoder, low: int, before: int) -> None:
        super().__init__()
        self.upsampling = decoder.upsampling
        self.basic_module = decoder.basic_module
        self.low = low
        self.more = low // 2 - before
        first = self.basic_module.conv1.conv
        if isinstance(first, PlacedConv):
            first.crop(low)

    def forward(self, x: Tensor, skip: Tensor, _coordinates: bool) -> Tensor:
        """Map (b, i, z, y, x) and a whole skip to the cropped level."""
        x = self.upsampling(inner(x, self.more)) + inner(skip, self.low)
        y: Tensor = self.basic_module(x)
        return y
