"""`dep export`: turn a checkpoint into a model file."""

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dep.cli.failure import FAILED, UsageError, fail, guarded, need
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from dep.export import Published


PRECISIONS = ("fp32", "fp16", "bf16", "int8")


@guarded
def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Made by `dep train`, or by the published DeepETPicker; or a "
            "MODEL.onnx.",
            readable=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="MODEL.onnx", help="File to write.", readable=False
        ),
    ],
    precision: Annotated[
        str,
        typer.Option(
            help="Of the arithmetic that the file asks for: fp32, fp16, bf16 or int8."
        ),
    ] = "fp32",
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="TOMOGRAM",
            help="For int8: such as the model will pick in; may be given many times.",
            readable=False,
        ),
    ] = None,
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
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:DIAMETER,...",
            help="For a published checkpoint: its classes in order, diameters in Å.",
        ),
    ] = None,
    voxel_size: Annotated[
        float | None,
        typer.Option(help="For a published checkpoint: Å, of its training tomograms."),
    ] = None,
    contrast: Annotated[
        str | None,
        typer.Option(
            help="For a published checkpoint: particles are dark or bright "
            "[default: dark]."
        ),
    ] = None,
    label_diameter: Annotated[
        int | None,
        typer.Option(
            help="For a published checkpoint: of its training's labels, voxels "
            "[default: 7]."
        ),
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
    """Export a checkpoint or a model to ONNX, with its card inside.

    The file is opened and compared with the network on real tiles, scores and picks,
    before it takes its name. Tile and thresholds go into the card; those not given are
    the training configuration's. Needs the extra `train`.

    With --precision int8 the convolutions that stand it compute with 8 bits, and
    --calibrate names tomograms to find their ranges on.

    A checkpoint of the published DeepETPicker says nothing of its classes: name them
    with --classes and --voxel-size. Its tile is 72 and its margin 12, unless it was
    trained on other patches.
    """
    if out.suffix == ".plan":
        message = f"{out}: TensorRT plans cannot be written yet; export to .onnx"
        raise UsageError(message)
    if out.suffix != ".onnx":
        message = f"{out}: expected a name that ends in .onnx"
        raise UsageError(message)
    if precision not in PRECISIONS:
        message = f"--precision {precision}: expected one of {', '.join(PRECISIONS)}"
        raise UsageError(message)
    if half_weights and precision != "fp32":
        message = f"--half-weights: weights are no larger with {precision} already"
        raise UsageError(message)
    if (precision == "int8") != bool(calibrate):
        message = (
            "--precision int8 and --calibrate TOMOGRAM go together: the ranges of "
            "8-bit values are found on tomograms like those to pick in"
        )
        raise UsageError(message)
    if os.path.lexists(out) and not overwrite:
        message = f"{out} exists already; replace it with --overwrite"
        raise UsageError(message)
    _check_folder(out)
    need(("torch", "onnx", "onnxscript", "pydantic"), "train", "export")
    from dep.engine.errors import CardError
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
        published = _published(
            checkpoint, classes, voxel_size, contrast, label_diameter
        )
        card, comparison = export_onnx(
            checkpoint,
            out,
            precision=cast("Any", precision),
            published=published,
            half_weights=half_weights,
            picking={key: value for key, value in given.items() if value is not None},
            check_on=check_on,
            calibrate_on=calibrate or (),
            say=partial(typer.echo, err=True),
        )
    except (CardError, CheckpointError, ConfigError, ExportError) as error:
        fail(str(error), FAILED)
    if as_json:
        document = {"card": card.to_dict(), "comparison": asdict(comparison)}
        print_json(document)
        return
    typer.echo(f"compared:  {comparison}")
    typer.echo(f"model:     {out} ({out.stat().st_size / 1e6:.1f} MB)")
    typer.echo(f"next:      dep pick TOMOGRAM.mrc --engine {out}")


def _published(
    checkpoint: Path,
    classes: str | None,
    voxel_size: float | None,
    contrast: str | None,
    label_diameter: int | None,
) -> "Published | None":
    """Gather what a published checkpoint does not say."""
    from dep.export import Published, parse_classes

    told = {"contrast": contrast, "label_diameter": label_diameter}
    told = {key: value for key, value in told.items() if value is not None}
    if classes is None and voxel_size is None and not told:
        return None
    if classes is None or voxel_size is None:
        message = (
            "expected both --classes and --voxel-size, which describe a checkpoint of "
            "the published tool"
        )
        raise UsageError(message)
    return Published(
        parse_classes(classes), voxel_size, name=checkpoint.stem, **cast("Any", told)
    )


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
