"""What an export starts from: our checkpoints, the published tool's, model files."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dep import __version__
from dep.engine.card import ModelCard
from dep.engine.model_file import ONNX_SUFFIX, onnx_metadata, read_card
from dep.engine.readers.registry import is_there
from dep.export.errors import ExportError
from dep.export.published import Published
from dep.train.card import make_card
from dep.train.checkpoint import Checkpoint, load_checkpoint
from dep.train.config import TrainConfig, parse_config
from dep.train.deployed import DeployedNetwork
from dep.train.model_weights import NETWORK_KEY, load_model_weights, network_entry
from dep.train.network import NetworkConfig, ResUNet3D
from dep.train.sources import list_pairs

_CHANGES = ("tile", "margin", "t_seg", "t_lm", "t_dist")


@dataclass(frozen=True)
class Source:
    """A network, and what is known of it.

    Attributes
    ----------
    network
        As deployed, in evaluation mode.
    card
        Makes its card from the digest of its weights.
    network_entry
        The metadata entry `dep.network`.
    tomogram
        One to compare on; None where none is known.
    """

    network: DeployedNetwork
    card: Callable[[str], ModelCard]
    network_entry: str
    tomogram: Path | None


def open_source(
    path: Path, picking: Mapping[str, Any], published: Published | None
) -> Source:
    """Read a checkpoint or a model file.

    Parameters
    ----------
    path
        A model file ends in .onnx; all else is taken for a checkpoint.
    picking
        Entries of the card to change.
    published
        What a checkpoint of the published tool does not say; only for those.

    Raises
    ------
    CheckpointError
        If it cannot be used.
    ExportError
        If `published` is missing, or does not belong to it.
    ConfigError, CardError
        If what `picking` changes does not fit the network.
    """
    if path.suffix == ONNX_SUFFIX:
        _refuse(path, published, "a model file")
        return _of_model(path, picking)
    loaded = load_checkpoint(path)
    if loaded.config is not None:
        _refuse(path, published, "made by dep train")
        return _of_ours(path, loaded, loaded.config, picking)
    if published is None:
        msg = (
            f"{path}: a checkpoint of the published tool says nothing of its "
            "classes, voxel size and contrast, which a model card needs: name them "
            "with --classes NAME:DIAMETER,... (ångström), --voxel-size and --contrast"
        )
        raise ExportError(msg)
    network = loaded.network.config
    return Source(
        network=_deployed(loaded.network, [True] * max(1, network.outputs - 1)),
        card=partial(published.card, network, picking),
        network_entry=published.network_entry(network),
        tomogram=None,
    )


def _deployed(network: ResUNet3D, report: list[bool]) -> DeployedNetwork:
    return DeployedNetwork(network, report).eval()


def _refuse(path: Path, published: Published | None, what: str) -> None:
    if published is not None:
        msg = (
            f"{path}: {what}, so it knows its classes, voxel size "
            "and contrast: leave out --classes, --voxel-size and --contrast"
        )
        raise ExportError(msg)


def _of_ours(
    path: Path,
    loaded: Checkpoint,
    values: Mapping[str, Any],
    picking: Mapping[str, Any],
) -> Source:
    values = dict(values)
    values["picking"] = {**values["picking"], **picking}
    config = parse_config(values, str(path))
    return Source(
        network=_deployed(loaded.network, [entry.report for entry in config.classes]),
        card=partial(make_card, config),
        network_entry=network_entry(loaded.network.config, config),
        tomogram=_tomogram(config),
    )


def _of_model(path: Path, picking: Mapping[str, Any]) -> Source:
    """Take a model file apart: what it stores as float16 stays rounded."""
    old = read_card(path)
    weights = load_model_weights(path)
    unknown = sorted(set(picking) - set(_CHANGES))
    if unknown:
        msg = f"picking: expected {', '.join(_CHANGES)}, found {', '.join(unknown)}"
        raise ExportError(msg)
    if old.tile_fixed and picking.get("tile", old.tile) != old.tile:
        msg = (
            f"{path}: the network sees coordinates, so its tile must stay "
            f"{old.tile}, found {picking['tile']}"
        )
        raise ExportError(msg)
    changed = replace(old, software=f"dep {__version__}", **picking)
    entry = onnx_metadata(path).get(NETWORK_KEY)
    if entry is None:
        names = [
            name or f"{k} (not reported)" for k, name in enumerate(weights.classes)
        ]
        entry = _entry(weights.network.config, names)
    return Source(
        network=_deployed(
            weights.network, [name in old.class_names for name in weights.classes]
        ),
        card=lambda digest: replace(changed, weights_digest=digest),
        network_entry=entry,
        tomogram=None,
    )


def _entry(network: NetworkConfig, names: list[str]) -> str:
    return json.dumps(
        {"network": network.to_dict(), "classes": names}, ensure_ascii=False
    )


def _tomogram(config: TrainConfig) -> Path | None:
    """Return one to compare on, where the configuration's files are at hand."""
    parts = list_pairs(config.data).parts
    named = [pair.tomogram for part in ("validate", "train") for pair in parts[part]]
    named += [one.tomogram for one in (*config.data.validate_on, *config.data.train)]
    return next((path for path in named if is_there(path)), None)
