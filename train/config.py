"""The training configuration: one TOML file, validated whole before anything runs."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from dep.engine.errors import DepError
from dep.train.advice import size_warnings
from dep.train.consistency import misfits
from dep.train.mending import Mended, mend
from dep.train.sections import (
    ROUNDING,
    AugmentationSection,
    ClassSection,
    DataSection,
    LabelSection,
    LossSection,
    NetworkSection,
    PickingSection,
    Section,
    Source,
    TrainingSection,
    VoxelSize,
)
from dep.train.sources import anchored, list_pairs
from dep.train.survey import Known, survey

__all__ = [
    "ConfigError",
    "Source",
    "TrainConfig",
    "config_values",
    "listed",
    "load_config",
    "parse_config",
]

# The lists of `[data]`, and their keys in the file.
PARTS = {"train": "train", "validate_on": "validate", "test": "test"}


class ConfigError(DepError, ValueError):
    """A training configuration that cannot be used; the message lists all faults."""


class TrainConfig(Section):
    """The whole file.

    Each value is one that it may be; that they also fit each other is what
    `load_config` and `parse_config` see to.

    Attributes
    ----------
    name
        Of the model.
    voxel_size
        Å; every tomogram must have it within 5 %.
    contrast
        "dark" or "bright": what particles look like in the tomograms.
    """

    name: str = Field(min_length=1)
    description: str = ""
    voxel_size: VoxelSize
    contrast: Literal["dark", "bright"]
    classes: tuple[ClassSection, ...] = Field(min_length=1, max_length=254)
    data: DataSection
    labels: LabelSection = LabelSection()
    network: NetworkSection = NetworkSection()
    loss: LossSection = LossSection()
    augmentation: AugmentationSection = AugmentationSection()
    training: TrainingSection
    picking: PickingSection

    @property
    def outputs(self) -> int:
        """Channels of the network: background and one for each class, or 1 alone."""
        return 1 if len(self.classes) == 1 else len(self.classes) + 1

    @property
    def label_diameters(self) -> tuple[int, ...]:
        """Diameter of each class's labels, voxels, in the order of the classes."""
        return tuple(
            entry.label_diameter or self.labels.diameter for entry in self.classes
        )

    @property
    def t_dist(self) -> float:
        """Least distance of two picks, voxels.

        Unless it is given, that of the published tool: half the smallest (reported)
        particle's diameter, rounded down, plus 1.
        """
        if self.picking.t_dist is not None:
            return self.picking.t_dist
        smallest = min(entry.diameter for entry in self.classes if entry.report)
        return float((smallest / self.voxel_size + ROUNDING) // 2 + 1)


def load_config(
    path: str | Path,
    network: Mapping[str, Any] | None = None,
    also: Callable[["TrainConfig"], list[str]] | None = None,
) -> "TrainConfig":
    """Read a training configuration, and look at the data that it names.

    Relative paths in it are relative to the file.

    Parameters
    ----------
    path
        A TOML file.
    network
        What `[network]` holds where the file has none.
    also
        Lists what else is wrong with it, such as what this machine cannot do.

    Raises
    ------
    ConfigError
        Listing at once every wrong key and value, all that does not fit together,
        every missing file, and all that is wrong with headers and coordinates (see
        `dep.train.survey`); and, after them, sizes that train badly.
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    except (ValueError, RecursionError) as error:
        # Other errors too, of what the reader does not expect: thousands of digits.
        msg = f"{path}: not a TOML file: {error}"
        raise ConfigError(msg) from error
    if network is not None:
        values.setdefault("network", dict(network))
    read = _validated(values)
    faults, config = read.faults, read.model
    warnings: list[str] = []
    if config is not None:
        faults += also(config) if also is not None else []
        faults += [
            f"data: {fault}" for fault in _data_faults(read, config, path.parent)
        ]
        warnings = _size_warnings(read, config)
    if config is None or faults:
        raise ConfigError(listed(str(path), faults, warnings))
    return _anchored(config, path.parent)


def parse_config(
    values: dict[str, Any], origin: str, base: Path | None = None
) -> "TrainConfig":
    """Validate the values of a configuration; files are not looked at.

    Parameters
    ----------
    values
        As read from TOML, or kept in a checkpoint.
    origin
        Named in the error.
    base
        Folder that relative paths start from.

    Raises
    ------
    ConfigError
        Listing at once every wrong key and value, and all that does not fit together.
    """
    read = _validated(values)
    if read.model is None or read.faults:
        raise ConfigError(listed(origin, read.faults))
    return read.model if base is None else _anchored(read.model, base)


def listed(origin: str, faults: Sequence[str], warnings: Sequence[str] = ()) -> str:
    """Put all that is wrong into one message, and below it what is only a warning."""
    number = f"{len(faults)} faults" if len(faults) != 1 else "1 fault"
    told = [f"warning: {line}" for line in warnings]
    return "\n  ".join([f"{origin}: {number}:", *faults, *told])


def _validated(values: dict[str, Any]) -> Mended[TrainConfig]:
    """Read the values, and judge how those that are right fit each other."""
    read = mend(TrainConfig, values)
    if read.model is not None:
        read.faults += [
            one.text for one in misfits(read.model) if not read.doubts(one.keys)
        ]
    return read


def _data_faults(
    read: Mended[TrainConfig], config: TrainConfig, base: Path
) -> list[str]:
    """Look at the data, whatever is wrong elsewhere in the file.

    Of entries that are wrong themselves only the files are looked for.
    """
    data = _anchored_data(config.data, base)
    named, sure = data, data
    for part, key in PARTS.items():
        entries = list(enumerate(getattr(data, part)))
        if read.doubts([f"data.{key}"]):
            paths, right = [], []
            for k, source in entries:
                place = f"data.{key}.{k}"
                if not read.doubts([f"{place}.tomogram", f"{place}.coordinates"]):
                    paths.append(source)
                if not read.doubts([place]):
                    right.append(source)
            named = named.model_copy(update={part: tuple(paths)})
            sure = sure.model_copy(update={part: tuple(right)})
    names = [f"classes.{k}.name" for k in range(len(config.classes))]
    known = Known(
        binning=not read.doubts(["data.binning"]),
        classes=not read.doubts([*names, "data.fully_annotated"]),
        entries=not read.doubts(["data.train", "data.split"]),
    )
    voxel_size = None if read.doubts(["voxel_size"]) else config.voxel_size
    classes = [entry.name for entry in config.classes]
    faults = survey(sure, classes, voxel_size, known).faults
    if named != sure:
        faults = [*list_pairs(named).faults, *faults]
    return list(dict.fromkeys(faults))


def _size_warnings(read: Mended[TrainConfig], config: TrainConfig) -> list[str]:
    """Judge the sizes in voxels that are known."""
    if read.doubts(["voxel_size"]):
        return []
    known = [
        (entry, label)
        for k, (entry, label) in enumerate(
            zip(config.classes, config.label_diameters, strict=True)
        )
        if not read.doubts([f"classes.{k}"])
    ]
    entries, labels = [one for one, _ in known], [label for _, label in known]
    return size_warnings(entries, labels, config.voxel_size)


def _anchored(config: TrainConfig, base: Path) -> TrainConfig:
    return config.model_copy(update={"data": _anchored_data(config.data, base)})


def _anchored_data(data: DataSection, base: Path) -> DataSection:
    """Let relative paths start from a folder."""

    def anchor(sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(
            source.model_copy(
                update={
                    "tomogram": anchored(base, source.tomogram),
                    "coordinates": base / source.coordinates,
                }
            )
            for source in sources
        )

    return data.model_copy(update={part: anchor(getattr(data, part)) for part in PARTS})


def config_values(config: TrainConfig) -> dict[str, Any]:
    """Return plain values from which `parse_config` builds the same configuration."""
    values: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    return values
