"""How a report says numbers, times and settings."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

NOTHING = "\u2013"  # an en dash, where there is no number
TIMES = " \u00d7 "

# Settings of `run.json` and the words for them, in the order that they are shown.
SETTINGS = {
    "t_seg": "Threshold on the scores of voxels (t_seg)",
    "t_lm": "Threshold on the pooled mask (t_lm)",
    "t_dist": "Least distance of two picks (t_dist)",
    "iterations": "Iterations of the mean pooling",
    "assembly": "Assembly of the labels",
    "voxel_size": "Voxel size",
    "rescale": "Resampled to the model's voxel size",
    "ignore_voxel_size": "Picked whatever the voxel size",
    "invert": "Dark and bright swapped",
    "statistics": "Statistics of the normalisation",
    "mask": "Mask",
    "skip_empty": "Empty tiles skipped",
    "lowpass": "Low-pass filter",
    "highpass": "High-pass filter",
    "tile": "Tiles asked for",
    "memory": "Memory for tiles and labels",
    "mirrors": "Mirror images averaged",
    "pixel_size": "Pixel size of the tilt series",
    "precision": "Precision",
}

CARD = {
    "trained_on": "Trained on",
    "voxel_size": "Voxel size",
    "contrast": "Particles are",
    "label_kind": "Labels",
    "label_diameter": "Label diameter",
    "tile": "Tile",
    "margin": "Margin of a tile",
    "precision": "Precision of the file",
    "software": "Written by",
    "weights_digest": "SHA-256 of the weights",
}

_UNITS = {
    "t_dist": "voxels",
    "voxel_size": "Å",
    "pixel_size": "Å",
    "memory": "MiB",
    "lowpass": "Å",
    "highpass": "Å",
    "label_diameter": "voxels",
    "tile": "voxels",
    "margin": "voxels",
}


def setting(key: str, value: Any) -> str:  # noqa: ANN401 - what JSON holds
    """Say a setting's value; `key` is its name in `run.json` or a card."""
    if value is None:
        return "of each tomogram's header" if key == "voxel_size" else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        edges = value[::-1] if key == "tile" else value
        words = (TIMES if key == "tile" else ", ").join(_number(one) for one in edges)
    elif isinstance(value, int | float):
        words = _number(value)
    else:
        return str(value)
    return f"{words} {_UNITS[key]}" if key in _UNITS else words


def rows(
    document: Mapping[str, Any], names: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Give name and value of what is known by name, then of the rest."""
    known = [
        (names[key], setting(key, document[key])) for key in names if key in document
    ]
    rest = [
        (key.replace("_", " "), setting(key, value))
        for key, value in document.items()
        if key not in names and not isinstance(value, dict)
    ]
    return known + rest


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def many(count: int, noun: str) -> str:
    """Say how many: 1 pick, 2,000 picks."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def moment(iso: str) -> str:
    """Say an instant of `run.json`; as it is where it is none."""
    try:
        instant = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    zone = " UTC" if instant.utcoffset() is not None else ""
    return f"{instant.day} {instant:%B %Y, %H:%M}{zone}"


def duration(seconds: float) -> str:
    """Say a time: 8.2 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def size(shape: tuple[int, int, int], voxel_size: float | None) -> str:
    """Say the size of a tomogram (z, y, x) as x, y, z, and its voxels in nanometres."""
    words = TIMES.join(str(edge) for edge in shape[::-1])
    voxels = f" of {voxel_size / 10:.4g} nm" if voxel_size else ""
    return f"{words} voxels{voxels}"
