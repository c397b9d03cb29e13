"""What `dep pick` may be told: the options of its command line."""

from pathlib import Path
from typing import Annotated

import typer

MODEL_OPTIONS = "Model"
DATA_OPTIONS = "Tomogram"
METHOD_OPTIONS = "Thresholds (default: the model's own)"
OUTPUT_OPTIONS = "Output"

Tomograms = Annotated[
    list[str],  # a Path would make one slash of the two of an address
    typer.Argument(
        metavar="TOMOGRAM...",
        help="Tomograms (MRC, OME-Zarr, HDF5, EM, TIFF, NumPy) or folders of them.",
        show_default=False,
    ),
]
Engine = Annotated[
    Path | None,
    typer.Option(
        "--engine",
        metavar="MODEL",
        help="Model file, or standard or fast (default: standard).",
        readable=False,
        rich_help_panel=MODEL_OPTIONS,
    ),
]
Device = Annotated[
    str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=MODEL_OPTIONS)
]
Precision = Annotated[
    str,
    typer.Option(
        help="auto, f32 or bf16 (on chips that have it).",
        rich_help_panel=MODEL_OPTIONS,
    ),
]
Runtime = Annotated[
    str,
    typer.Option(
        help="auto, openvino, onnxruntime or tensorrt.",
        rich_help_panel=MODEL_OPTIONS,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="CPU threads (default: the cores this process may use).",
        rich_help_panel=MODEL_OPTIONS,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Tiles at once (default: 1; on a GPU the plan's own, or 4).",
        rich_help_panel=MODEL_OPTIONS,
    ),
]
Tile = Annotated[
    str,
    typer.Option(
        metavar="auto|N|XxYxZ",
        help="Edges of the tiles, voxels (auto: what computes the fewest).",
        rich_help_panel=MODEL_OPTIONS,
    ),
]
Memory = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="MIB",
        help="Memory for tiles and labels on a processor (default: 900).",
        rich_help_panel=MODEL_OPTIONS,
    ),
]
Mirrors = Annotated[
    int,
    typer.Option(
        metavar="1|2|4|8",
        help="Average so many mirror images, at that many times the cost.",
        rich_help_panel=MODEL_OPTIONS,
    ),
]
GpuMemory = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="MIB",
        help="GPU memory that may be taken (default: what there is).",
        rich_help_panel=MODEL_OPTIONS,
    ),
]
CudaGraph = Annotated[
    bool,
    typer.Option(
        "--cuda-graph",
        help="Record a plan's launches once and replay them.",
        rich_help_panel=MODEL_OPTIONS,
    ),
]
VoxelSize = Annotated[
    float | None,
    typer.Option(
        metavar="ÅNGSTRÖM",
        help="Voxel size, overruling the headers.",
        rich_help_panel=DATA_OPTIONS,
    ),
]
Rescale = Annotated[
    bool,
    typer.Option(
        "--rescale",
        help="Resample to the model's voxel size on the fly.",
        rich_help_panel=DATA_OPTIONS,
    ),
]
IgnoreVoxelSize = Annotated[
    bool,
    typer.Option(
        "--ignore-voxel-size",
        help="Pick as it is, whatever the voxel size.",
        rich_help_panel=DATA_OPTIONS,
    ),
]
Invert = Annotated[
    bool,
    typer.Option(
        "--invert",
        help="Swap dark and bright before picking.",
        rich_help_panel=DATA_OPTIONS,
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="MASK",
        help="MRC that is not 0 where particles may be; or a folder of NAME.mrc.",
        readable=False,
        rich_help_panel=DATA_OPTIONS,
    ),
]
SkipEmpty = Annotated[
    bool,
    typer.Option(
        "--skip-empty",
        help="Do not compute tiles without any structure.",
        rich_help_panel=DATA_OPTIONS,
    ),
]
Lowpass = Annotated[
    float | None,
    typer.Option(
        metavar="ÅNGSTRÖM",
        help="Remove shorter wavelengths first (Gaussian; default: no filter).",
        rich_help_panel=DATA_OPTIONS,
    ),
]
Highpass = Annotated[
    float | None,
    typer.Option(
        metavar="ÅNGSTRÖM",
        help="Remove longer wavelengths first; with --lowpass a band-pass.",
        rich_help_panel=DATA_OPTIONS,
    ),
]
Robust = Annotated[
    bool,
    typer.Option(
        "--robust",
        help="Normalise by median and quartiles (gold beads, hot voxels, edges).",
        rich_help_panel=DATA_OPTIONS,
    ),
]
TSeg = Annotated[
    float | None,
    typer.Option(
        help="Least score of a particle's voxel.", rich_help_panel=METHOD_OPTIONS
    ),
]
TLm = Annotated[
    float | None,
    typer.Option(
        help="Least pooled value of a local maximum.",
        rich_help_panel=METHOD_OPTIONS,
    ),
]
TDist = Annotated[
    float | None,
    typer.Option(
        help="Least distance of two picks, voxels.", rich_help_panel=METHOD_OPTIONS
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Folder of the outputs.",
        readable=False,
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
Formats = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        metavar="NAME,...",
        help="relion5, csv, star and others (dep convert --from '?' lists them), "
        "with commas.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
PixelSize = Annotated[
    float | None,
    typer.Option(
        metavar="ÅNGSTRÖM",
        help="Of the unbinned tilt series, for formats that count in its pixels: "
        "relion4, eman2.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
TomogramsStar = Annotated[
    Path | None,
    typer.Option(
        "--tomograms",
        metavar="TOMOGRAMS.STAR",
        help="RELION's: names, sizes and optics of the tomograms; adds particles.star "
        "of all and optimisation_set.star.",
        readable=False,
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
Optics = Annotated[
    str | None,
    typer.Option(
        metavar="KV,MM,FRACTION",
        help="RELION: voltage, spherical aberration, amplitude contrast (default: "
        "from --tomograms).",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
Rename = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OLD=NEW",
        help="Name outputs and tomograms otherwise than files; * is any text "
        "('*_10.00Apx=*'). Repeatable.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
Picture = Annotated[
    bool,
    typer.Option(
        "--picture",
        help="Draw slices with the picks circled, as PNG.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
Report = Annotated[
    bool,
    typer.Option(
        "--report",
        help="Write DIR/report.html: counts, scores, slices with picks.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace outputs that exist.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Skip what run.json says was picked with this model and settings.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Write one JSON document on standard output.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Show failures only.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Show model, settings and times of each tomogram.",
        rich_help_panel=OUTPUT_OPTIONS,
    ),
]
