"""The training configuration: one TOML file, validated whole before anything runs."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dep.engine.errors import CardError, DepError
from dep.train.card import make_card
from dep.train.labels import LabelKind


class ConfigError(DepError, ValueError):
    """A training configuration that cannot be used; the message lists all faults."""


Beta = Annotated[float, Field(ge=0, lt=1)]
Iterations = Annotated[int, Field(ge=1, le=13)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClassSection(_Section):
    """One `[[classes]]` entry.

    `report = false` marks a class that is learnt, so that it is not taken for another,
    and never picked.
    """

    name: str = Field(min_length=1)
    diameter: float = Field(gt=0, description="particle diameter, Å")
    report: bool = True


class Source(_Section):
    """A tomogram and its annotated centres."""

    tomogram: Path
    coordinates: Path


class DataSection(_Section):
    """`[data]`: what is trained on and what is validated on."""

    train: tuple[Source, ...] = Field(min_length=1)
    validate_on: tuple[Source, ...] = Field(default=(), alias="validate")


class LabelSection(_Section):
    """`[labels]`: the weak labels' solid and diameter in voxels."""

    kind: LabelKind = "tball"
    diameter: int = Field(default=7, ge=3, le=25)

    @model_validator(mode="after")
    def _odd(self) -> "LabelSection":
        if self.diameter % 2 == 0:
            msg = (
                f"diameter must be odd (a voxel lies at the centre), found "
                f"{self.diameter}"
            )
            raise ValueError(msg)
        return self


class NetworkSection(_Section):
    """`[network]`: a member of the family; its outputs follow from the classes."""

    widths: tuple[int, ...] = Field(default=(24, 48, 72, 108), min_length=2)
    coordinates: bool = True
    pyramid: bool = True
    stem_stride: Literal[1, 2] = 1
    activation: Literal["relu", "elu"] = "relu"

    @property
    def multiple(self) -> int:
        """The number of voxels that every patch and tile edge is a multiple of."""
        return int(self.stem_stride * 2 ** (len(self.widths) - 1))


class LossSection(_Section):
    """`[loss]`: weights of the terms, see `dep.train.loss`."""

    dice: float = Field(default=1.0, ge=0)
    cross_entropy: float = Field(default=1.0, ge=0)
    class_term: float = Field(default=1.0, ge=0)


class AugmentationSection(_Section):
    """`[augmentation]`: see `dep.train.augment.Augmentation`."""

    mirror: bool = True
    warp: float = Field(default=0.5, ge=0, le=1)
    rotation: float = Field(default=15.0, ge=0, le=45)
    scale: float = Field(default=0.05, ge=0, le=0.2)
    elastic: float = Field(default=0.03, ge=0, lt=0.05)
    noise: float = Field(default=0.0, ge=0)
    contrast: float = Field(default=0.1, ge=0, lt=1)
    random_patches: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="part of the patches cut anywhere, not around a particle",
    )


class TrainingSection(_Section):
    """`[training]`: how long, how large and with what."""

    steps: int = Field(gt=0)
    batch: int = Field(default=4, gt=0)
    patch: int = Field(default=72, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    warm_up: float = Field(default=0.1, gt=0, lt=1)
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    weight_decay: float = Field(default=0.01, ge=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0)
    save_every: int = Field(default=500, gt=0)
    validate_every: int = Field(default=0, ge=0)


class PickingSection(_Section):
    """`[picking]`: what goes into the model card for inference."""

    tile: int = Field(default=72, gt=0)
    margin: int = Field(default=12, ge=0)
    assembly: Literal["joint", "per_class"] = "joint"
    t_seg: float = Field(default=0.5, gt=0, lt=1)
    t_lm: float = Field(default=0.1, gt=0, le=1)
    t_dist: float = Field(gt=0, description="voxels")
    iterations: Iterations | tuple[Iterations, ...] | None = None


class TrainConfig(_Section):
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
            f"labels.diameter {self.labels.diameter} is wider than the particles of "
            f"class {entry.name} ({entry.diameter / self.voxel_size:.1f} voxels)"
            for entry in self.classes
            if entry.report and self.labels.diameter > entry.diameter / self.voxel_size
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
            Source(tomogram=base / s.tomogram, coordinates=base / s.coordinates)
            for s in sources
        )

    data = DataSection(
        train=resolve(config.data.train), validate=resolve(config.data.validate_on)
    )
    return config.model_copy(update={"data": data})


def config_values(config: TrainConfig) -> dict[str, Any]:
    """Return plain values from which `parse_config` builds the same configuration."""
    values: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    return values
