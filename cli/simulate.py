"""`dep simulate`: make tomograms with a known truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dep.cli.failure import UsageError, guarded, listen_for_termination, need, words_of
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from dep.train.simulate import Written

SPECIMEN = "Specimen"
MICROSCOPE = "Microscope"
RECONSTRUCTION = "Reconstruction"
OUTPUT = "Output"
SPAN = "NUMBER|LOW..HIGH"


@guarded
def simulate(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE.toml",
            help="Settings; the options below go before them.",
            readable=False,
        ),
    ] = None,
    templates: Annotated[
        list[Path] | None,
        typer.Option(
            "--templates",
            "-t",
            metavar="MAP",
            help="Density map (MRC) or folder of them; may be repeated.",
            readable=False,
            rich_help_panel=SPECIMEN,
        ),
    ] = None,
    molecules: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY:Å,...",
            help="Built-in molecules: globule, dimer, cluster, ring, barrel, shell, "
            "rod, each with a diameter, such as ring:140,barrel:180.",
            rich_help_panel=SPECIMEN,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Voxels (default: 256,256,128).",
            rich_help_panel=SPECIMEN,
        ),
    ] = None,
    voxel_size: Annotated[
        float | None,
        typer.Option(metavar="ÅNGSTRÖM", help="Default: 10.", rich_help_panel=SPECIMEN),
    ] = None,
    particles: Annotated[
        str | None,
        typer.Option(
            metavar=SPAN,
            help="How many, shared equally among the molecules (default: 240).",
            rich_help_panel=SPECIMEN,
        ),
    ] = None,
    occupancy: Annotated[
        str | None,
        typer.Option(
            metavar=SPAN,
            help="Instead of a number: the share of the volume that they fill.",
            rich_help_panel=SPECIMEN,
        ),
    ] = None,
    crowding: Annotated[
        str | None,
        typer.Option(
            metavar=SPAN,
            help="Share of the ice filled with small background proteins (default: 0).",
            rich_help_panel=SPECIMEN,
        ),
    ] = None,
    vesicles: Annotated[
        str | None,
        typer.Option(metavar=SPAN, help="Default: 1..3.", rich_help_panel=SPECIMEN),
    ] = None,
    no_membranes: Annotated[
        bool,
        typer.Option("--no-membranes", help="No vesicles.", rich_help_panel=SPECIMEN),
    ] = False,
    gold: Annotated[
        str | None,
        typer.Option(
            metavar=SPAN, help="Gold beads (default: 2..6).", rich_help_panel=SPECIMEN
        ),
    ] = None,
    no_gold: Annotated[
        bool,
        typer.Option("--no-gold", help="No gold beads.", rich_help_panel=SPECIMEN),
    ] = False,
    tilt_range: Annotated[
        float | None,
        typer.Option(
            metavar="DEGREES",
            help="From minus this to this (default: 60).",
            rich_help_panel=MICROSCOPE,
        ),
    ] = None,
    tilt_step: Annotated[
        float | None,
        typer.Option(metavar="DEGREES", help="Default: 3.", rich_help_panel=MICROSCOPE),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="dose-symmetric (default), unidirectional or bidirectional.",
            rich_help_panel=MICROSCOPE,
        ),
    ] = None,
    dose: Annotated[
        str | None,
        typer.Option(
            metavar=SPAN,
            help="Of the series, electrons per Å² (default: 110).",
            rich_help_panel=MICROSCOPE,
        ),
    ] = None,
    snr: Annotated[
        str | None,
        typer.Option(
            metavar=SPAN,
            help="Signal-to-noise ratio of the images (default: what the dose gives).",
            rich_help_panel=MICROSCOPE,
        ),
    ] = None,
    defocus: Annotated[
        str | None,
        typer.Option(
            metavar=SPAN,
            help="Underfocus in µm (default: 2..5).",
            rich_help_panel=MICROSCOPE,
        ),
    ] = None,
    shift_error: Annotated[
        str | None,
        typer.Option(
            metavar=SPAN,
            help="Alignment error in Å (default: 2..8).",
            rich_help_panel=MICROSCOPE,
        ),
    ] = None,
    voltage: Annotated[
        float | None,
        typer.Option(metavar="KV", help="Default: 300.", rich_help_panel=MICROSCOPE),
    ] = None,
    weighting: Annotated[
        str | None,
        typer.Option(
            "--filter",
            help="ramp (default) or exact.",
            rich_help_panel=RECONSTRUCTION,
        ),
    ] = None,
    phase_flip: Annotated[
        bool,
        typer.Option(
            "--phase-flip",
            help="Correct the signs of the CTF.",
            rich_help_panel=RECONSTRUCTION,
        ),
    ] = False,
    contrast: Annotated[
        str | None,
        typer.Option(
            help="Of protein: dark (default) or bright.",
            rich_help_panel=RECONSTRUCTION,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder of the outputs.",
            readable=False,
            rich_help_panel=OUTPUT,
        ),
    ] = Path("simulated"),
    name: Annotated[
        str,
        typer.Option(help="Files are NAME_SEED.mrc ...", rich_help_panel=OUTPUT),
    ] = "sim",
    count: Annotated[
        int,
        typer.Option(
            "--count", "-n", min=1, help="How many tomograms.", rich_help_panel=OUTPUT
        ),
    ] = 1,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="Of the first; the others follow.",
            rich_help_panel=OUTPUT,
        ),
    ] = 1,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Tomograms made at the same time.",
            rich_help_panel=OUTPUT,
        ),
    ] = 1,
    kind: Annotated[
        str,
        typer.Option(
            "--type", help="Of the voxels: int8 or float32.", rich_help_panel=OUTPUT
        ),
    ] = "int8",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace files.", rich_help_panel=OUTPUT),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="List the outputs as JSON.", rich_help_panel=OUTPUT
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress.")
    ] = False,
) -> None:
    """Simulate tomograms, with the places of everything in them, from the physics.

    Writes MRC, the truth as CSV and all settings as JSON. Without molecules it builds
    some. LOW..HIGH is drawn anew for each tomogram. Needs the extra `train`, but no
    torch. docs/simulation.md has the equations.
    """
    need(("scipy",), "train", "simulating")
    from dep.engine.errors import SettingError
    from dep.train.simulate import load_document, parse_settings

    options: dict[str, dict[str, Any]] = {
        "specimen": {
            "molecules": _molecules(templates, molecules),
            "size": None if size is None else [_whole(n) for n in size.split(",")],
            "voxel_size": voxel_size,
            "particles": _span("--particles", particles),
            "occupancy": _span("--occupancy", occupancy),
            "crowding": _span("--crowding", crowding),
            "vesicles": 0 if no_membranes else _span("--vesicles", vesicles),
            "gold": 0 if no_gold else _span("--gold", gold),
        },
        "acquisition": {
            "tilt_range": tilt_range,
            "tilt_step": tilt_step,
            "order": order,
            "dose": _span("--dose", dose),
            "snr": _span("--snr", snr),
            "defocus": _span("--defocus", defocus),
            "shift_error": _span("--shift-error", shift_error),
            "voltage": voltage,
        },
        "reconstruction": {
            "filter": weighting,
            "phase_flip": phase_flip or None,
            "contrast": contrast,
        },
    }
    if particles is not None and occupancy is not None:
        message = "--particles and --occupancy exclude each other"
        raise UsageError(message)
    if particles is not None:
        options["specimen"]["occupancy"] = 0  # it would go before, where a file sets it
    try:
        document = {} if config is None else load_document(config)
        for group, values in options.items():
            given = {key: one for key, one in values.items() if one is not None}
            if given and isinstance(document.setdefault(group, {}), dict):
                document[group].update(given)
        settings = parse_settings(document)
    except SettingError as error:
        raise UsageError(words_of(error)) from error
    if kind not in ("int8", "float32"):
        message = f"--type: expected int8 or float32, found {kind!r}"
        raise UsageError(message)
    listen_for_termination()
    from dep.cli.progress import reporting
    from dep.train.simulate import simulate_files

    shares: dict[str, float] = {}
    with reporting(quiet) as reporter:
        reporter.begin("simulate", 1, 1)

        def show(share: float, tomogram: str) -> None:
            shares[tomogram] = share
            reporter.advance(round(100 * sum(shares.values())), 100 * count)

        try:
            written = simulate_files(
                settings,
                out,
                count=count,
                seed=seed,
                name=name,
                kind="int8" if kind == "int8" else "float32",
                jobs=jobs,
                overwrite=overwrite,
                progress=show,
            )
        except SettingError as error:
            raise UsageError(words_of(error)) from error
        reporter.done("simulate", tomograms=len(written))
    if as_json:
        print_json([_plain(one) for one in written])
        return
    for one in written:
        lacking = ", ".join(f"{n} of {name}" for name, n in one.missing.items())
        typer.echo(
            f"{one.tomogram}: {one.particles} particles"
            + (f" (no room for {lacking})" if lacking else "")
        )


def _molecules(templates: list[Path] | None, shapes: str | None) -> list[str] | None:
    names = [str(path) for path in templates or ()]
    names += [one.strip() for one in (shapes or "").split(",") if one.strip()]
    return names or None


def _span(option: str, words: str | None) -> float | list[float] | None:
    """Read ``5`` or ``2..5``."""
    if words is None:
        return None
    try:
        ends = [float(one) for one in words.split("..")]
    except ValueError:
        ends = []
    if len(ends) not in (1, 2):
        message = f"{option}: expected a number or LOW..HIGH, found {words!r}"
        raise UsageError(message)
    return ends[0] if len(ends) == 1 else ends


def _whole(words: str) -> int:
    try:
        return int(words)
    except ValueError as error:
        message = f"--size: expected X,Y,Z as whole numbers, found {words!r}"
        raise UsageError(message) from error


def _plain(written: "Written") -> dict[str, object]:
    return {
        "tomogram": str(written.tomogram),
        "truth": str(written.truth),
        "record": str(written.record),
        "particles": written.particles,
        "without_room": written.missing,
        "snr": written.snr,
    }
