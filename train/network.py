"""The 3D residual U-Net of DeepETPicker and its relatives, from one configuration.

The published network (Liu et al., Nature Communications 15:2090, 2024, Fig. 1 and
its released code's layer table) is ``NetworkConfig.published(outputs)``; narrower,
wider, coordinate-free and half-resolution members differ only in the configuration.
Parameter names are those of the published checkpoints, so they load unchanged.
"""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own convention

Activation = Literal["relu", "elu"]
Head = Literal["learned", "interpolated"]

FOREGROUND = 0.08  # part of a patch's voxels that an untrained network calls particle


@dataclass(frozen=True)
class NetworkConfig:
    """What shapes a `ResUNet3D`.

    Attributes
    ----------
    outputs
        Output channels: 1 (sigmoid) or background + classes (softmax).
    widths
        Channels of the levels, finest first; each level halves the resolution.
    coordinates
        Append x, y, z in -1..1 over the patch to the input of every unit. Ties the
        network to its patch size.
    pyramid
        Append the average-pooled image to the input of every coarser level.
    stem_stride
        1: the finest level has the tomogram's resolution. 2: a strided convolution
        goes before it and a transposed convolution after it, and all levels work at
        half resolution.
    activation
        Of the units' convolutions; the published code uses ReLU, the paper says ELU.
    residual
        Whether a unit adds its first block's output to its last's.
    convolutions
        Blocks in a unit, 2 or more; the published network has 3.
    head
        With `stem_stride` 2, how the output returns to full resolution: "learned", by
        a transposed convolution, or "interpolated", logits at half resolution and
        trilinear interpolation.
    """

    outputs: int
    widths: tuple[int, ...] = (24, 48, 72, 108)
    coordinates: bool = True
    pyramid: bool = True
    stem_stride: Literal[1, 2] = 1
    activation: Activation = "relu"
    residual: bool = True
    convolutions: int = 3
    head: Head = "learned"

    def __post_init__(self) -> None:
        wrong = []
        if self.outputs < 1:
            wrong.append(f"outputs must be at least 1, found {self.outputs}")
        if len(self.widths) < 2 or min(self.widths) < 1:
            wrong.append(
                "widths must be two or more positive numbers of channels, finest "
                f"level first, found {list(self.widths)}"
            )
        if self.stem_stride not in (1, 2):
            wrong.append(f"stem_stride must be 1 or 2, found {self.stem_stride}")
        if self.activation not in ("relu", "elu"):
            wrong.append(f'activation must be "relu" or "elu", found {self.activation}')
        if self.convolutions < 2:
            wrong.append(f"convolutions must be at least 2, found {self.convolutions}")
        if self.head not in ("learned", "interpolated"):
            wrong.append(f'head must be "learned" or "interpolated", found {self.head}')
        elif self.head == "interpolated" and self.stem_stride == 1:
            wrong.append('head = "interpolated" needs stem_stride = 2')
        if wrong:
            raise ValueError("network: " + "; ".join(wrong))

    @classmethod
    def published(cls, outputs: int) -> "NetworkConfig":
        """Return the configuration of the published network."""
        return cls(outputs=outputs)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "NetworkConfig":
        """Build from a dictionary as made by `to_dict`; unknown keys are an error."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            msg = f"network: unknown keys {unknown}; known are {sorted(known)}"
            raise ValueError(msg)
        return cls(**{**values, "widths": tuple(values.get("widths", cls.widths))})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return {**asdict(self), "widths": list(self.widths)}

    @property
    def multiple(self) -> int:
        """The number of voxels that every patch edge must be a multiple of."""
        return int(self.stem_stride * 2 ** (len(self.widths) - 1))


def _activate(x: Tensor, activation: Activation) -> Tensor:
    return F.relu(x) if activation == "relu" else F.elu(x)


class ConvBlock(nn.Module):
    """3x3x3 convolution, batch normalisation, activation."""

    def __init__(self, inputs: int, outputs: int, activation: Activation) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.batchnorm = nn.BatchNorm3d(outputs)
        self.activation: Activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, i, z, y, x) -> (b, o, z, y, x)."""
        return _activate(self.batchnorm(self.conv(x)), self.activation)


class ResidualUnit(nn.Module):
    """Blocks `conv1`, `conv2`, ...; the last's output plus the first's through ELU."""

    def __init__(self, inputs: int, config: NetworkConfig, outputs: int) -> None:
        super().__init__()
        act = config.activation
        self.conv1 = ConvBlock(inputs, outputs, act)
        self.later = [f"conv{k}" for k in range(2, config.convolutions + 1)]
        for name in self.later:
            self.add_module(name, ConvBlock(outputs, outputs, act))
        self.residual = config.residual
        # After ReLU the sum is never negative, where ELU is the identity.
        self.identity = act == "relu" or not config.residual

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, i, z, y, x) -> (b, o, z, y, x)."""
        first: Tensor = self.conv1(x)
        total = first
        for name in self.later:
            total = self.get_submodule(name)(total)
        if self.residual:
            total = total + first
        return total if self.identity else F.elu(total)


class Upsampling(nn.Module):
    """Transposed 3x3x3 convolution that doubles every edge."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose3d(
            inputs, outputs, 3, stride=2, padding=1, output_padding=1
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, i, z, y, x) -> (b, o, 2 z, 2 y, 2 x)."""
        y: Tensor = self.upsample(x)
        return y


class Encoder(nn.Module):
    """One level on the way down."""

    def __init__(self, inputs: int, outputs: int, config: NetworkConfig) -> None:
        super().__init__()
        self.basic_module = ResidualUnit(inputs, config, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, i, z, y, x) -> (b, o, z, y, x)."""
        y: Tensor = self.basic_module(x)
        return y


class Decoder(nn.Module):
    """One level on the way up: upsample, add the skip, append coordinates, unit."""

    def __init__(self, inputs: int, outputs: int, config: NetworkConfig) -> None:
        super().__init__()
        extra = 3 if config.coordinates else 0
        self.upsampling = Upsampling(inputs, outputs)
        self.basic_module = ResidualUnit(outputs + extra, config, outputs)

    def forward(self, x: Tensor, skip: Tensor, coordinates: bool) -> Tensor:
        """Map (b, i, z, y, x) and a skip of twice the edges to the skip's shape."""
        x = self.upsampling(x) + skip
        y: Tensor = self.basic_module(with_coordinates(x) if coordinates else x)
        return y


class ResUNet3D(nn.Module):
    """Residual U-Net: patches (b, 1, z, y, x) to logits (b, outputs, z, y, x).

    Parameters
    ----------
    config
        The member of the family.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        extra = 3 if config.coordinates else 0
        pyramid = 1 if config.pyramid else 0

        first_inputs = 1
        if config.stem_stride == 2:
            # A 4-wide kernel is centred between the two voxels that a half-resolution
            # voxel stands for, so the stem shifts nothing.
            self.stem = nn.Conv3d(1, widths[0], 4, stride=2, padding=1)
            first_inputs = widths[0] + pyramid
        inputs = [first_inputs, *(w + pyramid for w in widths[:-1])]
        self.encoders = nn.ModuleList(
            Encoder(i + extra, o, config) for i, o in zip(inputs, widths, strict=True)
        )
        self.decoders = nn.ModuleList(
            Decoder(widths[k], widths[k - 1], config)
            for k in range(len(widths) - 1, 0, -1)
        )
        if config.stem_stride == 2 and config.head == "learned":
            self.head = nn.ConvTranspose3d(widths[0], widths[0] // 2, 2, stride=2)
            self.final_conv = nn.Conv3d(widths[0] // 2, config.outputs, 1)
        else:
            self.final_conv = nn.Conv3d(widths[0], config.outputs, 1)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Draw the starting weights.

        He et al. 2015 for the convolutions (arXiv:1502.01852); the last one small, with
        biases that make nearly all of a patch background, as it is (the prior of Lin et
        al. 2017, arXiv:1708.02002, section 4.1). Together they bring the onset of
        learning forward by about half (docs/training.md).
        """
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        last, bias = self.final_conv, self.final_conv.bias
        assert bias is not None
        last.weight.mul_(0.1)
        odds = FOREGROUND / (1 - FOREGROUND)
        if self.config.outputs == 1:
            bias.fill_(math.log(odds))
        else:
            bias[0] = math.log((self.config.outputs - 1) / odds)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of normalised patches."""
        config = self.config
        image = x
        if config.stem_stride == 2:
            x = F.relu(self.stem(image))
            image = F.avg_pool3d(image, 2)
            if config.pyramid:
                x = torch.cat((x, image), dim=1)

        skips: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            if level > 0:
                x = F.avg_pool3d(x, 2)
                if config.pyramid:
                    image = F.avg_pool3d(image, 2)
                    x = torch.cat((x, image), dim=1)
            x = encoder(with_coordinates(x) if config.coordinates else x)
            skips.append(x)
        skips.pop()
        for decoder in self.decoders:
            x = decoder(x, skips.pop(), config.coordinates)

        if config.stem_stride == 1:
            y: Tensor = self.final_conv(x)
        elif config.head == "learned":
            y = self.final_conv(F.relu(self.head(x)))
        else:
            y = F.interpolate(self.final_conv(x), scale_factor=2.0, mode="trilinear")
        return y


def with_coordinates(x: Tensor) -> Tensor:
    """Append three channels, x, y, z, each linear from -1 to 1 over the patch.

    Parameters
    ----------
    x
        (b, c, z, y, x).

    Returns
    -------
    Tensor
        (b, c + 3, z, y, x).
    """
    b, _, *edges = x.shape
    channels = []
    for axis in (2, 1, 0):  # the published order: x first
        ramp = torch.linspace(-1, 1, edges[axis], device=x.device, dtype=x.dtype)
        shape = [1, 1, 1, 1, 1]
        shape[axis + 2] = edges[axis]
        channels.append(ramp.view(shape).expand(b, 1, *edges))
    return torch.cat((x, *channels), dim=1)
