"""Checkpoints: ours and the published tool's, read without executing pickled code."""

import os
import pickle
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dep.engine.errors import DepError
from dep.train.network import NetworkConfig, ResUNet3D

FORMAT = "dep-checkpoint"
VERSION = 1

# What the restricted unpickler raises on bytes that are no pickle at all.
_DAMAGED = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)


class CheckpointError(DepError, ValueError):
    """A file that is not a usable checkpoint; the message says what was found."""


@dataclass(frozen=True)
class Checkpoint:
    """A network and what is known about it.

    Attributes
    ----------
    network
        In evaluation mode, on the CPU, float32.
    config
        The training configuration as plain values, or None for a published checkpoint.
    step
        Training steps behind it.
    training
        What `resume` needs (raw weights, optimiser), or None.
    software
        What wrote it.
    """

    network: ResUNet3D
    config: dict[str, Any] | None
    step: int
    training: dict[str, Any] | None
    software: str


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint of ours or of the published tool (DeepETPicker).

    The pickle inside is read by torch's restricted loader: tensors and plain
    containers only, no code is run.

    Raises
    ------
    CheckpointError
        If the file is missing, not a checkpoint, or its weights fit no network of
        the family.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # Torch warns of unusual pickles before it refuses them.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise CheckpointError(msg) from error
    except pickle.UnpicklingError as error:
        msg = (
            f"{path}: expected tensors and plain values; found other pickled objects, "
            "which are not loaded because they could run code. Save its state_dict "
            "alone and try again."
        )
        raise CheckpointError(msg) from error
    except _DAMAGED as error:
        msg = f"{path}: not a PyTorch checkpoint, or truncated"
        raise CheckpointError(msg) from error
    if not isinstance(content, dict):
        msg = (
            f"{path}: expected a dictionary with a state_dict, found "
            f"{type(content).__name__}"
        )
        raise CheckpointError(msg)
    if content.get("format") == FORMAT:
        return _own(path, content)
    return _published(path, content)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT, "version": VERSION, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _own(path: Path, content: dict[str, Any]) -> Checkpoint:
    version = content.get("version")
    if version != VERSION:
        msg = (
            f"{path}: checkpoint version {version}, this software reads {VERSION}; "
            "use the version of dep that wrote it, or a newer one"
        )
        raise CheckpointError(msg)
    try:
        network = ResUNet3D(NetworkConfig.from_dict(content["network"]))
        network.load_state_dict(content["state_dict"])
        return Checkpoint(
            network=network.eval(),
            config=content["config"],
            step=int(content["step"]),
            training=content.get("training"),
            software=str(content["software"]),
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        msg = f"{path}: a damaged checkpoint: {error}"
        raise CheckpointError(msg) from error


def _published(path: Path, content: dict[str, Any]) -> Checkpoint:
    """Read the layout of REFERENCE: `state_dict` with keys `model.` + layer name."""
    state = content.get("state_dict", content)
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        msg = (
            f"{path}: expected a state_dict of tensors, found keys "
            f"{sorted(map(str, content))[:8]}"
        )
        raise CheckpointError(msg)
    weights = {str(key).removeprefix("model."): value for key, value in state.items()}
    config = _infer_config(path, weights)
    network = ResUNet3D(config)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        msg = f"{path}: the weights fit no network of the published family: {error}"
        raise CheckpointError(msg) from error
    return Checkpoint(
        network=network.eval(),
        config=None,
        step=int(content.get("global_step", 0)),
        training=None,
        software="published DeepETPicker checkpoint",
    )


def _infer_config(path: Path, weights: dict[str, Tensor]) -> NetworkConfig:
    """Read widths, outputs, coordinates and pyramid off the shapes of the weights."""
    widths: list[int] = []
    inputs: list[int] = []
    while True:
        name = f"encoders.{len(widths)}.basic_module.conv1.conv.weight"
        if name not in weights:
            break
        widths.append(int(weights[name].shape[0]))
        inputs.append(int(weights[name].shape[1]))
    final = weights.get("final_conv.weight")
    if len(widths) < 2 or final is None:
        msg = (
            f"{path}: expected the layers of a 3D ResUNet (encoders.N.basic_module..., "
            f"final_conv); found {sorted(weights)[:4]} and {len(weights)} in all"
        )
        raise CheckpointError(msg)
    coordinates = inputs[0] == 4
    pyramid = inputs[1] - widths[0] - (3 if coordinates else 0) == 1
    return NetworkConfig(
        outputs=int(final.shape[0]),
        widths=tuple(widths),
        coordinates=coordinates,
        pyramid=pyramid,
    )
