"""Read the settings of a simulation from nested dictionaries and TOML files."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from dep.engine.errors import SettingError
from dep.train.simulate.settings import (
    Acquisition,
    Reconstruction,
    SimulationSettings,
    Specimen,
    refuse,
    settings_faults,
)
from dep.train.simulate.shapes import is_shape

GROUPS = {
    "specimen": Specimen,
    "acquisition": Acquisition,
    "reconstruction": Reconstruction,
}


def load_document(path: Path | str) -> dict[str, Any]:
    """Read a TOML file; density maps in it are relative to its folder.

    The values are judged by `parse_settings`, where others may be put over them.

    Raises
    ------
    SettingError
        It cannot be read, or is no TOML.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            document = tomllib.load(stream)
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror or error})"
        raise SettingError(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: not TOML ({error})"
        raise SettingError(message) from error
    specimen = document.get("specimen")
    if isinstance(specimen, dict) and isinstance(specimen.get("molecules"), list):
        specimen["molecules"] = [
            str(path.parent / name)
            if isinstance(name, str) and not is_shape(name)
            else name
            for name in specimen["molecules"]
        ]
    return document


def parse_settings(document: Mapping[str, Any]) -> SimulationSettings:
    """Read settings from nested dictionaries, such as a TOML file's.

    Lists of two numbers are spans. What is not given has its default.

    Raises
    ------
    SettingError
        Unknown names and values that make no sense, all in one message.
    """
    faults = [
        f"{name}: unknown; expected {', '.join(GROUPS)}"
        for name in document
        if name not in GROUPS
    ]
    built: dict[str, Any] = {}
    for name, group in GROUPS.items():
        given = document.get(name, {})
        if not isinstance(given, Mapping):
            faults.append(f"{name}: expected a table, found {given!r}")
            continue
        known = {one.name for one in fields(group)}
        faults += [
            f"{name}.{key}: unknown; expected {', '.join(sorted(known))}"
            for key in given
            if key not in known
        ]
        values = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in given.items()
            if key in known
        }
        built[name] = group(**values)
    refuse(faults + settings_faults(built))
    return SimulationSettings(**built)
