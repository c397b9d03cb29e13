"""The network as deployed: batch norm folded, activation inside, classes chosen."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dep.train.network import ConvBlock, ResUNet3D


class DeployedNetwork(nn.Module):
    """Normalised tiles (b, 1, z, y, x) to scores (b, c, z, y, x), float32.

    Parameters
    ----------
    network
        Trained; it is copied, not changed.
    report
        For each class of the network, in order, whether it is reported. The scores of
        classes that are not are added to the background.

    Notes
    -----
    Softmax and its sums are computed in float32 whatever the type of the weights.
    """

    dtype = torch.float32
    # Voxels at every face of a tile whose scores the network does not give; they are 0.
    left_out = 0

    def __init__(self, network: ResUNet3D, report: Sequence[bool]) -> None:
        super().__init__()
        classes = max(1, network.config.outputs - 1)
        if len(report) != classes:
            msg = f"the network has {classes} classes, {len(report)} are described"
            raise ValueError(msg)
        self.network = fold_batch_norm(network)
        self.softmax = network.config.outputs > 1
        kept = [k + 1 for k, wanted in enumerate(report) if wanted]
        hidden = [k + 1 for k, wanted in enumerate(report) if not wanted]
        if not kept:
            msg = "no class of the network is reported"
            raise ValueError(msg)
        self.hidden = bool(hidden)
        self.register_buffer("kept", torch.tensor(kept), persistent=False)
        self.register_buffer("background", torch.tensor([0, *hidden]), persistent=False)

    def typed(self, dtype: torch.dtype) -> "DeployedNetwork":
        """Return a copy whose network computes in `dtype`; scores stay float32."""
        typed = copy.deepcopy(self)
        typed.network.to(dtype)
        if dtype == torch.bfloat16:
            _widen_transposed(typed.network, self.network)
        typed.dtype = dtype
        return typed

    def forward(self, tomogram: Tensor) -> Tensor:
        """Return the scores of a batch of tiles."""
        scores = self._reported(self.network(tomogram.to(self.dtype)).float())
        return F.pad(scores, (self.left_out,) * 6) if self.left_out else scores

    def _reported(self, logits: Tensor) -> Tensor:
        if not self.softmax:
            return torch.sigmoid(logits)
        scores = torch.softmax(logits, dim=1)
        if not self.hidden:
            return scores
        background = scores.index_select(1, self.get_buffer("background"))
        kept = scores.index_select(1, self.get_buffer("kept"))
        return torch.cat((background.sum(1, keepdim=True), kept), dim=1)


class WideConvTranspose3d(nn.ConvTranspose3d):
    """Computes in float32 whatever its neighbours do.

    TensorRT (tensorrt_rtx 1.7) builds no transposed convolution of bfloat16. They are a
    few per cent of the arithmetic.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:  # noqa: A002 - torch's own name
        """Widen, compute and narrow."""
        return super().forward(input.float(), output_size).to(input.dtype)


def _widen_transposed(network: nn.Module, original: nn.Module) -> None:
    """Put back the transposed convolutions of `original`, each under its name."""
    for name, module in original.named_modules():
        if isinstance(module, nn.ConvTranspose3d):
            wide = WideConvTranspose3d(
                module.in_channels,
                module.out_channels,
                module.kernel_size,  # type: ignore[arg-type]
                module.stride,  # type: ignore[arg-type]
                module.padding,  # type: ignore[arg-type]
                module.output_padding,  # type: ignore[arg-type]
            )
            wide.load_state_dict(module.state_dict())
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, wide.eval())


def fold_batch_norm(network: ResUNet3D) -> ResUNet3D:
    """Return a copy whose batch norms are folded into the convolutions before them."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, ConvBlock):
            module.conv = fuse_conv_bn_eval(module.conv, module.batchnorm)
            module.batchnorm = nn.Identity()  # type: ignore[assignment]
    return folded
