"""Writes a first training configuration from a folder of tomograms and centres."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from dep.engine.atomic import atomic_text
from dep.engine.normalise import measure
from dep.engine.volume import open_volume
from dep.train.advice import LEAST, LEAST_LABEL, USUAL_LABEL, largest_label
from dep.train.config import ConfigError
from dep.train.contrast import believed, excess
from dep.train.discovery import Found, discover
from dep.train.sections import ROUNDING

PLACEHOLDER = "?"
# Half resolution, no coordinates, interpolated head: of the family what learns fastest
# on a processor (docs/models.md).
WIDTHS = (32, 64, 96, 128)
MULTIPLE = 16  # of that network
STEPS_PER_PARTICLE, LEAST_STEPS, MOST_STEPS = 10, 2000, 12000


def write_starter(
    folder: Path,
    out: Path,
    diameters: Mapping[str, float],
    common: float | None = None,
) -> tuple[Found, list[str]]:
    """Look at a folder and write a configuration that trains on what it holds.

    Parameters
    ----------
    folder
        Of tomograms and coordinates.
    out
        File to write; must not exist.
    diameters
        Å, of some or all classes.
    common
        Å, of all others; None: they must be filled in before training.

    Returns
    -------
    found, missing
        What the folder holds, and the classes whose diameter is to be filled in.

    Raises
    ------
    ConfigError
        The file exists, the folder holds nothing to train on, or a diameter is given
        of a class that it does not hold, or one that is less than a label's.
    PicksError
        The file cannot be written.
    """
    if os.path.lexists(out):
        msg = f"{out} exists already; remove it, or choose another name with -o"
        raise ConfigError(msg)
    found = discover(folder)
    strange = [name for name in diameters if name not in found.classes]
    if strange:
        msg = (
            f"--diameter: no class {', '.join(strange)} in {folder}; it holds "
            f"{', '.join(found.classes)}"
        )
        raise ConfigError(msg)
    if common is not None:
        diameters = {name: diameters.get(name, common) for name in found.classes}
    _refuse_narrow(found, diameters)
    text = starter_text(found, out, diameters)
    with atomic_text(out) as file:
        file.write(text)
    return found, [name for name in found.classes if name not in diameters]


def _refuse_narrow(found: Found, diameters: Mapping[str, float]) -> None:
    """Refuse particles that no label fits into: nothing would train on them."""
    size = found.voxel_size
    if not size:
        return
    narrow = {
        name: diameter
        for name, diameter in diameters.items()
        if diameter / size < LEAST_LABEL - ROUNDING
    }
    if narrow:
        listed = ", ".join(
            f"{name} ({diameter:g} Å, {diameter / size:.2g} voxels)"
            for name, diameter in narrow.items()
        )
        msg = (
            f"--diameter: narrower than the smallest label, {LEAST_LABEL} voxels of "
            f"{size:g} Å: {listed}; are these Å? If so, take tomograms with voxels of "
            f"{min(narrow.values()) / LEAST:.3g} Å or less"
        )
        raise ConfigError(msg)


def starter_text(found: Found, out: Path, diameters: Mapping[str, float]) -> str:
    """Return the configuration as TOML with comments."""
    many = sum(found.count(name) for name in found.classes)
    size = found.voxel_size
    contrast, why = _contrast(found)
    steps = min(max(STEPS_PER_PARTICLE * many, LEAST_STEPS), MOST_STEPS)
    steps = -(-steps // 500) * 500
    known = "from the headers" if size else "no header holds it: fill it in"
    lines = [
        "# A first training configuration, made by dep train --init-config.",
        f"# Train: dep train {out.name} -o runs/{out.stem}",
        f"# Look at the labels first: dep label {out.name} -o labels",
        "",
        f"name = {_quoted(out.stem)}",
        f"voxel_size = {size if size else _quoted(PLACEHOLDER)}  # Å, {known}",
        f"contrast = {_quoted(contrast)}  # what particles look like; {why}",
        "",
        *_classes(found, diameters),
        "",
        *_data(found, out),
        *_labels(found, diameters),
        "",
        "[network]  # half resolution: quick on a processor; leave it out with --init",
        f"widths = {list(WIDTHS)}",
        "coordinates = false",
        "stem_stride = 2",
        'head = "interpolated"  # learns classes in a fraction of the steps',
        "",
        "[loss]  # matters where not all particles are annotated",
        '# What nobody annotated: "trimmed" takes all but the tenth that looks most',
        '# like particles for background. "ignore" assumes nothing, and shows the',
        "# network next to none.",
        'unannotated = "trimmed"',
        "",
        "[augmentation]",
        "noise = 0.4           # white noise added, at most, in standard deviations",
        "random_patches = 0.15  # part of the patches cut anywhere",
        "",
        "[training]",
        f"steps = {steps}  # {many} particles; more where the scores still rise",
        "batch = 4",
        f"patch = {_patch(found, diameters)}  # voxels, a multiple of {MULTIPLE}",
        "learning_rate = 2e-3",
        "warm_up = 0.05",
        'precision = "fp32"  # "bf16" is faster on GPUs and processors that have it',
        "save_every = 250",
        *_validation(found, steps),
        "",
        "[picking]  # goes into the model's card",
        "tile = 96",
        "margin = 12",
        "# t_dist = 5  # least distance of two picks, voxels; if not given, half the",
        "#              smallest particle, plus 1",
        "",
    ]
    return "\n".join(lines)


def _validation(found: Found, steps: int) -> list[str]:
    if len(found.tomograms) == 1:
        return []  # that one is trained on
    return [f"validate_every = {steps // 4}  # picks whole tomograms: takes its time"]


def _classes(found: Found, diameters: Mapping[str, float]) -> list[str]:
    lines = [
        "# Diameters are the particles', in Å. report = false: learnt, so as not to be",
        "# confused with others, but never picked (gold beads, for example). Rows of a",
        "# class that is not listed are left out, as if nobody had annotated them.",
        "classes = [",
    ]
    for name in found.classes:
        diameter = diameters.get(name)
        value = _quoted(PLACEHOLDER) if diameter is None else f"{diameter:g}"
        label = ""
        if diameter is not None and found.voxel_size:
            width = diameter / found.voxel_size
            if len(found.classes) > 1 and largest_label(width) < USUAL_LABEL:
                label = f", label_diameter = {largest_label(width)}"
        note = f"{found.count(name)} annotated"
        if diameter is None:
            note += "; fill in the diameter"
        lines.append(
            f"  {{ name = {_quoted(name)}, diameter = {value}{label} }},  # {note}"
        )
    return [*lines, "]"]


def _data(found: Found, out: Path) -> list[str]:
    tomograms = found.tomograms
    lines = [
        "[data]",
        "# false: only some particles are annotated, other places may hold more.",
        "# true: every particle of every class is.",
        "fully_annotated = false",
    ]
    if len(tomograms) > 1:
        lines += [
            f"# Parts of the {len(tomograms)} tomograms, drawn by the seed.",
            "split = { validate = 0.2, test = 0.0, seed = 0 }",
        ]
    else:
        lines.append("# One tomogram alone: nothing is left to validate on.")
    for one in found.annotations:
        lines += [
            "",
            "[[data.train]]",
            f"tomogram = {_quoted(_relative(one.tomogram, out))}",
            f"coordinates = {_quoted(_relative(one.coordinates, out))}",
        ]
        if one.of_class is not None:
            lines.append(f"class = {_quoted(one.of_class)}")
        if one.binning != 1:
            lines.append(
                f"binning = {one.binning:g}  # the coordinates count in finer pixels"
            )
    return [*lines, ""]


def _labels(found: Found, diameters: Mapping[str, float]) -> list[str]:
    diameter = USUAL_LABEL
    if len(found.classes) == 1 and found.voxel_size and diameters:
        diameter = largest_label(diameters[found.classes[0]] / found.voxel_size)
    return [
        "[labels]",
        'kind = "tball"  # truncated ball; or "ball", "cubic"',
        f"diameter = {diameter}    # voxels, odd, no wider than the smallest particle",
    ]


def _patch(found: Found, diameters: Mapping[str, float]) -> int:
    """Return a patch of twice the widest particle, 48 voxels or more, 96 at most."""
    if not found.voxel_size or not diameters:
        return 3 * MULTIPLE
    widest = 2 * max(diameters.values()) / found.voxel_size
    return int(min(max(-(-widest // MULTIPLE), 3), 6)) * MULTIPLE


def _contrast(found: Found) -> tuple[str, str]:
    """Tell dark from bright particles by the first tomogram with enough of them."""
    for tomogram in found.tomograms[:3]:
        with open_volume(tomogram, default_voxel_size=1.0) as volume:
            stats = measure(volume)
            excesses = [
                value
                for one in found.annotations
                if one.tomogram == tomogram
                for value in excess(volume.array, stats.mean, stats.std, one.xyz)
            ]
        seen = believed(excesses)
        if seen:
            kind, more = ("dark", "darker") if seen < 0 else ("bright", "brighter")
            return (
                kind,
                f"the given ones are {more} by {abs(seen):.2f} standard deviations",
            )
    return "dark", "a guess: the centres do not stand out"


def _relative(path: Path, out: Path) -> str:
    """Give a path from the configuration's folder, with slashes."""
    try:
        shown = os.path.relpath(path, out.parent)
        if shown.startswith(os.pardir):
            # Upwards means the parent that the system sees, links followed.
            shown = os.path.relpath(path.resolve(), out.resolve().parent)
    except ValueError:  # another drive
        shown = str(path.resolve())
    return Path(shown).as_posix()


def _quoted(text: str) -> str:
    """Write a TOML string: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
