"""Find what 8 bits a network's convolutions can take, on tiles of real tomograms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dep.engine.card import ModelCard
from dep.export.agreement import read_tiles
from dep.export.errors import ExportError
from dep.export.quantise import Magnitudes, quantise
from dep.export.verify import cpu_runtime
from dep.train.deployed import DeployedNetwork

# Tiles in all, and of these how many each convolution is tried on by itself.
TILES, TRIED = 12, 3
# Convolutions that make so much of the squared error stay float32 (measured on the
# bundled model: 6 of 27, with an F1 agreement with float32's picks of 0.993; rounding
# all lost 2 to 4 % of them).
SPARED_ERROR = 7 / 8

Say = Callable[[str], None]


@dataclass(frozen=True)
class Convolution:
    """What calibration finds out about one.

    Attributes
    ----------
    scale
        Step of its input's 8-bit values.
    work
        Multiplications for a tile.
    error
        Mean squared difference of a score when this one alone has 8 bits.
    """

    scale: float
    work: int
    error: float


def calibrated(
    model: onnx.ModelProto,
    network: DeployedNetwork,
    card: ModelCard,
    tomograms: Sequence[Path],
    trial: Path,
    say: Say,
) -> dict[str, float]:
    """Choose the convolutions that get 8 bits, and the steps of their inputs.

    Parameters
    ----------
    model
        The network's graph in float32; left as it is.
    network
        The same in torch.
    card
        Its card.
    tomograms
        Such as the model will pick in.
    trial
        A file to write trials to; removed at the end.
    say
        Takes words on what is being done.

    Returns
    -------
    dict
        From weights' names to steps, as `quantise` takes them.
    """
    tiles = _tiles(tomograms, card)
    say(f"calibration: {len(tiles)} tiles of {len(tomograms)} tomograms")
    scales, work = _scales(network, tiles)
    say(f"calibration: the error of each of {len(scales)} convolutions in 8 bits")
    chosen = [
        tiles[k] for k in np.linspace(0, len(tiles) - 1, TRIED).round().astype(int)
    ]
    try:
        errors = _errors(model, card, scales, chosen, trial)
    finally:
        trial.unlink(missing_ok=True)
    found = {
        name: Convolution(scales[name], work[name], errors[name]) for name in scales
    }
    spared = spare(found)
    part = sum(found[name].work for name in spared) / sum(work.values())
    say(
        f"calibration: {len(spared)} of {len(found)} convolutions stay float32, "
        f"{part:.0%} of the arithmetic: "
        f"{', '.join(map(_short, spared)) or 'none'}"
    )
    return {name: one.scale for name, one in found.items() if name not in spared}


def _short(name: str) -> str:
    """Return a weight's name for people."""
    return name.removeprefix("network.").removesuffix(".weight").removesuffix(".conv")


def spare(found: Mapping[str, Convolution]) -> list[str]:
    """Name the convolutions that stay float32: most error for the least work first.

    Errors of convolutions add up, as if independent (measured: to 1 %).
    """
    goal = SPARED_ERROR * sum(one.error for one in found.values())
    spared: list[str] = []
    total = 0.0
    for name in sorted(found, key=lambda one: -found[one].error / found[one].work):
        if total >= goal:
            break
        spared.append(name)
        total += found[name].error
    return spared


def _tiles(tomograms: Sequence[Path], card: ModelCard) -> list[NDArray[np.float32]]:
    each = max(1, round(TILES / len(tomograms)))
    return [tile for path in tomograms for tile in read_tiles(card, path, each)]


def _scales(
    network: DeployedNetwork, tiles: Sequence[NDArray[np.float32]]
) -> tuple[dict[str, float], dict[str, int]]:
    """Run the network, and return each convolution's step and multiplications."""
    seen: dict[str, Magnitudes] = {}
    work: dict[str, int] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        seen[name] = Magnitudes()

        def look(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            (values,) = inputs
            seen[name].see(values.numpy())
            up = isinstance(module, nn.ConvTranspose3d)
            places = (values if up else output)[0, 0].numel()
            work[name] = places * module.get_parameter("weight").numel()

        return look

    hooks = [
        module.register_forward_hook(watch(f"{name}.weight"))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d)
    ]
    try:
        with torch.inference_mode():
            for tile in tiles:
                network(torch.from_numpy(tile))
    finally:
        for hook in hooks:
            hook.remove()
    scales = {}
    for name, magnitudes in seen.items():
        try:
            scales[name] = magnitudes.scale()
        except ExportError as error:
            msg = (
                f"{_short(name)} cannot be calibrated: {error} before "
                "it; use other tomograms, or another precision"
            )
            raise ExportError(msg) from error
    return scales, work


def _errors(
    model: onnx.ModelProto,
    card: ModelCard,
    scales: Mapping[str, float],
    tiles: Sequence[NDArray[np.float32]],
    trial: Path,
) -> dict[str, float]:
    """Return the mean squared error that each convolution makes by itself."""
    core = slice(card.margin, card.tile - card.margin)

    def scores(rounded: Mapping[str, float]) -> list[NDArray[np.float32]]:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        quantise(copy, rounded)
        trial.write_bytes(copy.SerializeToString())
        runtime = cpu_runtime(trial, card)
        try:
            return [
                runtime.infer(tile)[0][:, core, core, core].copy() for tile in tiles
            ]
        finally:
            runtime.close()

    exact = scores({})
    errors = {}
    for name, scale in scales.items():
        pairs = zip(scores({name: scale}), exact, strict=True)
        errors[name] = float(np.mean([np.square(a - b).mean() for a, b in pairs]))
    return errors
