"""The network's weights out of a model file, to train on from there."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dep.engine.model_file import read_card
from dep.train.checkpoint import CheckpointError, infer_network
from dep.train.config import TrainConfig
from dep.train.network import ConvBlock, NetworkConfig, ResUNet3D

NETWORK_KEY = "dep.network"
# How the exporter names weights: the deployed network holds the network; large weights
# may be stored as float16 behind a cast.
PREFIX, HALF = "network.", "_half"
# How it names what folding coordinates leaves (dep.export.coordinates).
PLACED, RAMP = ".coordinates", ".ramp"


@dataclass(frozen=True)
class ModelWeights:
    """What a model file holds.

    Attributes
    ----------
    network
        In evaluation mode, on the CPU, float32. Its batch norms are identities: they
        were folded into the convolutions.
    classes
        Names of the network's classes, in the order of its outputs; None for one whose
        name the file does not say (learnt, never reported).
    """

    network: ResUNet3D
    classes: tuple[str | None, ...]


def network_entry(network: NetworkConfig, config: TrainConfig) -> str:
    """Return the metadata entry `dep.network`: what the graph itself says badly."""
    names = [entry.name for entry in config.classes]
    return json.dumps(
        {"network": network.to_dict(), "classes": names}, ensure_ascii=False
    )


def load_model_weights(path: str | Path) -> ModelWeights:
    """Read the network of a model file that `dep export` wrote.

    Raises
    ------
    CheckpointError
        If it is no ONNX file, or its weights are not those of our network.
    ModelError
        If it cannot be read, or has no card.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    path = Path(path)
    card = read_card(path)
    try:
        model = onnx.load(str(path))
    except (DecodeError, OSError, ValueError) as error:
        msg = f"{path}: not an ONNX file, or a damaged one ({error})"
        raise CheckpointError(msg) from error
    arrays = {
        item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer
    }
    weights = {
        name.removeprefix(PREFIX).removesuffix(HALF): torch.from_numpy(
            value.astype(np.float32)
        )
        for name, value in arrays.items()
        if name.startswith(PREFIX) and not name.endswith(RAMP)
    }
    for name in [one for one in weights if one.endswith(PLACED)]:
        # The weights of a folded convolution's coordinates belong behind the others.
        whole = name.removesuffix(PLACED) + ".weight"
        weights[whole] = torch.cat((weights[whole], weights.pop(name)), dim=1)
    entry = {prop.key: prop.value for prop in model.metadata_props}.get(NETWORK_KEY)
    classes: tuple[str | None, ...]
    if entry is not None:
        config, classes = _described(path, entry)
    else:
        config = _inferred(path, weights, [node.op_type for node in model.graph.node])
        classes = _class_names(card.class_names, config, model.graph.node, arrays)
    network = ResUNet3D(config)
    used = {
        name.removeprefix(PREFIX).removesuffix(HALF)
        for node in model.graph.node
        for name in node.input
    }
    for name, value in network.state_dict().items():
        layer, _, last = name.rpartition(".")
        if last == "bias" and f"{layer}.weight" in weights and name not in used:
            # The exporter leaves out biases that are zero.
            weights.setdefault(name, torch.zeros_like(value))
    try:
        network.load_state_dict({**weights, **identities(network)})
    except RuntimeError as error:
        msg = (
            f"{path}: does not hold the weights of the network {config}; files that "
            f"`dep export` wrote with float weights do: {error}"
        )
        raise CheckpointError(msg) from error
    return ModelWeights(network.eval(), classes)


def identities(network: ResUNet3D) -> dict[str, Tensor]:
    """Return batch norms that change nothing in evaluation: (x - 0) / 1 * 1 + 0."""
    state: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if isinstance(module, ConvBlock):
            norm = module.batchnorm
            one = torch.ones(norm.num_features)
            values = {
                "weight": one * math.sqrt(1 + norm.eps),
                "bias": 0 * one,
                "running_mean": 0 * one,
                "running_var": one,
                "num_batches_tracked": torch.tensor(0),
            }
            state |= {f"{name}.batchnorm.{key}": value for key, value in values.items()}
    return state


def _described(path: Path, entry: str) -> tuple[NetworkConfig, tuple[str, ...]]:
    try:
        values = json.loads(entry)
        config = NetworkConfig.from_dict(values["network"])
        return config, tuple(map(str, values["classes"]))
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{path}: the metadata entry {NETWORK_KEY!r} is damaged: {error}"
        raise CheckpointError(msg) from error


def _inferred(
    path: Path, weights: Mapping[str, Tensor], operators: list[str]
) -> NetworkConfig:
    """Read the network off weights and operators, for files without the entry."""
    # Each decoder adds its skip; what else is added is a unit's first block.
    decoders = sum(name.endswith("upsample.weight") for name in weights)
    return infer_network(
        path,
        {name: tuple(value.shape) for name, value in weights.items()},
        activation="elu" if "Elu" in operators else "relu",
        residual=operators.count("Add") > decoders,
    )


def _class_names(
    reported: tuple[str, ...],
    config: NetworkConfig,
    nodes: Any,  # noqa: ANN401 - a protobuf container
    arrays: Mapping[str, np.ndarray[Any, Any]],
) -> tuple[str | None, ...]:
    """Give each output its name: a gather picks those that are reported."""
    names: list[str | None] = [None] * max(1, config.outputs - 1)
    chosen = list(range(1, len(reported) + 1))
    for node in nodes:
        if node.op_type == "Gather" and node.input[1] in arrays:
            rows = arrays[node.input[1]].ravel().tolist()
            if 0 not in rows:  # the other gather sums the background
                chosen = rows
    for row, name in zip(chosen, reported, strict=True):
        names[row - 1] = name
    return tuple(names)
