"""What `run.json` says of a run, as a report needs it."""

import json
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from dep.engine.errors import ReportError

__all__ = ["RUN_FILE", "Run", "TomogramRun", "read_run"]

RUN_FILE = "run.json"
RUN_VERSION = 1
PICKED = "picked"
LARGEST = 1e9  # number that a record is believed: of seconds, of ångström


@dataclass(frozen=True, slots=True, kw_only=True)
class TomogramRun:
    """One tomogram of a run; what the record does not say is empty or None.

    Attributes
    ----------
    name : str
        Of its outputs.
    status : str
        ``picked``, ``failed``, ``interrupted`` or ``waiting``.
    tomogram : str
        As it was named on the command line.
    source : dict
        Path, bytes and time of change of the file that was picked.
    model, settings : dict
        Which model picked it, and how.
    seconds : float or None
        Of work on it.
    classes : dict of str to int
        How many of each class, in the order of the class table.
    outputs : dict of str to str
        Format -> name of the file in the run's folder.
    warnings : tuple of str
        What to know about the picks.
    error : str
        Why it failed.
    stats : dict
        See `PickStats`.
    shape : (int, int, int) or None
        Of the tomogram, z, y, x in voxels.
    voxel_size : float or None
        Å.
    """

    name: str
    status: str
    tomogram: str
    source: dict[str, Any]
    model: dict[str, Any]
    settings: dict[str, Any]
    seconds: float | None
    classes: dict[str, int]
    outputs: dict[str, str]
    warnings: tuple[str, ...]
    error: str
    stats: dict[str, Any]
    shape: tuple[int, int, int] | None
    voxel_size: float | None

    @property
    def picked(self) -> bool:
        """Whether there are coordinates."""
        return self.status == PICKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A folder of picks.

    Attributes
    ----------
    folder : Path
        Where `run.json` and the coordinate files lie.
    software, started, ended, status : str
        Of the latest run into it; empty where it does not say.
    command : tuple of str
        Of the latest run.
    models : dict of str to dict
        Digest of the weights -> the model card, as JSON holds it.
    tomograms : tuple of TomogramRun
        Of all runs into the folder, in the order of the record.
    """

    folder: Path
    software: str
    command: tuple[str, ...]
    started: str
    ended: str
    status: str
    models: dict[str, dict[str, Any]]
    tomograms: tuple[TomogramRun, ...]


def read_run(folder: Path) -> Run:
    """Read the record of a folder that `dep pick` wrote into.

    Raises
    ------
    ReportError
        There is no such folder or record, it cannot be read, is not one of `dep`, or
        is of a newer version.
    """
    path = folder / RUN_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        message = (
            f"{folder}: no {RUN_FILE} here; expected a folder that `dep pick -o` "
            "wrote into"
        )
        raise ReportError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror or error})"
        raise ReportError(message) from error
    except (ValueError, RecursionError) as error:
        raise _foreign(path, str(error)) from error
    if not isinstance(document, dict) or not isinstance(
        document.get("tomograms"), dict
    ):
        raise _foreign(path, "it has no tomograms")
    version = document.get("run_version")
    if isinstance(version, int) and version > RUN_VERSION:
        message = (
            f"{path}: has version {version}, this software reads up to version "
            f"{RUN_VERSION}. Upgrade dep to report on this run."
        )
        raise ReportError(message)
    tomograms = []
    for name, entry in document["tomograms"].items():
        if not isinstance(entry, dict) or not isinstance(entry.get("status"), str):
            raise _foreign(path, f"the entry {name!r} has no status")
        tomograms.append(_tomogram(name, entry))
    models = _dict(document.get("models"))
    return Run(
        folder=folder,
        software=_text(document.get("software")),
        command=_texts(document.get("command")),
        started=_text(document.get("started")),
        ended=_text(document.get("ended")),
        status=_text(document.get("status")),
        models={key: card for key, card in models.items() if isinstance(card, dict)},
        tomograms=tuple(tomograms),
    )


def _foreign(path: Path, why: str) -> ReportError:
    return ReportError(f"{path}: not a record of dep's ({why})")


def _tomogram(name: str, entry: dict[str, Any]) -> TomogramRun:
    voxel_size = _number(entry.get("voxel_size"))
    return TomogramRun(
        name=name,
        status=entry["status"],
        tomogram=_text(entry.get("tomogram")),
        source=_dict(entry.get("source")),
        model=_dict(entry.get("model")),
        settings=_dict(entry.get("settings")),
        seconds=_number(entry.get("seconds")),
        classes={
            str(key): value
            for key, value in _dict(entry.get("classes")).items()
            if isinstance(value, int)
        },
        outputs={
            form: file
            for form, file in _dict(entry.get("outputs")).items()
            if isinstance(file, str) and _inside(file)
        },
        warnings=_texts(entry.get("warnings")),
        error=_text(entry.get("error")),
        stats=_dict(entry.get("stats")),
        shape=_shape(entry.get("size_xyz")),
        voxel_size=voxel_size if voxel_size and voxel_size > 1 / LARGEST else None,
    )


def _inside(file: str) -> bool:
    """Say whether a file is of this folder: no record leads out of it."""
    path = PurePath(file)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _shape(size: object) -> tuple[int, int, int] | None:
    """Turn x, y, z into a shape; None where it is none."""
    if not isinstance(size, list) or len(size) != 3:
        return None
    if not all(isinstance(edge, int) and edge > 0 for edge in size):
        return None
    return size[2], size[1], size[0]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    """Give a finite number; JSON as Python reads it holds others too."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if -LARGEST <= value <= LARGEST else None
