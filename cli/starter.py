"""`dep train --init-config`: write a first configuration for what a folder holds."""

from pathlib import Path

import typer

from dep.cli.failure import WRONG_USE, fail, need, say, words_of
from dep.cli.named import named_numbers


def write_configuration(folder: Path, out: Path, diameter: list[str]) -> None:
    """Write a configuration and say what is left to do.

    Parameters
    ----------
    folder
        Of tomograms and coordinates.
    out
        File to write.
    diameter
        Words of --diameter: NAME=Å, or Å for the only class or all.

    Raises
    ------
    UsageError
        Words that are no numbers.
    PicksError
        The file cannot be written.
    """
    need(("pydantic",), "train", "training")
    from rich.console import Console
    from rich.markup import escape

    from dep.cli.tables import plain_table
    from dep.train.config import ConfigError, load_config
    from dep.train.intake import survey_data
    from dep.train.starter import write_starter

    common, named = named_numbers(diameter, "--diameter")
    try:
        found, missing = write_starter(folder, out, named, common)
    except ConfigError as error:
        fail(words_of(error), WRONG_USE)
    table = plain_table("class", "particles", "tomograms")
    for name in found.classes:
        held = {one.tomogram for one in found.annotations if name in one.label}
        table.add_row(escape(name), str(found.count(name)), str(len(held)))
    Console(highlight=False).print(table)
    for remark in found.remarks:
        say(f"note: {remark}")
    typer.echo(f"configuration: {out}")
    if missing:
        typer.echo(f"fill in:       the diameters of {', '.join(missing)}, in Å")
    if found.voxel_size is None:
        typer.echo("fill in:       voxel_size, in Å; no header holds it")
    if not missing and found.voxel_size is not None:
        try:
            for warning in survey_data(load_config(out)).warnings:
                say(f"note: {warning}")
        except ConfigError as error:
            say(f"to be corrected: {error}")
    typer.echo(f"then:          dep train {out} -o runs/{out.stem}")
