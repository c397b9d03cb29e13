"""What the accuracy studies compare: each variant is a change to the bundled recipe."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Variant:
    """One training.

    Attributes
    ----------
    name
        In tables.
    changes
        Of the recipe, by dotted key.
    timed_as
        Whose step time applies.
    seeds
        Trainings.
    steps
        Instead of the study's minutes.
    train_on
        Numbers of the development tomograms.
    particles
        Annotated centres in all, or all of them.
    displaced
        Range of the centres' displacement, in particle radii.
    init
        Run to start from, "study-variant-seed", among those kept.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    timed_as: str = "standard"
    seeds: tuple[int, ...] = (0,)
    steps: int | None = None
    train_on: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    particles: int | None = None
    displaced: tuple[float, float] = (0.0, 0.0)
    init: str | None = None


@dataclass(frozen=True)
class Study:
    """Variants that get the same time."""

    name: str
    title: str
    minutes: float
    variants: tuple[Variant, ...]


FAST: dict[str, Any] = {"network.widths": [16, 32, 64, 96]}

DICE: dict[str, Any] = {"loss.class_term": 0.0, "loss.cross_entropy": 0.0}
NO_NOISE: dict[str, Any] = {"augmentation.noise": 0.0}
PARTLY: dict[str, Any] = {"loss.unannotated": "trimmed", "loss.trimmed": 0.02}
NO_AUGMENTATION: dict[str, Any] = {
    "augmentation.mirror": False,
    "augmentation.warp": 0.0,
    "augmentation.noise": 0.0,
    "augmentation.contrast": 0.0,
}
# Coordinates belong to a patch of one size: trained and picked at 64.
COORDINATES: dict[str, Any] = {
    "network.coordinates": True,
    "picking.tile": 64,
    "training.patch": 64,
    "training.batch": 2,
}

# The published architecture and recipe (docs/accuracy.md says where from), the parts
# that concern training and picking alike. bfloat16 is granted: it doubles its steps.
PUBLISHED: dict[str, Any] = {
    "network": {},
    "loss": {
        "dice": 1.0,
        "cross_entropy": 0.0,
        "class_term": 0.0,
        "foreground": 0.0,
    },
    "augmentation": {
        "mirror": True,
        "warp": 0.1,
        "rotation": 15.0,
        "scale": 0.05,
        "elastic": 0.03,
        "noise": 0.0,
        "contrast": 0.0,
        "random_patches": 0.0,
    },
    "training.patch": 72,
    "training.learning_rate": 1e-3,
    "training.warm_up": 0.1,
    "training.ema_decay": 0.0,
    "picking.tile": 72,
    "picking.assembly": "per_class",
    "picking.t_seg": 0.5,
    "picking.t_lm": 0.1,
}

# Which every processor computes, and the term that has become the default.
FLOAT32: dict[str, Any] = {"training.precision": "fp32", "loss.foreground": 1.0}
# Few steps of a small network, so that many variants fit a processor's hours.
ABLATION: dict[str, Any] = {**FAST, **FLOAT32}
WITHOUT: dict[str, Any] = {"loss.foreground": 0.0}  # as the recipe has it


def _ablation(
    name: str,
    changes: dict[str, Any] | None = None,
    **others: Any,  # noqa: ANN401 - fields of a Variant
) -> Variant:
    """Change `fast` in one way."""
    changed = {**ABLATION, **(changes or {})}
    return Variant(name, changed, timed_as="fast-fp32", steps=900, **others)


def _member(
    name: str, changes: dict[str, Any], timed_as: str, seeds: tuple[int, ...] = (0,)
) -> Variant:
    """Train another network by the same recipe, in float32."""
    return Variant(
        name, {**FLOAT32, **changes}, timed_as=f"{timed_as}-fp32", seeds=seeds
    )


STUDIES = {
    study.name: study
    for study in (
        Study(
            "rival",
            "the published architecture and recipe against ours, equal time",
            15.0,
            (
                Variant("ours"),
                Variant(
                    "published, batch 8",
                    {**PUBLISHED, "training.batch": 8},
                    timed_as="published-8",
                ),
                Variant(
                    "published, batch 1",
                    {**PUBLISHED, "training.batch": 1},
                    timed_as="published-1",
                ),
            ),
        ),
        Study(
            "networks",
            "members of the family and the published network with its recipe, float32, "
            "equal time",
            15.0,
            (
                _member("fast", FAST, "fast", seeds=(0, 1, 2)),
                Variant(
                    "published network and recipe",
                    {
                        **PUBLISHED,
                        "training.batch": 1,
                        "training.precision": "fp32",
                    },
                    timed_as="published-fp32",
                    seeds=(0, 1, 2),
                ),
                _member("standard", {}, "standard", seeds=(0, 1, 2)),
                _member(
                    "full resolution",
                    {"network.stem_stride": 1, "network.widths": [16, 32, 48, 64]},
                    "full-resolution",
                ),
                _member("two convolutions", {"network.convolutions": 2}, "two-conv"),
                _member("three levels", {"network.widths": [32, 64, 96]}, "three"),
                _member(
                    "interpolated head",
                    {"network.head": "interpolated"},
                    "interpolated",
                    seeds=(0, 1, 2),
                ),
                _member("wide", {"network.widths": [48, 96, 144, 192]}, "wide"),
            ),
        ),
        Study(
            "cross",
            "trained on our own simulator, tested on the other",
            0.0,
            (_ablation("own simulator", train_on=tuple(range(1000, 1008))),),
        ),
        Study(
            "false picks",
            "terms that make false picks cost in batches without their class; `fast`, "
            "float32, equal steps",
            0.0,
            (
                _ablation("foreground 0", WITHOUT, seeds=(0, 1, 2)),
                _ablation("foreground 1", seeds=(0, 1, 2)),
                _ablation(
                    "foreground 0, absent 1",
                    {**WITHOUT, "loss.absent": 1.0},
                    seeds=(1, 0, 2),
                ),
                _ablation(
                    "foreground 0, 150 particles", {**WITHOUT, **PARTLY}, particles=150
                ),
                _ablation("foreground 1, 150 particles", PARTLY, particles=150),
                _ablation(
                    "foreground 0, no augmentation", {**WITHOUT, **NO_AUGMENTATION}
                ),
                _ablation("Dice and foreground alone", DICE, seeds=(1, 0, 2)),
                _ablation(
                    "foreground 0, half of the patches anywhere",
                    {**WITHOUT, "augmentation.random_patches": 0.5},
                    seeds=(1, 0, 2),
                ),
            ),
        ),
        Study(
            "ablations",
            "what each part is worth, on `fast`, float32, equal steps",
            0.0,  # each says its steps
            (
                _ablation("150 particles", PARTLY, particles=150),
                _ablation("no augmentation", NO_AUGMENTATION, seeds=(0, 1)),
                _ablation(
                    "centres off by 0.5-0.7 r", displaced=(0.5, 0.7), seeds=(0, 1)
                ),
                _ablation("label diameter 5", {"labels.diameter": 5}, seeds=(0, 1)),
                _ablation("no pyramid", {"network.pyramid": False}, seeds=(0, 1)),
                _ablation("no residual", {"network.residual": False}, seeds=(0, 1)),
                _ablation("coordinates", COORDINATES, seeds=(0, 1)),
                _ablation("label cubic", {"labels.kind": "cubic"}, seeds=(0, 1)),
                _ablation("label ball", {"labels.kind": "ball"}, seeds=(0, 1)),
                _ablation("as it is", seeds=(0, 1, 2)),
                _ablation("500 particles", PARTLY, particles=500),
                _ablation("50 particles", PARTLY, particles=50),
                _ablation("Dice alone", {**DICE, **WITHOUT}),
                _ablation(
                    "150 particles, the rest background",
                    {"loss.unannotated": "background"},
                    particles=150,
                ),
                _ablation(
                    "150 particles, the rest ignored",
                    {"loss.unannotated": "ignore"},
                    particles=150,
                ),
                _ablation("no noise augmentation", NO_NOISE, seeds=(0, 1)),
                _ablation("no class term", {"loss.class_term": 0.0}),
                _ablation("gamma 0.3", {"augmentation.gamma": 0.3}),
                _ablation("blur 1", {"augmentation.blur": 1.0}),
            ),
        ),
    )
}
