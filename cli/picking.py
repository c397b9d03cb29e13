"""Between the words of `dep pick` and the engine: formats, model, settings, outputs."""

import json
import math
import os
import stat
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dep.cli.failure import UsageError, need, say, words_of
from dep.cli.wording import is_text
from dep.engine import DepError, Picker, PicksError, SettingError, open_volume
from dep.engine.formats import FORMATS, Conventions, LossWarning, lacks, star_text
from dep.engine.formats.relion_project import RelionProject
from dep.engine.readers.files import is_folder
from dep.engine.readers.registry import is_there
from dep.engine.settings import PickSettings

if TYPE_CHECKING:
    from dep.cli.batch import Job
    from dep.engine import Picks

PICTURE = "picture"


def patterns_of(
    formats: str,
    picture: bool,
    pixel_size: float | None = None,
    *,
    sizes_known: bool = False,
) -> dict[str, str]:
    """Name the output of each format asked for, in that order: "{name}.star".

    Raises
    ------
    UsageError
        An unknown format, or one that needs an unbinned pixel size that is not given
        (nor told of each tomogram, `sizes_known`).
    """
    names = [name.strip().lower() for name in formats.split(",") if name.strip()]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        found = ", ".join(unknown) or "nothing"
        message = f"--format: expected {', '.join(FORMATS)}, found {found}"
        raise UsageError(message)
    if pixel_size is not None and not 0 < pixel_size < math.inf:
        message = f"--pixel-size: expected a number above 0, found {pixel_size:g}"
        raise UsageError(message)
    lacking = [name for name in names if FORMATS[name].in_unbinned_pixels]
    if lacking and pixel_size is None and not sizes_known:
        message = (
            f"--format {lacking[0]} counts in unbinned pixels: give their size in Å "
            "(--pixel-size), or RELION's tomograms.star (--tomograms)"
        )
        raise UsageError(message)
    patterns = {name: FORMATS[name].pattern for name in names}
    if picture:
        need(("PIL",), "picture", "--picture")
        patterns[PICTURE] = "{name}.png"
    return patterns


def say_what_is_lost(patterns: dict[str, str], quiet: bool) -> None:
    """Say once what formats have no place for, and hear no more of it."""
    warnings.simplefilter("ignore", LossWarning)
    for form in patterns:
        without = lacks(form) if form != PICTURE and not quiet else []
        # Each tomogram has outputs of its own, named after it.
        lost = [what for what in without if "tomogram" not in what]
        if lost:
            say(f"--format {form} has no place for {', '.join(lost)}")


def tile_of(words: str) -> tuple[int, int, int] | None:
    """Read edges of tiles, "96" or "144x144x80" (x, y, z as in headers), as z, y, x.

    "auto" gives None.

    Raises
    ------
    UsageError
        Other words.
    """
    if words == "auto":
        return None
    edges = words.lower().split("x")
    if len(edges) not in (1, 3) or not all(
        one.isascii() and one.isdigit() for one in edges
    ):
        message = (
            "--tile: expected auto, an edge such as 96, or three such as 144x144x80 "
            f"(x, y, z), found {words}"
        )
        raise UsageError(message)
    x, y, z = map(int, edges * 3 if len(edges) == 1 else edges)
    return z, y, x


def open_picker(engine: Path | None, chosen: dict[str, Any]) -> Picker:
    """Open the model; what is wrong with it or its words is wrong use.

    Parameters
    ----------
    engine
        The model file; None: the bundled one.
    chosen
        Options of `Picker`.
    """
    try:
        return Picker(engine, **chosen)
    except DepError as error:
        raise UsageError(words_of(error)) from error


def identify(picker: Picker, choices: dict[str, Any]) -> dict[str, Any]:
    """Say which model picks with which settings, the model's own filled in.

    Raises
    ------
    UsageError
        Settings out of range.
    """
    names = (
        *("t_seg", "t_lm", "t_dist", "invert", "rescale", "statistics"),
        *("skip_empty", "lowpass", "highpass"),
    )
    try:
        settings = PickSettings.of(
            picker.card, **{name: choices[name] for name in names}
        )
    except SettingError as error:
        raise UsageError(words_of(error)) from error
    size = choices["voxel_size"]
    if size is not None and not 0 < size < math.inf:
        message = f"--voxel-size: expected a number of ångström above 0, found {size}"
        raise UsageError(message)
    mask: Path | None = choices["mask"]
    if mask is not None and not (is_folder(mask) or is_there(mask)):
        message = f"--mask: {mask}: no such file or folder"
        raise UsageError(message)
    tile = picker.tiling.tile
    everything = {
        **asdict(settings),
        "mask": None if mask is None else str(mask),
        "voxel_size": size,
        "ignore_voxel_size": choices["ignore_voxel_size"],
        "precision": picker.runtime.precision,
        **({} if choices["mirrors"] == 1 else {"mirrors": choices["mirrors"]}),
        **({} if tile is None else {"tile": tile}),
        **(
            {}
            if choices["pixel_size"] is None
            else {"pixel_size": choices["pixel_size"]}
        ),
        **({} if picker.tiling.memory is None else {"memory": picker.tiling.memory}),
    }
    # As JSON gives it back: lists, not tuples.
    words = json.dumps({"model": asdict(picker.model), "settings": everything})
    identity: dict[str, Any] = json.loads(words)
    return identity


def check_folder(out: Path) -> None:
    """Refuse what cannot be the folder of the outputs, before the model is opened."""
    try:
        kind = out.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(out, error) from error
    if not stat.S_ISDIR(kind):
        message = f"{out}: is a file, expected a folder for the outputs (-o)"
        raise UsageError(message)
    if not os.access(out, os.W_OK | os.X_OK):
        message = f"{out}: no permission to write into this folder; choose another (-o)"
        raise UsageError(message)


def make_folder(out: Path) -> None:
    """Make the folder of the outputs, once there is something to pick."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(out, error) from error


def _unusable(out: Path, error: OSError) -> UsageError:
    reason = error.strerror or error
    return UsageError(f"{out}: cannot be used as the folder of the outputs ({reason})")


def check_name(job: "Job", project: RelionProject | None = None) -> None:
    """Refuse a tomogram that the outputs cannot hold, before it is picked.

    For its name, or since `project` does not know what they need.

    Raises
    ------
    PicksError
        Says to rename the tomogram.
    """
    if not is_text(job.name):
        message = f"{job.tomogram}: the file name is not UTF-8 text; rename it"
        raise PicksError(message)
    if any(FORMATS[form].suffix == ".star" for form in job.outputs if form != PICTURE):
        try:
            star_text.quote(job.name)
        except PicksError as error:
            message = f"{job.tomogram}: {error}, or take --format csv"
            raise PicksError(message) from error
    if project is not None:
        project.check(job.name, job.outputs)


def write_outputs(
    picks: "Picks", job: "Job", conventions: Conventions | None = None
) -> None:
    """Write all outputs of one tomogram."""
    for form, path in job.outputs.items():
        if form != PICTURE:
            picks.write(FORMATS[form].root_of(path), form, conventions)
    if PICTURE in job.outputs:
        from dep.engine.picture import draw_picture

        with open_volume(job.tomogram, picks.voxel_size, shape=picks.shape) as volume:
            draw_picture(volume, picks, job.outputs[PICTURE])
