"""`dep export`: turn a checkpoint into a model file."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dep.cli.failure import FAILED, UsageError, fail, guarded, need
from dep.cli.wording import print_json


@guarded
def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT", help="Made by `dep train`.", readable=False
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="MODEL.onnx", help="File to write.", readable=False
        ),
    ],
    precision: Annotated[str, typer.Option(help="Of the arithmetic: fp32.")] = "fp32",
    half_weights: Annotated[
        bool,
        typer.Option(
            "--half-weights",
            help="Store the weights as float16: half the size, same arithmetic.",
        ),
    ] = False,
    tile: Annotated[
        int | None, typer.Option(help="Tile edge in voxels [default: the training's].")
    ] = None,
    margin: Annotated[
        int | None, typer.Option(help="Rim of a tile that never counts, voxels.")
    ] = None,
    t_seg: Annotated[
        float | None, typer.Option(help="Threshold on the score, 0 to 1.")
    ] = None,
    t_lm: Annotated[
        float | None, typer.Option(help="Threshold on the pooled mask, 0 to 1.")
    ] = None,
    t_dist: Annotated[
        float | None, typer.Option(help="Least distance of two picks, voxels.")
    ] = None,
    check_on: Annotated[
        Path | None,
        typer.Option(
            metavar="TOMOGRAM",
            help="Compare on this one (default: the configuration's own).",
            readable=False,
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
    before it takes its name. Tile and thresholds go into the card; those not given are
    the training configuration's. Needs the extra `train`.
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
    if os.path.lexists(out) and not overwrite:
        message = f"{out} exists already; replace it with --overwrite"
        raise UsageError(message)
    _check_folder(out)
    need(("torch", "onnx", "onnxscript", "pydantic"), "train", "export")
    from dep.export import ExportError, export_onnx
    from dep.train.checkpoint import CheckpointError
    from dep.train.config import ConfigError

    given = {
        "tile": tile,
        "margin": margin,
        "t_seg": t_seg,
        "t_lm": t_lm,
        "t_dist": t_dist,
    }
    try:
        card, comparison = export_onnx(
            checkpoint,
            out,
            half_weights=half_weights,
            picking={key: value for key, value in given.items() if value is not None},
            check_on=check_on,
        )
    except (CheckpointError, ConfigError, ExportError) as error:
        fail(str(error), FAILED)
    if as_json:
        document = {"card": card.to_dict(), "comparison": asdict(comparison)}
        print_json(document)
        return
    typer.echo(f"compared:  {comparison}")
    typer.echo(f"model:     {out} ({out.stat().st_size / 1e6:.1f} MB)")
    typer.echo(f"next:      dep pick TOMOGRAM.mrc --engine {out}")


def _check_folder(out: Path) -> None:
    """Refuse what cannot be written before seconds go into the export."""
    folder = out.parent
    if os.path.isdir(out):  # noqa: PTH112 - is_dir raises in a closed folder
        message = f"{out}: is a folder, expected the name of a file"
    elif not os.path.isdir(folder):  # noqa: PTH112
        message = f"{out}: there is no folder {folder}; make it first"
    elif not os.access(folder, os.W_OK | os.X_OK):
        message = f"{out}: no permission to write into {folder}"
    else:
        return
    raise UsageError(message)
