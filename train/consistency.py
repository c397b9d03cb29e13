"""Whether the parts of a training configuration fit each other."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from dep.engine.errors import CardError
from dep.train.card import make_card
from dep.train.sections import ROUNDING

if TYPE_CHECKING:
    from dep.train.config import TrainConfig

# Batch normalisation divides by the deviation of a channel's values: of one there is
# none, and torch refuses it.
LEAST_VALUES = 2


class Misfit(NamedTuple):
    """Parts that do not fit each other.

    Attributes
    ----------
    text
        For people.
    keys
        What it rests on (``training.patch``, ``classes.0.name``): where one of them is
        itself wrong, nothing is known of the fit.
    """

    text: str
    keys: tuple[str, ...]


def misfits(config: "TrainConfig") -> list[Misfit]:
    """List the parts of a configuration that do not fit each other."""
    return [
        *_of_classes(config),
        *_of_data(config),
        *_of_network(config),
        *_of_training(config),
        *_of_card(config),
    ]


def trainable(batch: int, patch: int, multiple: int) -> bool:
    """Say whether batch normalisation has values enough at the coarsest level."""
    return batch * (patch // multiple) ** 3 >= LEAST_VALUES


def _each(config: "TrainConfig", key: str) -> tuple[str, ...]:
    """Name a key of every class."""
    return tuple(f"classes.{k}.{key}" for k in range(len(config.classes)))


def _of_classes(config: "TrainConfig") -> Iterator[Misfit]:
    names = [entry.name for entry in config.classes]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        keys = tuple(
            f"classes.{k}.name" for k, name in enumerate(names) if name in doubled
        )
        yield Misfit(f"classes named twice: {', '.join(doubled)}", keys)
    if not any(entry.report for entry in config.classes):
        text = "no class is reported: set report = true for one at least"
        yield Misfit(text, _each(config, "report"))
    pairs = zip(config.classes, config.label_diameters, strict=True)
    for k, (entry, label) in enumerate(pairs):
        width = entry.diameter / config.voxel_size
        if entry.report and label > width + ROUNDING:
            common = entry.label_diameter is None
            text = (
                f"{'labels.diameter' if common else 'label_diameter'} {label} is wider "
                f"than the particles of class {entry.name} ({width:.1f} voxels)"
            )
            own = tuple(
                f"classes.{k}.{key}"
                for key in ("name", "diameter", "label_diameter", "report")
            )
            shared = ("labels.diameter",) if common else ()
            yield Misfit(text, (*own, *shared, "voxel_size"))


def _of_data(config: "TrainConfig") -> Iterator[Misfit]:
    data = config.data
    names = [entry.name for entry in config.classes]
    parts = {"train": data.train, "validate": data.validate_on, "test": data.test}
    for part, sources in parts.items():
        for k, source in enumerate(sources):
            if source.of_class is not None and source.of_class not in names:
                text = (
                    f"data: class = {source.of_class!r} is not one of the classes "
                    f"({', '.join(names)})"
                )
                yield Misfit(text, (f"data.{part}.{k}.class", *_each(config, "name")))
    split = data.split
    if split is None:
        return
    if split.validate_part + split.test >= 1:
        text = (
            f"data.split: validate ({split.validate_part:g}) and test ({split.test:g}) "
            "leave nothing to train on"
        )
        yield Misfit(text, ("data.split.validate", "data.split.test"))
    for part, share in (("validate", split.validate_part), ("test", split.test)):
        if parts[part] and share > 0:
            text = (
                f"data: both {part} and split.{part} choose tomograms: give one of them"
            )
            yield Misfit(text, (f"data.{part}", f"data.split.{part}"))


def _of_network(config: "TrainConfig") -> Iterator[Misfit]:
    network, training, picking = config.network, config.training, config.picking
    if network.head == "interpolated" and network.stem_stride == 1:
        text = 'network: head = "interpolated" needs stem_stride = 2'
        yield Misfit(text, ("network.head", "network.stem_stride"))
    multiple, shape = network.multiple, ("network.widths", "network.stem_stride")
    for key, edge in (
        ("training.patch", training.patch),
        ("picking.tile", picking.tile),
    ):
        if edge % multiple:
            text = f"{key} must be a multiple of {multiple} for this network"
            yield Misfit(f"{text}, found {edge}", (key, *shape))
    if not training.patch % multiple and not trainable(
        training.batch, training.patch, multiple
    ):
        text = (
            f"training.batch {training.batch} with training.patch {training.patch} "
            "leaves one value a channel at the network's coarsest level, and batch "
            f"normalisation needs {LEAST_VALUES}: set batch = {LEAST_VALUES} or more, "
            f"or patch = {2 * multiple} or more"
        )
        yield Misfit(text, ("training.batch", "training.patch", *shape))
    if network.coordinates and picking.tile != training.patch:
        text = (
            "a network with coordinates depends on its patch size: picking.tile "
            f"({picking.tile}) must equal training.patch ({training.patch})"
        )
        keys = ("network.coordinates", "picking.tile", "training.patch")
        yield Misfit(text, keys)


def _of_training(config: "TrainConfig") -> Iterator[Misfit]:
    picking, loss = config.picking, config.loss
    if 2 * picking.margin >= picking.tile:
        text = (
            f"picking.margin {picking.margin} leaves nothing of a tile of "
            f"{picking.tile} voxels"
        )
        yield Misfit(text, ("picking.margin", "picking.tile"))
    terms = {"dice": loss.dice, "cross_entropy": loss.cross_entropy}
    if config.outputs > 1:  # of one class these say nothing
        terms |= {"class_term": loss.class_term, "foreground": loss.foreground}
    if not any(terms.values()):
        text = (
            f"loss: {', '.join(terms)} are all 0, so that nothing would be learnt: one "
            "at least must be above 0"
        )
        yield Misfit(text, tuple(f"loss.{term}" for term in terms))


def _of_card(config: "TrainConfig") -> Iterator[Misfit]:
    """List what the model card does not take: else it would show after the training."""
    if not any(entry.report for entry in config.classes):
        return  # told already, and no card can be made of it
    try:
        make_card(config)
    except CardError as error:
        for fault in error.faults:
            field = fault.split(":")[0].split("[")[0]
            told = field == "margin" or "a multiple" in fault or "twice" in fault
            if not told:
                yield Misfit(fault, _behind(field, config))


def _behind(field: str, config: "TrainConfig") -> tuple[str, ...]:
    """Name the keys that a field of the card comes from."""
    if field == "classes":
        return (*_each(config, "name"), *_each(config, "diameter"))
    if field == "iterations":
        return ("picking.iterations", "picking.assembly", *_each(config, "report"))
    root = field in ("name", "voxel_size")
    return (field if root else f"picking.{field}",)
