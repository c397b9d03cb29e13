"""A checkpoint in, an ONNX file with its model card out, compared before it is kept."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from dep.engine.card import ModelCard
from dep.engine.errors import DepError
from dep.engine.model_file import METADATA_KEY
from dep.export.verify import Comparison, compare
from dep.train.card import make_card, weights_digest
from dep.train.checkpoint import CheckpointError, load_checkpoint
from dep.train.config import TrainConfig, parse_config
from dep.train.deployed import DeployedNetwork
from dep.train.model_weights import NETWORK_KEY, network_entry

OPSET = 20
INPUT, OUTPUT = "tomogram", "scores"
# Initializers with fewer values than this (biases) stay float32 in half storage.
HALF_FROM = 1024


class ExportError(DepError, RuntimeError):
    """An export that failed or whose result does not agree with the network."""


def export_onnx(
    checkpoint: str | Path,
    out: str | Path,
    *,
    half_weights: bool = False,
    picking: Mapping[str, Any] | None = None,
    check_on: str | Path | None = None,
) -> tuple[ModelCard, Comparison]:
    """Export a checkpoint to ONNX, and compare the file with the network.

    Input `tomogram` (batch, 1, N, N, N) and output `scores` (batch, c, N, N, N), both
    float32; the batch is free, N is the card's tile. The file appears under its name
    only when its scores and picks agree with the network's.

    Parameters
    ----------
    checkpoint
        Made by `dep train`.
    out
        Ends in .onnx.
    half_weights
        Store the convolutions' weights as float16, half the size; they are cast to
        float32 when the model is opened, and all arithmetic stays float32.
    picking
        Entries of the configuration's `[picking]` to change, for example `tile`,
        `t_seg` or `t_dist`, chosen on a validation tomogram after training.
    check_on
        Tomogram to compare on; by default the configuration's first validation (else
        training) tomogram, where that file is at hand.

    Returns
    -------
    card, comparison

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be used, or knows nothing of its classes.
    ConfigError
        If what `picking` changes does not fit the network.
    ExportError
        If the comparison fails; the file is not left behind.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    loaded = load_checkpoint(checkpoint)
    if loaded.config is None:
        msg = (
            f"{checkpoint}: a checkpoint of the published tool says nothing of its "
            "classes, voxel size and contrast, which a model card needs; export takes "
            "checkpoints made by `dep train`"
        )
        raise CheckpointError(msg)
    values = dict(loaded.config)
    values["picking"] = {**values["picking"], **(picking or {})}
    config = parse_config(values, str(checkpoint))
    report = [entry.report for entry in config.classes]
    deployed = DeployedNetwork(loaded.network, report).eval()

    model = _trace(deployed, config.picking.tile)
    if half_weights:
        _store_half(model)
    _strip(model)
    digest = weights_digest(
        {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    )
    card = make_card(config, digest)
    helper.set_model_props(
        model,
        {
            METADATA_KEY: card.to_json(),
            NETWORK_KEY: network_entry(loaded.network.config, config),
        },
    )
    onnx.checker.check_model(model, full_check=True)

    temporary = out.with_name(f".{out.stem}.part.onnx")
    try:
        temporary.write_bytes(model.SerializeToString())
        comparison = compare(
            deployed, temporary, card, _tomogram(config, check_on), half_weights
        )
        if not comparison.agrees:
            msg = (
                f"{out}: not written, the ONNX file does not agree with the network: "
                f"{comparison}"
            )
            raise ExportError(msg)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return card, comparison


def _trace(deployed: DeployedNetwork, tile: int) -> onnx.ModelProto:
    """Run torch's exporter quietly."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Deprecations inside the exporter are not the user's to act on.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                deployed,
                (torch.zeros(2, 1, tile, tile, tile),),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={"tomogram": {0: torch.export.Dim("batch")}},
            )
    finally:
        logger.setLevel(level)
    if program is None:
        msg = "torch.onnx.export returned nothing"
        raise ExportError(msg)
    model: onnx.ModelProto = program.model_proto
    return model


def _store_half(model: onnx.ModelProto) -> None:
    """Store large float32 initializers as float16 behind a Cast."""
    casts = []
    for item in list(model.graph.initializer):
        if item.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(item)
        if values.size < HALF_FROM:
            continue
        limit = np.finfo(np.float16).max
        if np.abs(values).max() > limit:
            msg = (
                f"weight {item.name} reaches {np.abs(values).max():g}, beyond "
                f"float16's {limit:g}; export without half-precision weights"
            )
            raise ExportError(msg)
        name = f"{item.name}_half"
        model.graph.initializer.remove(item)
        model.graph.initializer.append(
            numpy_helper.from_array(values.astype(np.float16), name)
        )
        casts.append(
            helper.make_node(
                "Cast", [name], [item.name], name=f"{name}_cast", to=TensorProto.FLOAT
            )
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes of the source: stack traces and file names."""
    graph = model.graph
    for item in (
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
        graph,
    ):
        del item.metadata_props[:]
        item.doc_string = ""
    del model.metadata_props[:]
    model.doc_string = ""


def _tomogram(config: TrainConfig, asked: str | Path | None) -> Path | None:
    if asked is not None:
        return Path(asked)
    for source in (*config.data.validate_on, *config.data.train):
        if source.tomogram.is_file():
            return source.tomogram
    return None
