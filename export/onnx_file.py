"""A checkpoint in, an ONNX file with its model card out, compared before it is kept."""

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from dep.engine.card import ModelCard
from dep.engine.model_file import METADATA_KEY
from dep.export.errors import ExportError
from dep.export.published import Published
from dep.export.verify import Comparison, compare
from dep.train.card import UNKNOWN_DIGEST, make_card, weights_digest
from dep.train.checkpoint import Checkpoint, load_checkpoint
from dep.train.config import TrainConfig, parse_config
from dep.train.deployed import DeployedNetwork
from dep.train.model_weights import NETWORK_KEY, network_entry

OPSET = 20
# The first whose convolutions may be bfloat16.
BF16_OPSET = 22
Typed = Literal["fp32", "fp16", "bf16"]
DTYPES: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
INPUT, OUTPUT = "tomogram", "scores"
# Initializers with fewer values than this (biases) stay float32 in half storage.
HALF_FROM = 1024


def export_onnx(
    checkpoint: str | Path,
    out: str | Path,
    *,
    precision: Typed = "fp32",
    half_weights: bool = False,
    picking: Mapping[str, Any] | None = None,
    published: Published | None = None,
    check_on: str | Path | None = None,
) -> tuple[ModelCard, Comparison]:
    """Export a checkpoint to ONNX, and compare the file with the network.

    Input `tomogram` (batch, 1, N, N, N) and output `scores` (batch, c, N, N, N), both
    float32 at every precision; the batch is free, N is the card's tile. The file
    appears under its name only when its scores and picks agree with the network's.

    Parameters
    ----------
    checkpoint
        Made by `dep train`, or by the published tool.
    out
        Ends in .onnx.
    precision
        Of the arithmetic that the graph asks for, as TensorRT 11 wants it ("typed"):
        "fp16" and "bf16" type all weights and activations so, with batch norms folded
        before in float32, and softmax and its sums in float32 after.
    half_weights
        Store the convolutions' weights as float16, half the size; they are cast to
        float32 when the model is opened, and all arithmetic stays float32.
    picking
        Entries of the configuration's `[picking]` to change, for example `tile`,
        `t_seg` or `t_dist`, chosen on a validation tomogram after training.
    published
        What a checkpoint of the published tool does not say; only for those.
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
    made = _made(checkpoint, loaded, dict(picking or {}), published)
    card = made.card(UNKNOWN_DIGEST)  # whatever is wrong with it shows before the work
    if half_weights and precision != "fp32":
        msg = f"half-precision weights are for fp32 only: {precision} has them already"
        raise ExportError(msg)
    deployed = DeployedNetwork(loaded.network, made.report).eval()
    typed = deployed.typed(DTYPES[precision])

    model = _trace(typed, card.tile, BF16_OPSET if precision == "bf16" else OPSET)
    if half_weights:
        _store_half(model)
    _strip(model)
    digest = weights_digest(
        {
            # bfloat16 has no NumPy type of its own: its bits are digested
            item.name: (
                np.frombuffer(item.raw_data, np.uint8)
                if item.data_type == TensorProto.BFLOAT16
                else numpy_helper.to_array(item)
            )
            for item in model.graph.initializer
        }
    )
    card = replace(made.card(digest), precision=precision)
    helper.set_model_props(
        model, {METADATA_KEY: card.to_json(), NETWORK_KEY: made.network_entry}
    )
    onnx.checker.check_model(model, full_check=True)

    temporary = out.with_name(f".{out.stem}.part.onnx")
    try:
        temporary.write_bytes(model.SerializeToString())
        comparison = compare(
            deployed,
            temporary,
            card,
            made.tomogram if check_on is None else Path(check_on),
            half_weights=half_weights,
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


def _trace(deployed: DeployedNetwork, tile: int, opset: int) -> onnx.ModelProto:
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
                opset_version=opset,
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


@dataclass(frozen=True)
class _Made:
    """What is known of a checkpoint's network beside its weights."""

    card: Callable[[str], ModelCard]
    report: list[bool]
    network_entry: str
    tomogram: Path | None


def _made(
    checkpoint: Path,
    loaded: Checkpoint,
    picking: dict[str, Any],
    published: Published | None,
) -> _Made:
    """Take it from the checkpoint's configuration, or from what was told."""
    network = loaded.network.config
    if loaded.config is not None:
        if published is not None:
            msg = (
                f"{checkpoint}: made by dep train, so it knows its classes, voxel size "
                "and contrast: leave out --classes, --voxel-size and --contrast"
            )
            raise ExportError(msg)
        values = dict(loaded.config)
        values["picking"] = {**values["picking"], **picking}
        config = parse_config(values, str(checkpoint))
        return _Made(
            card=partial(make_card, config),
            report=[entry.report for entry in config.classes],
            network_entry=network_entry(network, config),
            tomogram=_tomogram(config),
        )
    if published is None:
        msg = (
            f"{checkpoint}: a checkpoint of the published tool says nothing of its "
            "classes, voxel size and contrast, which a model card needs: name them "
            "with --classes NAME:DIAMETER,... (ångström), --voxel-size and --contrast"
        )
        raise ExportError(msg)
    return _Made(
        card=partial(published.card, network, picking),
        report=[True] * len(published.classes),
        network_entry=published.network_entry(network),
        tomogram=None,
    )


def _tomogram(config: TrainConfig) -> Path | None:
    """Return one to compare on, where the configuration's files are at hand."""
    for source in (*config.data.validate_on, *config.data.train):
        if source.tomogram.is_file():
            return source.tomogram
    return None
