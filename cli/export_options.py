"""What `dep export` may be told: the options of its command line, and what they ask."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dep.cli.failure import UsageError

if TYPE_CHECKING:
    from dep.export import Published

ONNX, PLAN = ".onnx", ".plan"
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
METHOD_PANEL = "Tile and thresholds (default: the training's)"
PUBLISHED_PANEL = "What a published checkpoint does not say"
PLAN_PANEL = "Plans"

Source = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT|MODEL.onnx",
        help="Made by `dep train`, or by the published DeepETPicker; or a model file.",
        readable=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="MODEL.onnx|MODEL.plan",
        help="File to write; its ending says which kind.",
        readable=False,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="fp32|fp16|bf16|int8",
        help="Of the arithmetic that the file asks for (default: fp32; a plan of a "
        "MODEL.onnx has the precision of that).",
    ),
]
Calibrate = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="TOMOGRAM",
        help="For int8: such as the model will pick in; may be given many times.",
        readable=False,
    ),
]
HalfWeights = Annotated[
    bool,
    typer.Option(
        "--half-weights",
        help="Store the weights of an .onnx file as float16: half the size, same "
        "arithmetic.",
    ),
]
CheckOn = Annotated[
    Path | None,
    typer.Option(
        metavar="TOMOGRAM",
        help="Compare on this one (default: the configuration's own).",
        readable=False,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that exist.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Write card and comparisons as JSON.")
]

Tile = Annotated[
    int | None,
    typer.Option(help="Tile edge in voxels.", rich_help_panel=METHOD_PANEL),
]
Margin = Annotated[
    int | None,
    typer.Option(
        help="Rim of a tile that never counts, voxels.", rich_help_panel=METHOD_PANEL
    ),
]
TSeg = Annotated[
    float | None,
    typer.Option(help="Threshold on the score, 0 to 1.", rich_help_panel=METHOD_PANEL),
]
TLm = Annotated[
    float | None,
    typer.Option(
        help="Threshold on the pooled mask, 0 to 1.", rich_help_panel=METHOD_PANEL
    ),
]
TDist = Annotated[
    float | None,
    typer.Option(
        help="Least distance of two picks, voxels.", rich_help_panel=METHOD_PANEL
    ),
]

Classes = Annotated[
    str | None,
    typer.Option(
        metavar="NAME:DIAMETER,...",
        help="Its classes in order, diameters in Å.",
        rich_help_panel=PUBLISHED_PANEL,
    ),
]
VoxelSize = Annotated[
    float | None,
    typer.Option(help="Å, of its training tomograms.", rich_help_panel=PUBLISHED_PANEL),
]
Contrast = Annotated[
    str | None,
    typer.Option(
        metavar="dark|bright",
        help="How particles look (default: dark).",
        rich_help_panel=PUBLISHED_PANEL,
    ),
]
LabelDiameter = Annotated[
    int | None,
    typer.Option(
        help="Of its training's labels, voxels (default: 7).",
        rich_help_panel=PUBLISHED_PANEL,
    ),
]

Builder = Annotated[
    str | None,
    typer.Option(
        "--with",
        metavar="auto|tensorrt|tensorrt_rtx",
        help="What builds it (default: tensorrt where it is installed).",
        rich_help_panel=PLAN_PANEL,
    ),
]
Batch = Annotated[
    str | None,
    typer.Option(
        metavar="MIN,BEST,MOST",
        help="Tiles at once that it takes, or one number (default: 1,4,8).",
        rich_help_panel=PLAN_PANEL,
    ),
]
Workspace = Annotated[
    int | None,
    typer.Option(
        metavar="MIB",
        help="Memory that a layer may use for itself (default: all there is).",
        rich_help_panel=PLAN_PANEL,
    ),
]
VersionCompatible = Annotated[
    bool,
    typer.Option(
        "--version-compatible",
        help="tensorrt: runs with newer versions too, perhaps slower.",
        rich_help_panel=PLAN_PANEL,
    ),
]
HardwareCompatible = Annotated[
    bool,
    typer.Option(
        "--hardware-compatible",
        help="tensorrt: runs on other GPUs from Ampere on too, perhaps slower.",
        rich_help_panel=PLAN_PANEL,
    ),
]
ComputeCapability = Annotated[
    str | None,
    typer.Option(
        metavar="8.6,8.9",
        help="tensorrt_rtx: for GPUs of these alone (default: all it knows).",
        rich_help_panel=PLAN_PANEL,
    ),
]
TimingCache = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="tensorrt: keeps what it measures for the next build (default: one for "
        "each version and GPU in the cache folder).",
        readable=False,
        rich_help_panel=PLAN_PANEL,
    ),
]
KeepOnnx = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL.onnx",
        help="Keep the ONNX file that a checkpoint becomes on the way.",
        readable=False,
        rich_help_panel=PLAN_PANEL,
    ),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Run the plan on this machine's GPU, and write it only if its picks agree "
        "with those of the ONNX file and of torch.",
        rich_help_panel=PLAN_PANEL,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is made of which source; None and empty where nothing was said.

    Attributes
    ----------
    source, out
        Files.
    precision, calibrate, check_on, half_weights, overwrite
        As the options.
    picking
        Entries of the card to change.
    told
        Of a published checkpoint: classes, voxel_size, contrast, label_diameter.
    """

    source: Path
    out: Path
    precision: str | None
    calibrate: tuple[Path, ...]
    half_weights: bool
    picking: dict[str, Any]
    told: dict[str, Any]
    check_on: Path | None
    overwrite: bool

    def published(self) -> "Published | None":
        """Gather what a published checkpoint does not say.

        Raises
        ------
        UsageError
            Classes without voxel size, or the other way round.
        """
        if not self.told:
            return None
        from dep.export import Published, parse_classes

        told = dict(self.told)
        classes, voxel_size = told.pop("classes", None), told.pop("voxel_size", None)
        if classes is None or voxel_size is None:
            message = (
                "expected both --classes and --voxel-size, which describe a checkpoint "
                "of the published tool"
            )
            raise UsageError(message)
        return Published(
            parse_classes(classes),
            voxel_size,
            name=self.source.stem,
            **cast("Any", told),
        )

    def words(self, precision: str) -> list[str]:
        """Give the words that make the same network of the same source again."""
        words = [as_word(self.source), "--precision", precision]
        for tomogram in self.calibrate:
            words += ["--calibrate", str(tomogram)]
        for name, value in (*self.picking.items(), *self.told.items()):
            words += ["--" + name.replace("_", "-"), str(value)]
        if self.check_on is not None:
            words += ["--check-on", str(self.check_on)]
        return words


def as_word(path: Path) -> str:
    """Write a path so that no command takes it for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def given(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - of any option
    """Keep the options that were given."""
    return {name: value for name, value in values.items() if value is not None}
