"""`dep export`: turn a checkpoint into a model file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dep.cli.failure import FAILED, UsageError, fail, guarded, need


@guarded
def export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Made by `dep train`.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="MODEL.onnx", help="File to write."),
    ],
    precision: Annotated[str, typer.Option(help="Of the arithmetic: fp32.")] = "fp32",
    half_weights: Annotated[
        bool,
        typer.Option(
            "--half-weights",
            help="Store the weights as float16: half the size, same arithmetic.",
        ),
    ] = False,
    check_on: Annotated[
        Path | None,
        typer.Option(
            metavar="TOMOGRAM",
            help="Compare on this one (default: the configuration's own).",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace MODEL.onnx if it exists.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the card and comparison as JSON.")
    ] = False,
) -> None:
    """Export a checkpoint to ONNX, with its card inside.

    The file is opened and compared with the network on real tiles, scores and picks,
    before it takes its name. Needs the extra `train`.
    """
    if out.suffix == ".plan":
        message = f"{out}: TensorRT plans cannot be written yet; export to .onnx"
        raise UsageError(message)
    if out.suffix != ".onnx":
        message = f"{out}: expected a name that ends in .onnx"
        raise UsageError(message)
    if precision != "fp32":
        message = (
            f"--precision {precision}: models are exported with float32 arithmetic "
            "(fp32); --half-weights halves the file"
        )
        raise UsageError(message)
    if out.exists() and not overwrite:
        message = f"{out} exists already; replace it with --overwrite"
        raise UsageError(message)
    need(("torch", "onnx", "onnxscript", "pydantic"), "train", "export")
    from dep.export import ExportError, export_onnx
    from dep.train.checkpoint import CheckpointError

    try:
        card, comparison = export_onnx(
            checkpoint, out, half_weights=half_weights, check_on=check_on
        )
    except (CheckpointError, ExportError) as error:
        fail(str(error), FAILED)
    if as_json:
        document = {"card": card.to_dict(), "comparison": asdict(comparison)}
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False))
        return
    typer.echo(f"compared:  {comparison}")
    typer.echo(f"model:     {out} ({out.stat().st_size / 1e6:.1f} MB)")
    typer.echo(f"next:      dep pick TOMOGRAM.mrc --engine {out}")
