"""The training configuration: one TOML file, validated whole before anything runs."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from dep.engine.errors import CardError, DepError
from dep.train.card import make_card
from dep.train.sections import (
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
)

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
    voxel_size: float = Field(gt=0)
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
        wrong = []
        names = [entry.name for entry in self.classes]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            wrong.append(f"classes named twice: {', '.join(doubled)}")
        if not any(entry.report for entry in self.classes):
            wrong.append("no class is reported: set report = true for one at least")
        multiple = self.network.multiple
        for name, edge in (
            ("training.patch", self.training.patch),
            ("picking.tile", self.picking.tile),
        ):
            if edge % multiple:
                wrong.append(
                    f"{name} must be a multiple of {multiple} for this network, "
                    f"found {edge}"
                )
        if 2 * self.picking.margin >= self.picking.tile:
            wrong.append(
                f"picking.margin {self.picking.margin} leaves nothing of a tile of "
                f"{self.picking.tile} voxels"
            )
        if self.network.coordinates and self.picking.tile != self.training.patch:
            wrong.append(
                "a network with coordinates depends on its patch size: picking.tile "
                f"({self.picking.tile}) must equal training.patch "
                f"({self.training.patch})"
            )
        wrong += [
            f"{'labels.diameter' if entry.label_diameter is None else 'label_diameter'}"
            f" {label} is wider than the particles of class {entry.name} "
            f"({entry.diameter / self.voxel_size:.1f} voxels)"
            for entry, label in zip(self.classes, self.label_diameters, strict=True)
            if entry.report and label > entry.diameter / self.voxel_size
        ]
        if not wrong:
            # What the card does not take would otherwise show after the training.
            try:
                make_card(self)
            except CardError as error:
                wrong.extend(error.faults)
        if wrong:
            raise ValueError("; ".join(wrong))
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


def load_config(path: str | Path) -> "TrainConfig":
    """Read and validate a training configuration.

    Relative paths in it are relative to the file; globs are not expanded.

    Raises
    ------
    ConfigError
        Listing every wrong key, value and faults file at once.
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
    config = parse_config(values, str(path), base=path.parent)
    faults = [
        f"  data: no such file {name}"
        for source in (*config.data.train, *config.data.validate_on)
        for name in (source.tomogram, source.coordinates)
        if not name.is_file()
    ]
    trained = {source.tomogram.resolve() for source in config.data.train}
    faults += [
        f"  data: {source.tomogram} is both trained on and validated on"
        for source in config.data.validate_on
        if source.tomogram.resolve() in trained
    ]
    if faults:
        raise ConfigError(f"{path}:\n" + "\n".join(faults))
    return config


def parse_config(
    values: dict[str, Any], origin: str, base: Path | None = None
) -> "TrainConfig":
    """Validate the values of a configuration.

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
    try:
        config = TrainConfig.model_validate(values)
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            where = ".".join(str(part) for part in fault["loc"]) or "file"
            lines.append(f"  {where}: {fault['msg'].removeprefix('Value error, ')}")
        raise ConfigError(
            f"{origin}: {len(lines)} wrong entries:\n" + "\n".join(lines)
        ) from error
    if base is None:
        return config

    def resolve(sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(
            source.model_copy(
                update={
                    "tomogram": base / source.tomogram,
                    "coordinates": base / source.coordinates,
                }
            )
            for source in sources
        )

    data = config.data
    resolved = {
        "train": resolve(data.train),
        "validate_on": resolve(data.validate_on),
        "test": resolve(data.test),
    }
    return config.model_copy(update={"data": data.model_copy(update=resolved)})


def config_values(config: TrainConfig) -> dict[str, Any]:
    """Return plain values from which `parse_config` builds the same configuration."""
    values: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    return values
