"""Checkpoints: ours and the published tool's, read without executing pickled code."""

import os
import pickle
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dep.engine.errors import DepError
from dep.train.inert import load_inert
from dep.train.network import Activation, NetworkConfig, ResUNet3D

FORMAT = "dep-checkpoint"
VERSION = 1

_ANCHOR = "encoders.0.basic_module.conv1.conv.weight"
_LAYERS = ("encoders.", "decoders.", "final_conv.", "stem.", "head.")

# What the restricted unpickler raises on bytes that are no pickle at all.
_DAMAGED = (
    MemoryError,
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
    containers only. Where a checkpoint holds other objects too, as those of older
    trainers do, they are stepped over (`dep.train.inert`). No code of the file is run.

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
    except pickle.UnpicklingError:
        content = _without_objects(path)
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


def load_last(path: Path) -> Checkpoint:
    """Read the `last.ckpt` of a run that is to go on.

    Raises
    ------
    CheckpointError
        If there is none, or as `load_checkpoint` does.
    """
    if not path.exists():
        msg = (
            f"{path.parent}: holds no run to go on with (no {path.name}); leave out "
            "--resume to start one, or name the run's folder with -o"
        )
        raise CheckpointError(msg)
    return load_checkpoint(path)


def _without_objects(path: Path) -> object:
    """Read what torch's restricted loader refuses: tensors beside other objects."""
    try:
        return load_inert(path)
    except (OSError, pickle.UnpicklingError, *_DAMAGED) as error:
        msg = f"{path}: not a PyTorch checkpoint, or truncated"
        raise CheckpointError(msg) from error


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
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
        config = content["config"]
        # An entry of development versions that had no effect.
        config.get("training", {}).pop("logger", None)
        return Checkpoint(
            network=network.eval(),
            config=config,
            step=int(content["step"]),
            training=content.get("training"),
            software=str(content["software"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        msg = f"{path}: a damaged checkpoint: {error}"
        raise CheckpointError(msg) from error


def _published(path: Path, content: dict[str, Any]) -> Checkpoint:
    """Read the layout of REFERENCE: `state_dict` with keys `model.` + layer name.

    Any other prefix will do (`module.`, `model.module.`, none), and whatever is beside
    the network under the prefix of another (losses, metrics) is left out.
    """
    state = content.get("state_dict", content)
    if not isinstance(state, dict):
        msg = f"{path}: expected a state_dict, found {type(state).__name__}"
        raise CheckpointError(msg)
    tensors = {
        str(key): value for key, value in state.items() if isinstance(value, Tensor)
    }
    prefix = next(
        (name.removesuffix(_ANCHOR) for name in tensors if name.endswith(_ANCHOR)), None
    )
    if prefix is None:
        msg = (
            f"{path}: expected a state_dict with the layers of a 3D ResUNet "
            f"({_ANCHOR}, ...), found the keys {sorted(map(str, state))[:8]}"
        )
        raise CheckpointError(msg)
    weights = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
    if not prefix:  # nothing tells the network's layers from what is beside them
        weights = {
            name: value for name, value in weights.items() if name.startswith(_LAYERS)
        }
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    config = infer_network(path, shapes)
    network = ResUNet3D(config)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        msg = f"{path}: the weights fit no network of the published family: {error}"
        raise CheckpointError(msg) from error
    step = content.get("global_step", 0)
    return Checkpoint(
        network=network.eval(),
        config=None,
        step=step if isinstance(step, int) else 0,
        training=None,
        software="published DeepETPicker checkpoint",
    )


def infer_network(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    activation: Activation = "relu",
    residual: bool = True,
) -> NetworkConfig:
    """Read a network off the names and shapes of its weights.

    Parameters
    ----------
    path
        Named in the error.
    shapes
        Of each weight.
    activation, residual
        What weights do not tell; the published network's unless said otherwise.

    Raises
    ------
    CheckpointError
        If they are no network of the family.
    """
    widths: list[int] = []
    inputs: list[int] = []
    while True:
        shape = shapes.get(f"encoders.{len(widths)}.basic_module.conv1.conv.weight")
        if shape is None:
            break
        widths.append(shape[0])
        inputs.append(shape[1])
    final = shapes.get("final_conv.weight")
    if len(widths) < 2 or final is None:
        msg = (
            f"{path}: expected the layers of a 3D ResUNet (encoders.N.basic_module..., "
            f"final_conv); found {sorted(shapes)[:4]} and {len(shapes)} in all"
        )
        raise CheckpointError(msg)
    blocks = 1
    while f"encoders.0.basic_module.conv{blocks + 1}.conv.weight" in shapes:
        blocks += 1
    # The second level sees the first's channels, 1 of the pyramid, 3 of coordinates.
    extra = inputs[1] - widths[0]
    stem = "stem.weight" in shapes
    try:
        return NetworkConfig(
            outputs=final[0],
            widths=tuple(widths),
            coordinates=extra >= 3,
            pyramid=extra % 3 == 1,
            stem_stride=2 if stem else 1,
            activation=activation,
            residual=residual,
            convolutions=blocks,
            head="interpolated" if stem and "head.weight" not in shapes else "learned",
        )
    except ValueError as error:
        msg = f"{path}: no network of the family: {error}"
        raise CheckpointError(msg) from error
