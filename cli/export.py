"""`dep export`: turn a checkpoint or a model file into a model file or a plan."""

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

import typer

from dep.cli import export_options as say_what
from dep.cli.export_options import ONNX, PLAN, PRECISIONS, Asked, given
from dep.cli.failure import UsageError, guarded, listen_for_termination, need
from dep.cli.wording import print_json


@guarded
def export(
    checkpoint: say_what.Source,
    out: say_what.Out,
    precision: say_what.Precision = None,
    calibrate: say_what.Calibrate = None,
    half_weights: say_what.HalfWeights = False,
    check_on: say_what.CheckOn = None,
    overwrite: say_what.Overwrite = False,
    as_json: say_what.AsJson = False,
    tile: say_what.Tile = None,
    margin: say_what.Margin = None,
    t_seg: say_what.TSeg = None,
    t_lm: say_what.TLm = None,
    t_dist: say_what.TDist = None,
    classes: say_what.Classes = None,
    voxel_size: say_what.VoxelSize = None,
    contrast: say_what.Contrast = None,
    label_diameter: say_what.LabelDiameter = None,
    builder: say_what.Builder = None,
    batch: say_what.Batch = None,
    workspace: say_what.Workspace = None,
    version_compatible: say_what.VersionCompatible = False,
    hardware_compatible: say_what.HardwareCompatible = False,
    compute_capability: say_what.ComputeCapability = None,
    timing_cache: say_what.TimingCache = None,
    keep_onnx: say_what.KeepOnnx = None,
    check: say_what.Check = False,
) -> None:
    """Export a checkpoint or a model to ONNX with its card inside, or to a plan.

    The ONNX file is opened and compared with the network on real tiles, scores and
    picks, before it takes its name. Tile and thresholds go into the card. Needs the
    extra `train`.

    With --precision int8 the convolutions that stand it compute with 8 bits, and
    --calibrate names tomograms to find their ranges on.

    A checkpoint of the published DeepETPicker says nothing of its classes: name them
    with --classes and --voxel-size. Its tile is 72 and its margin 12, unless it was
    trained on other patches.

    A plan is built by TensorRT, for one version of it and for some GPUs;
    MODEL.plan.json beside it holds the card and the command that builds it again. Of a
    MODEL.onnx it is built as that file is, without the extra `train`.
    """
    asked = Asked(
        source=checkpoint,
        out=out,
        precision=precision,
        calibrate=tuple(calibrate or ()),
        half_weights=half_weights,
        picking=given(tile=tile, margin=margin, t_seg=t_seg, t_lm=t_lm, t_dist=t_dist),
        told=given(
            classes=classes,
            voxel_size=voxel_size,
            contrast=contrast,
            label_diameter=label_diameter,
        ),
        check_on=check_on,
        overwrite=overwrite,
    )
    for_plans = given(
        builder=builder,
        batch=batch,
        workspace=workspace,
        version_compatible=version_compatible or None,
        hardware_compatible=hardware_compatible or None,
        compute_capability=compute_capability,
        timing_cache=timing_cache,
        keep_onnx=keep_onnx,
        check=check or None,
    )
    if out.suffix not in (ONNX, PLAN):
        message = f"{out}: expected a name that ends in {ONNX} or {PLAN}"
        raise UsageError(message)
    if checkpoint.suffix == PLAN:
        message = (
            f"{checkpoint}: a plan cannot be turned back; begin with the ONNX file or "
            "the checkpoint that it was built from (dep info names it)"
        )
        raise UsageError(message)
    if precision is not None and precision not in PRECISIONS:
        message = f"--precision {precision}: expected one of {', '.join(PRECISIONS)}"
        raise UsageError(message)
    check_place(out, overwrite)
    listen_for_termination()
    if out.suffix == PLAN:
        from dep.cli.export_plan import make_plan

        make_plan(asked, for_plans, as_json=as_json)
        return
    _refuse_for_onnx(out, for_plans)
    document = make_onnx(asked, out, quiet=as_json)
    if as_json:
        print_json(document)
        return
    typer.echo(f"model:     {out} ({out.stat().st_size / 1e6:.1f} MB)")
    typer.echo(f"next:      dep pick TOMOGRAM.mrc --engine {out}")


def _refuse_for_onnx(out: Path, for_plans: dict[str, Any]) -> None:
    """Refuse what an .onnx file has no use for."""
    if "check" in for_plans:
        message = (
            f"{out}: an .onnx file is always compared with the network: leave out "
            "--check (--check-on names the tomogram)"
        )
        raise UsageError(message)
    if for_plans:
        names = {"builder": "with"}
        words = [names.get(name, name).replace("_", "-") for name in for_plans]
        message = (
            f"{out}: for plans only: {', '.join('--' + word for word in words)}; leave "
            f"out, or export to a name that ends in {PLAN}"
        )
        raise UsageError(message)


def make_onnx(asked: Asked, out: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Export to ONNX, and say how well it agrees.

    Parameters
    ----------
    asked
        What to export, and how.
    out
        The file to write.
    quiet
        Say nothing on standard output.

    Returns
    -------
    dict
        Card and comparison, as JSON has them.
    """
    precision = asked.precision or "fp32"
    if asked.half_weights and precision != "fp32":
        message = f"--half-weights: weights are no larger with {precision} already"
        raise UsageError(message)
    if (precision == "int8") != bool(asked.calibrate):
        message = (
            "--precision int8 and --calibrate TOMOGRAM go together: the ranges of "
            "8-bit values are found on tomograms like those to pick in"
        )
        raise UsageError(message)
    need(("torch", "onnx", "onnxscript", "pydantic"), "train", "export")
    from dep.export import export_onnx

    card, comparison = export_onnx(
        asked.source,
        out,
        precision=cast("Any", precision),
        published=asked.published(),
        half_weights=asked.half_weights,
        picking=asked.picking,
        check_on=asked.check_on,
        calibrate_on=asked.calibrate,
        say=partial(typer.echo, err=True),
    )
    if not quiet:
        typer.echo(f"compared:  {comparison}")
    return {"card": card.to_dict(), "comparison": asdict(comparison)}


def check_place(out: Path, overwrite: bool) -> None:
    """Refuse what cannot be written before seconds go into the export."""
    if os.path.lexists(out) and not overwrite:
        message = f"{out} exists already; replace it with --overwrite"
        raise UsageError(message)
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
