"""The training configuration: one TOML file, validated whole before anything runs."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from dep.engine.errors import CardError, DepError
from dep.train.card import make_card
from dep.train.sections import (
    ROUNDING,
    AugmentationSection,
    ClassSection,
    DataSection,
    LabelSection,
    Length,
    LossSection,
    NetworkSection,
    PickingSection,
    Section,
    Source,
    TrainingSection,
)
from dep.train.sources import anchored
from dep.train.survey import survey

__all__ = [
    "ConfigError",
    "Source",
    "TrainConfig",
    "config_values",
    "load_config",
    "parse_config",
]


class ConfigError(DepError, ValueError):
    """A training configuration that cannot be used; the message lists all faults."""


class TrainConfig(Section):
    """The whole file.

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
    voxel_size: Length
    contrast: Literal["dark", "bright"]
    classes: tuple[ClassSection, ...] = Field(min_length=1, max_length=254)
    data: DataSection
    labels: LabelSection = LabelSection()
    network: NetworkSection = NetworkSection()
    loss: LossSection = LossSection()
    augmentation: AugmentationSection = AugmentationSection()
    training: TrainingSection
    picking: PickingSection

    @model_validator(mode="after")
    def _consistent(self) -> "TrainConfig":
        wrong = _inconsistencies(self)
        if not wrong:
            # What the card does not take would otherwise show after the training.
            try:
                make_card(self)
            except CardError as error:
                wrong = list(error.faults)
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

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


def _inconsistencies(config: TrainConfig) -> list[str]:
    """List the parts of a configuration that do not fit each other."""
    wrong = []
    names = [entry.name for entry in config.classes]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        wrong.append(f"classes named twice: {', '.join(doubled)}")
    if not any(entry.report for entry in config.classes):
        wrong.append("no class is reported: set report = true for one at least")
    data, training, picking = config.data, config.training, config.picking
    wrong += [
        f"data: class = {source.of_class!r} is not one of the classes "
        f"({', '.join(names)})"
        for source in (*data.train, *data.validate_on, *data.test)
        if source.of_class is not None and source.of_class not in names
    ]
    multiple = config.network.multiple
    wrong += [
        f"{name} must be a multiple of {multiple} for this network, found {edge}"
        for name, edge in (
            ("training.patch", training.patch),
            ("picking.tile", picking.tile),
        )
        if edge % multiple
    ]
    if 2 * picking.margin >= picking.tile:
        wrong.append(
            f"picking.margin {picking.margin} leaves nothing of a tile of "
            f"{picking.tile} voxels"
        )
    loss = config.loss
    terms = {"dice": loss.dice, "cross_entropy": loss.cross_entropy}
    if config.outputs > 1:  # of one class these say nothing
        terms |= {"class_term": loss.class_term, "foreground": loss.foreground}
    if not any(terms.values()):
        wrong.append(
            f"loss: {', '.join(terms)} are all 0, so that nothing would be learnt: one "
            "at least must be above 0"
        )
    if config.network.coordinates and picking.tile != training.patch:
        wrong.append(
            "a network with coordinates depends on its patch size: picking.tile "
            f"({picking.tile}) must equal training.patch ({training.patch})"
        )
    wrong += [
        f"{'labels.diameter' if entry.label_diameter is None else 'label_diameter'}"
        f" {label} is wider than the particles of class {entry.name} "
        f"({entry.diameter / config.voxel_size:.1f} voxels)"
        for entry, label in zip(config.classes, config.label_diameters, strict=True)
        if entry.report and label > entry.diameter / config.voxel_size + ROUNDING
    ]
    return wrong


def load_config(
    path: str | Path, network: Mapping[str, Any] | None = None
) -> "TrainConfig":
    """Read a training configuration, and look at the data that it names.

    Relative paths in it are relative to the file.

    Parameters
    ----------
    path
        A TOML file.
    network
        What `[network]` holds where the file has none.

    Raises
    ------
    ConfigError
        Listing at once every wrong key and value, every missing file, and all that is
        wrong with headers and coordinates (see `dep.train.survey`).
    """
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: not a TOML file: {error}"
        raise ConfigError(msg) from error
    if network is not None:
        values.setdefault("network", dict(network))
    config, faults = _validated(values)
    faults += [f"data: {fault}" for fault in _data_faults(values, path.parent)]
    if config is None or faults:
        raise ConfigError(_listed(str(path), faults))
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
        Listing every wrong key and value at once.
    """
    config, faults = _validated(values)
    if config is None:
        raise ConfigError(_listed(origin, faults))
    return config if base is None else _anchored(config, base)


def _validated(values: dict[str, Any]) -> tuple[TrainConfig | None, list[str]]:
    """Return the configuration, or None and what is wrong, one line each."""
    try:
        return TrainConfig.model_validate(values), []
    except ValidationError as error:
        lines = []
        faults = error.errors()
        deeper = {fault["loc"][:1] for fault in faults if len(fault["loc"]) > 1}
        for fault in faults:
            if fault["type"] == "too_short" and fault["loc"] in deeper:
                continue  # a list that is empty because each of its entries is wrong
            where = ".".join(str(part) for part in fault["loc"])
            text = fault["msg"].removeprefix("Value error, ")
            lines += [f"{where}: {one}" if where else one for one in text.split("\n")]
        return None, lines


def _data_faults(values: dict[str, Any], base: Path) -> list[str]:
    """Look at the data, whatever is wrong elsewhere in the file."""
    classes, size = values.get("classes"), values.get("voxel_size")
    try:
        data = DataSection.model_validate(values.get("data"))
    except ValidationError:
        return []  # already told; what the data mean cannot be known
    entries = classes if isinstance(classes, list) else []
    names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    known = [name for name in names if isinstance(name, str)]
    if not known or len(known) < len(entries):
        return []
    voxel_size = float(size) if isinstance(size, int | float) and size > 0 else None
    return survey(_anchored_data(data, base), known, voxel_size).faults


def _listed(origin: str, faults: list[str]) -> str:
    number = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
    return "\n  ".join([f"{origin}: {number}:", *faults])


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

    parts = ("train", "validate_on", "test")
    return data.model_copy(update={part: anchor(getattr(data, part)) for part in parts})


def config_values(config: TrainConfig) -> dict[str, Any]:
    """Return plain values from which `parse_config` builds the same configuration."""
    values: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    return values
