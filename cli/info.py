"""`dep info`: what a file is: a model's card, a tomogram's header, or picks."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dep.cli.failure import guarded
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from rich.console import Console

Facts = dict[str, Any]


@guarded
def info(
    file: Annotated[
        str,  # a Path would make one slash of the two of an address
        typer.Argument(
            metavar="FILE",
            help="A model, a tomogram (also the address of one) or picks.",
            show_default=False,
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON document.")
    ] = False,
) -> None:
    """Say what a file holds.

    A model: its card; of a plan also what built it, what it needs and the command that
    builds it again. A tomogram: header and statistics (none of an address). Picks: how
    many of which class, and where. The kind follows from the file's ending; anything
    unknown is tried as a tomogram.
    """
    kind, facts = _read(file)
    if as_json:
        document = {"file": str(file), "kind": kind, **facts}
        print_json(document)
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"[bold]{kind}[/bold]", end=" ")
    console.print(str(file), markup=False, soft_wrap=True)
    _show(facts, console)


def _read(words: str) -> tuple[str, Facts]:
    from dep.engine.formats import endings
    from dep.engine.model_file import ONNX_SUFFIX, PLAN_SUFFIX
    from dep.engine.readers.names import FOLDER_SUFFIX, is_url
    from dep.engine.readers.ome_zarr import is_zarr

    file = Path(words)
    if is_url(words) or is_zarr(file):
        return "tomogram", _tomogram(words)
    ending = file.suffix.lower()
    if ending in (ONNX_SUFFIX, PLAN_SUFFIX):
        return "model", _model(file)
    if file.name.lower().endswith(FOLDER_SUFFIX):
        return "tomogram", _tomogram(words)  # says what it lacks
    if file.name.lower().endswith(endings()) or file.is_dir():
        return "picks", _picks(file)
    return "tomogram", _tomogram(words)


def _model(file: Path) -> Facts:
    from dep.engine.model_file import PLAN_SUFFIX, check_model_path, read_card
    from dep.engine.plan_file import read_plan

    if file.suffix != PLAN_SUFFIX:
        return {**read_card(file).to_dict(), "megabytes": _megabytes(file)}
    check_model_path(file)
    card, origin = read_plan(file)
    return {
        **card.to_dict(),
        "megabytes": _megabytes(file),
        "built": asdict(origin),
    }


def _tomogram(location: str) -> Facts:
    from dep.engine.readers.names import is_url
    from dep.engine.readers.registry import bytes_of, read_header

    header = read_header(location)
    if is_url(location):
        statistics: Facts = {}
        warnings = ["no statistics: of an address they would fetch every voxel"]
    else:
        statistics, warnings = _statistics(location, header.voxel_size)
    depth, height, width = header.shape
    size = bytes_of(location)
    return {
        "format": header.format,
        "size_xyz": [width, height, depth],
        "voxel_size": header.voxel_size,
        **({} if header.voxel_size else {"voxel_size_unknown": header.lacks}),
        "voxel_edges_xyz": list(header.voxel_edges),
        "type": header.dtype.name,
        "byte_order": {"<": "little", ">": "big"}.get(header.dtype.byteorder, "any"),
        "compression": header.compression,
        **header.details,
        "level": header.level,
        "levels": [
            {
                "name": one.name,
                "size_xyz": list(one.shape[::-1]),
                "voxel_size": one.voxel_size,
            }
            for one in header.levels
        ],
        **statistics,
        **({} if size is None else {"megabytes": round(size / 1e6, 3)}),
        "warnings": warnings,
    }


def _statistics(location: str, voxel_size: float | None) -> tuple[Facts, list[str]]:
    """Measure all voxels; give what there is to remark of the file too."""
    from dep.engine.normalise import measure
    from dep.engine.volume import open_volume

    # Statistics do not depend on it.
    with open_volume(location, voxel_size or 1.0) as volume:
        found = measure(volume)
        warnings = list(volume.warnings)
    facts = {
        "mean": found.mean,
        "standard_deviation": found.std,
        "minimum": found.minimum,
        "maximum": found.maximum,
    }
    return facts, warnings


def _picks(file: Path) -> Facts:
    from dep.engine.formats import read_table

    table = read_table(file)
    names = [name for name in dict.fromkeys(table.tomogram) if name]
    known = table.frame.classes or ()
    counts: dict[str, int] = {}
    for label in table.label:
        number = int(label) if table.numbered else 0
        name = known[number - 1].name if 1 <= number <= len(known) else label
        counts[name] = counts.get(name, 0) + 1
    facts: Facts = {"picks": len(table.label), "tomograms": names, "classes": counts}
    if len(table.label):
        facts["lowest_xyz"] = [round(float(v), 3) for v in table.xyz.min(axis=0)]
        facts["highest_xyz"] = [round(float(v), 3) for v in table.xyz.max(axis=0)]
        facts["lowest_score"] = round(float(table.score.min()), 4)
        facts["highest_score"] = round(float(table.score.max()), 4)
    if table.frame.shape is not None:
        facts["size_xyz"] = list(table.frame.shape[::-1])
    if table.frame.voxel_size is not None:
        facts["voxel_size"] = table.frame.voxel_size
    return facts


def _megabytes(file: Path) -> float:
    return round(file.stat().st_size / 1e6, 3)


UNITS = {"voxel_size": "Å", "voxel_edges_xyz": "Å", "megabytes": "MB"}


def _show(facts: Facts, console: "Console") -> None:
    """Print one line for each fact; a class table as a table."""
    from dep.cli.tables import plain_table

    facts = dict(facts)
    facts |= _built(facts.pop("built", {}))
    unknown = facts.pop("voxel_size_unknown", "")
    width = max(len(name) for name in facts) + 2
    levels = facts.pop("levels", [])
    for name, value in facts.items():
        if name == "classes":
            continue
        if value is None or value in ("", []):
            continue
        unit = f" {UNITS[name]}" if name in UNITS else ""
        if isinstance(value, list):
            joint = " x " if name.startswith("size") else ", "
            value = joint.join(_words(one) for one in value)
        label = name.replace("_", " ")
        line = f"{label:<{width}}{_words(value)}{unit}"
        console.print(line, markup=False, soft_wrap=True)
    if unknown:
        console.print(
            f"voxel size: in the header it {unknown}; give --voxel-size to pick",
            soft_wrap=True,
        )
    if levels:
        table = plain_table("level", "size (voxels)", "voxel size (Å)")
        for one in levels:
            size = " x ".join(map(str, one["size_xyz"]))
            table.add_row(one["name"], size, _words(one["voxel_size"] or "?"))
        console.print(table)
    classes = facts.get("classes")
    if isinstance(classes, dict) and classes:
        table = plain_table("class", "picks")
        for name, count in classes.items():
            table.add_row(name, str(count))
        console.print(table)
    elif classes:
        table = plain_table("class", "diameter (Å)")
        for one in classes:
            table.add_row(one["name"], f"{one['diameter']:g}")
        console.print(table)


def _built(built: Facts) -> Facts:
    """Put what built a plan, and what it needs, into words."""
    if not built:
        return {}
    low, best, high = built["batch"]
    version = f"{built['builder']} {built['version']}"
    capabilities = ", ".join(built["compute_capabilities"])
    if built["hardware_compatible"]:
        capabilities = f"{capabilities or 'its GPU'}, and others from 8.0 on"
    return {
        "built_by": version,
        "runs_with": version + " or newer" * built["version_compatible"],
        "tiles_at_once": str(low) if low == high else f"{low} to {high}, best {best}",
        "compute_capability": capabilities or f"the default of {built['builder']}",
        "built_on": built["gpu"] or "not known, or no GPU",
        "built_of": f"{built['onnx']} (SHA-256 {built['onnx_sha256']})",
        "build_again": built["command"],
    }


def _words(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
