"""The sections of a training configuration: what each value alone may be."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from dep.train.labels import LabelKind

# By how many voxels a width that was computed may miss the whole number that it is.
ROUNDING = 1e-6
LONGEST_NAME = 255  # bytes, of Linux's file systems


def _odd(diameter: int) -> int:
    if diameter % 2 == 0:
        msg = f"diameter must be odd (a voxel lies at the centre), found {diameter}"
        raise ValueError(msg)
    return diameter


def _filled_in(value: object) -> object:
    """Refuse the words that a starter configuration holds in a number's place."""
    if isinstance(value, str):
        msg = f"expected a length in Å, a number; found {value!r}: fill it in"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects ValueError
    return value


def _namable(path: Path) -> Path:
    """Refuse what no file system takes for a name, and looking for it would raise."""
    if "\0" in str(path):
        msg = "a path holds no null character"
        raise ValueError(msg)
    if any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        msg = f"a name in a path has {LONGEST_NAME} bytes at most"
        raise ValueError(msg)
    return path


FilePath = Annotated[Path, AfterValidator(_namable)]
Length = Annotated[float, Field(gt=0), BeforeValidator(_filled_in)]
# From a hundredth of an atom to what no microscope bins to.
VoxelSize = Annotated[float, Field(ge=0.01, le=1e5), BeforeValidator(_filled_in)]
# Beyond these no memory is enough, or numbers do not fit what takes them.
Edge = Annotated[int, Field(gt=0, le=4096)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Iterations = Annotated[int, Field(ge=1, le=13)]
LabelDiameter = Annotated[int, Field(ge=3, le=25), AfterValidator(_odd)]
LoggerName = Literal["tensorboard", "wandb"]
Devices = Annotated[int, Field(ge=1)] | Literal["auto"]


class Section(BaseModel):
    """A table of the file: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClassSection(Section):
    """One `[[classes]]` entry.

    `report = false` marks a class that is learnt, so that it is not taken for another,
    and never picked.
    """

    name: str = Field(min_length=1)
    diameter: Length = Field(description="of the particle, Å")
    report: bool = True
    label_diameter: LabelDiameter | None = Field(
        default=None, description="voxels, odd; instead of labels.diameter"
    )


class Source(Section):
    """Tomograms and their annotated centres.

    Attributes
    ----------
    tomogram
        A file, or a pattern (``tomograms/*.mrc``).
    coordinates
        A file of one tomogram or of many, which it names; or, with ``{name}`` for the
        tomogram's name without its suffix, one file for each.
    of_class
        The class of every row, for files that hold no class (key `class`).
    binning
        Coordinates count in pixels that are so many times finer than the tomogram's;
        None: `data.binning`.
    fully_annotated
        Whether every particle of every class is annotated; None:
        `data.fully_annotated`.
    weight
        How often each of its tomograms is trained on, beside those of weight 1.
    """

    tomogram: FilePath
    coordinates: FilePath
    of_class: str | None = Field(default=None, alias="class", min_length=1)
    binning: float | None = Field(default=None, gt=0)
    fully_annotated: bool | None = None
    weight: float = Field(default=1.0, gt=0)


class SplitSection(Section):
    """`[data.split]`: parts of the tomograms to validate and test on."""

    validate_part: float = Field(default=0.2, ge=0, lt=1, alias="validate")
    test: float = Field(default=0.0, ge=0, lt=1)
    seed: Seed = 0


class DataSection(Section):
    """`[data]`: what is trained, validated and tested on."""

    train: tuple[Source, ...] = Field(min_length=1)
    validate_on: tuple[Source, ...] = Field(default=(), alias="validate")
    test: tuple[Source, ...] = ()
    split: SplitSection | None = None
    fully_annotated: bool = False
    binning: float = Field(default=1.0, gt=0)


class LabelSection(Section):
    """`[labels]`: the weak labels' solid and diameter in voxels."""

    kind: LabelKind = "tball"
    diameter: LabelDiameter = 7


class NetworkSection(Section):
    """`[network]`: a member of the family; its outputs follow from the classes."""

    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        default=(24, 48, 72, 108), min_length=2
    )
    coordinates: bool = True
    pyramid: bool = True
    stem_stride: Literal[1, 2] = 1
    activation: Literal["relu", "elu"] = "relu"
    residual: bool = True
    convolutions: int = Field(default=3, ge=2)
    head: Literal["learned", "interpolated"] = "learned"

    @property
    def multiple(self) -> int:
        """The number of voxels that every patch and tile edge is a multiple of."""
        return int(self.stem_stride * 2 ** (len(self.widths) - 1))


class LossSection(Section):
    """`[loss]`: weights of the terms, see `dep.train.loss`.

    `unannotated` and `trimmed` say how places count that nobody looked at, in tomograms
    that are not fully annotated.
    """

    dice: float = Field(default=1.0, ge=0)
    cross_entropy: float = Field(default=1.0, ge=0)
    class_term: float = Field(default=1.0, ge=0)
    foreground: float = Field(default=1.0, ge=0)
    absent: float = Field(default=0.0, ge=0)
    unannotated: Literal["ignore", "trimmed", "background"] = "ignore"
    trimmed: float = Field(default=0.1, ge=0, lt=1)


class AugmentationSection(Section):
    """`[augmentation]`: see `dep.train.augment.Augmentation`."""

    mirror: bool = True
    warp: float = Field(default=0.5, ge=0, le=1)
    rotation: float = Field(default=15.0, ge=0, le=45)
    scale: float = Field(default=0.05, ge=0, le=0.2)
    elastic: float = Field(default=0.03, ge=0, le=0.05)
    noise: float = Field(default=0.0, ge=0)
    contrast: float = Field(default=0.1, ge=0, lt=1)
    gamma: float = Field(default=0.0, ge=0, lt=1)
    blur: float = Field(default=0.0, ge=0)
    random_patches: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="part of the patches cut anywhere, not around a particle",
    )
    jitter: float = Field(
        default=0.375,
        ge=0,
        le=0.5,
        description="how far a particle lies from its patch's centre at most, as a "
        "part of the patch's edge",
    )


class TrainingSection(Section):
    """`[training]`: how long, how large and with what."""

    steps: int = Field(gt=0, le=10**9)
    batch: int = Field(default=4, gt=0, le=65536)
    patch: Edge = 72
    learning_rate: float = Field(default=1e-3, gt=0)
    warm_up: float = Field(default=0.1, gt=0, lt=1)
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    weight_decay: float = Field(default=0.01, ge=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Devices = 1
    nodes: int = Field(default=1, ge=1)
    threads: int | None = Field(default=None, gt=0, le=4096)
    seed: Seed = 0
    save_every: int = Field(default=500, gt=0)
    validate_every: int = Field(default=0, ge=0)
    keep_best: int = Field(default=3, ge=0)
    patience: int = Field(default=0, ge=0)
    loggers: tuple[LoggerName, ...] = ()


class PickingSection(Section):
    """`[picking]`: what goes into the model card for inference."""

    tile: Edge = 72
    margin: int = Field(default=12, ge=0)
    assembly: Literal["joint", "per_class"] = "joint"
    t_seg: float = Field(default=0.5, gt=0, lt=1)
    t_lm: float = Field(default=0.1, gt=0, le=1)
    t_dist: float | None = Field(
        default=None,
        gt=0,
        description="voxels; None: half the smallest reported particle, plus 1",
    )
    iterations: Iterations | tuple[Iterations, ...] | None = None
