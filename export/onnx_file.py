"""A checkpoint in, an ONNX file with its model card out, compared before it is kept."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer

from dep.engine.card import ModelCard
from dep.engine.model_file import METADATA_KEY
from dep.export.agreement import Comparison
from dep.export.axes import free_axes
from dep.export.calibrate import calibrated
from dep.export.coordinates import fold_coordinates
from dep.export.cropping import leave_out_margins
from dep.export.errors import ExportError
from dep.export.published import Published
from dep.export.quantise import quantise
from dep.export.sources import open_source
from dep.export.verify import compare
from dep.train.card import UNKNOWN_DIGEST, weights_digest
from dep.train.deployed import DeployedNetwork
from dep.train.model_weights import NETWORK_KEY

OPSET = 20
# The first whose convolutions may be bfloat16.
BF16_OPSET = 22
Typed = Literal["fp32", "fp16", "bf16", "int8"]
DTYPES: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "int8": torch.float32,  # all but what is quantised
}
INPUT, OUTPUT = "tomogram", "scores"
# What the exporter computes beforehand has no more values than this: shapes, indices;
# not the constants that coordinates fold to, which are the runtime's to compute.
LARGEST_FOLDED = 80
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
    calibrate_on: Sequence[str | Path] = (),
    say: Callable[[str], None] = lambda _: None,
) -> tuple[ModelCard, Comparison]:
    """Export a network to ONNX, and compare the file with the network.

    Input `tomogram` (batch, 1, N, N, N) and output `scores` (batch, c, N, N, N), both
    float32 at every precision; the batch is free, N is the card's tile. The file
    appears under its name only when its scores and picks agree with the network's.

    Parameters
    ----------
    checkpoint
        Made by `dep train` or by the published tool; or a model file, .onnx, whose
        weights are floats.
    out
        Ends in .onnx.
    precision
        Of the arithmetic that the graph asks for, as TensorRT 11 wants it ("typed"):
        "fp16" and "bf16" type all weights and activations so, with batch norms folded
        before in float32, and softmax and its sums in float32 after. "int8" lets
        convolutions compute with 8 bits, but for those whose rounding costs most; all
        else is float32.
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
        training) tomogram, where that file is at hand; else the first of
        `calibrate_on`; else noise.
    calibrate_on
        Tomograms like those to pick in, for "int8" alone.
    say
        Takes words on what is being done, where that takes long.

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
        If the comparison fails; the file is not left behind. If the network cannot be
        calibrated.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    _consistent(precision, half_weights, calibrate_on)
    source = open_source(checkpoint, dict(picking or {}), published)
    # Whatever is wrong with the card shows before the work.
    card = replace(source.card(UNKNOWN_DIGEST), precision=precision)
    deployed = fold_coordinates(source.network, card.tile)
    if card.tile_fixed:
        deployed = leave_out_margins(deployed, card.margin)
    typed = deployed.typed(DTYPES[precision])

    model = _trace(typed, card.tile, BF16_OPSET if precision == "bf16" else OPSET)
    tomograms = [Path(one) for one in calibrate_on]
    if precision == "int8":
        trial = out.with_name(f".{out.stem}.trial.onnx")
        quantise(model, calibrated(model, deployed, card, tomograms, trial, say))
    if half_weights:
        _store_half(model)
    if not card.tile_fixed:
        free_axes(model.graph)
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
    card = replace(card, weights_digest=digest)
    helper.set_model_props(
        model, {METADATA_KEY: card.to_json(), NETWORK_KEY: source.network_entry}
    )
    onnx.checker.check_model(model, full_check=True)

    tomogram = source.tomogram or next(iter(tomograms), None)
    if check_on is not None:
        tomogram = Path(check_on)
    temporary = out.with_name(f".{out.stem}.part.onnx")
    try:
        temporary.write_bytes(model.SerializeToString())
        comparison = compare(
            source.network,
            temporary,
            card,
            tomogram,
            half_weights=half_weights,
        )
        if not comparison.agrees:
            msg = (
                f"{checkpoint}: not exported, its ONNX file does not agree with the "
                f"network: {comparison}"
            )
            raise ExportError(msg)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return card, comparison


def _consistent(
    precision: str, half_weights: bool, calibrate_on: Sequence[str | Path]
) -> None:
    """Refuse options that do not go together."""
    if half_weights and precision != "fp32":
        msg = (
            f"half-precision weights are for fp32 only: {precision} stores them no "
            "larger already"
        )
        raise ExportError(msg)
    if precision == "int8" and not calibrate_on:
        msg = (
            "int8 needs tomograms to calibrate on, like those that the model will pick "
            "in: name one or more with --calibrate"
        )
        raise ExportError(msg)
    if precision != "int8" and calibrate_on:
        msg = f"tomograms to calibrate on are for int8 only, not for {precision}"
        raise ExportError(msg)


def _trace(deployed: DeployedNetwork, tile: int, opset: int) -> onnx.ModelProto:
    """Run torch's exporter quietly."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
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
                optimize=False,
                opset_version=opset,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={"tomogram": {0: torch.export.Dim("batch")}},
            )
            if program is None:
                msg = "torch.onnx.export returned nothing"
                raise ExportError(msg)
            optimizer.optimize(program.model, input_size_limit=LARGEST_FOLDED)
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
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
