"""The model card: all a picker must know about a model, as one validated document."""

import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, Self, TypeGuard, get_args

from dep.engine.errors import CardError

CARD_VERSION = 1
MAX_CLASSES = 255  # labels are one byte, 0 is background
MAX_ITERATIONS = 13  # 27^n must fit 64 bits in MP-NMS

Contrast = Literal["dark", "bright"]
Normalisation = Literal["zscore"]
Activation = Literal["softmax", "sigmoid"]
LabelKind = Literal["cubic", "ball", "tball"]
Assembly = Literal["joint", "per_class"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class of particle.

    Attributes
    ----------
    name : str
        How the class is called in every output.
    diameter : float
        Of the particle, in ångström.
    """

    name: str
    diameter: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What travels with the weights (DESIGN, data contracts).

    Lengths are voxels at `voxel_size` unless said otherwise. Building a card
    validates it.

    Attributes
    ----------
    name : str
        Of the model.
    classes : tuple of ClassInfo
        Label ``i`` (from 1) is ``classes[i - 1]``; 0 is background.
    voxel_size : float
        Ångström per voxel at which the network was trained.
    contrast : {"dark", "bright"}
        How particles look in the training tomograms.
    normalisation : {"zscore"}
        ``(x - mean) / std`` over the whole tomogram.
    activation : {"softmax", "sigmoid"}
        Already applied inside the network. Softmax: channel 0 is background.
        Sigmoid: there is no background channel.
    tile, margin : int
        Edge of the tile the network sees; the rim of it that never counts.
    tile_fixed : bool
        The network depends on its tile edge (coordinate channels).
    tile_multiple : int
        The spatial divisor of the network.
    label_kind : {"cubic", "ball", "tball"}
        Shape of the weak labels it was trained on.
    label_diameter : int
        Of the weak labels.
    assembly : {"joint", "per_class"}
        How scores become labels.
    t_seg, t_lm : float
        Thresholds on the score and on the pooled mask.
    t_dist : float
        Least distance between two picks.
    pooling_kernel : int
        Edge of the mean pooling; always 3.
    iterations : int or tuple of int
        Mean-pooling repeats; one per class in per-class assembly if a tuple.
    precision : {"fp32", "fp16", "bf16", "int8"}
        Of the arithmetic that the file asks for; weights may be stored in fewer bits.
    trained_on, software : str
        What it was trained on; what wrote it, such as ``dep 0.1.0``.
    weights_digest : str
        SHA-256 of the weights, 64 hexadecimal digits.
    card_version : int
        Of this document.

    Raises
    ------
    CardError
        From the constructor and `from_json`: every wrong field is listed at once.
    """

    name: str
    classes: tuple[ClassInfo, ...]
    voxel_size: float
    contrast: Contrast
    normalisation: Normalisation = "zscore"
    activation: Activation
    tile: int
    margin: int
    tile_fixed: bool
    tile_multiple: int
    label_kind: LabelKind
    label_diameter: int
    assembly: Assembly
    t_seg: float
    t_lm: float
    t_dist: float
    pooling_kernel: int = 3
    iterations: int | tuple[int, ...]
    precision: Precision = "fp32"
    trained_on: str
    software: str
    weights_digest: str
    card_version: int = CARD_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if isinstance(self.iterations, list):
            object.__setattr__(self, "iterations", tuple(self.iterations))
        faults = _faults(self.to_dict())
        if faults:
            raise _inconsistent(faults, "the model card")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return tuple(one.name for one in self.classes)

    @property
    def channels(self) -> int:
        """How many channels the network's scores have."""
        return len(self.classes) + (self.activation == "softmax")

    def to_dict(self) -> dict[str, Any]:
        """Give the card as plain values that JSON can hold."""
        document: dict[str, Any] = {
            item.name: getattr(self, item.name) for item in fields(self)
        }
        document["classes"] = [
            {"name": one.name, "diameter": one.diameter} for one in self.classes
        ]
        if isinstance(self.iterations, tuple):
            document["iterations"] = list(self.iterations)
        return document

    def to_json(self) -> str:
        """Give the card as the JSON document stored in a model file."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, source: str = "the model card") -> Self:
        """Read and validate a card.

        Parameters
        ----------
        text : str
            The JSON document.
        source : str
            What the messages call it, for example the model file's path.

        Raises
        ------
        CardError
            Not JSON, a newer card version, or wrong fields (all listed).
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            message = f"{source}: the model card is not valid JSON ({error})"
            raise CardError(message) from error
        if not isinstance(document, dict):
            message = (
                f"{source}: the model card must be a JSON object, "
                f"found {type(document).__name__}"
            )
            raise CardError(message)
        version = document.get("card_version")
        if _whole(version) and version > CARD_VERSION:
            message = (
                f"{source}: the model card has version {version}, this software reads "
                f"up to version {CARD_VERSION}. Upgrade dep to use this model."
            )
            raise CardError(message)
        faults = _faults(document)
        if faults:
            raise _inconsistent(faults, source)
        values = dict(document)
        values["classes"] = tuple(
            ClassInfo(one["name"], float(one["diameter"])) for one in values["classes"]
        )
        if isinstance(values["iterations"], list):
            values["iterations"] = tuple(values["iterations"])
        return cls(**values)


def _inconsistent(faults: list[str], source: str) -> CardError:
    lines = "".join(f"\n  - {fault}" for fault in faults)
    plural = "s" if len(faults) > 1 else ""
    return CardError(f"{source}: {len(faults)} wrong field{plural}:{lines}", (*faults,))


def _whole(
    value: object, low: float = -math.inf, high: float = math.inf
) -> TypeGuard[int]:
    return (
        isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    )


def _number(value: object) -> bool:
    # Compared, since a whole number of any length does not fit a float.
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    )


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _choice(kind: Any) -> tuple[Callable[[Any], bool], str]:  # noqa: ANN401 - a Literal
    options = get_args(kind)
    return (lambda value: isinstance(value, str) and value in options), (
        "one of " + ", ".join(options)
    )


# Field -> (is it right?, what is right).
_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "card_version": (
        lambda v: _whole(v, 1, CARD_VERSION),
        f"a whole number from 1 to {CARD_VERSION}",
    ),
    "name": (_text, "a non-empty line of text"),
    "voxel_size": (
        lambda v: _number(v) and 0 < v <= 1000,
        "a number of ångström above 0",
    ),
    "contrast": _choice(Contrast),
    "normalisation": _choice(Normalisation),
    "activation": _choice(Activation),
    "tile": (lambda v: _whole(v, 1, 4096), "a whole number from 1 to 4096"),
    "margin": (lambda v: _whole(v, 0), "a whole number, 0 or more"),
    "tile_fixed": (lambda v: isinstance(v, bool), "true or false"),
    "tile_multiple": (lambda v: _whole(v, 1), "a whole number, 1 or more"),
    "label_kind": _choice(LabelKind),
    "label_diameter": (lambda v: _whole(v, 1), "a whole number, 1 or more"),
    "assembly": _choice(Assembly),
    "t_seg": (lambda v: _number(v) and 0 < v < 1, "a number between 0 and 1"),
    "t_lm": (lambda v: _number(v) and 0 < v <= 1, "a number above 0, at most 1"),
    "t_dist": (lambda v: _number(v) and v >= 0, "a number of voxels, 0 or more"),
    "pooling_kernel": (lambda v: _whole(v, 3, 3), "3"),
    "precision": _choice(Precision),
    "trained_on": (lambda v: isinstance(v, str), "text"),
    "software": (_text, "a non-empty line of text"),
    "weights_digest": (
        lambda v: (
            isinstance(v, str) and len(v) == 64 and set(v) <= set("0123456789abcdef")
        ),
        "a SHA-256 digest of 64 lower-case hexadecimal digits",
    ),
}


def _faults(document: Mapping[str, Any]) -> list[str]:
    """Name everything that is wrong with a card's plain values."""
    known = {item.name for item in fields(ModelCard)}
    required = {item.name for item in fields(ModelCard) if item.default is MISSING}
    faults = [f"{key}: missing" for key in sorted(required - document.keys())]
    if "card_version" not in document:
        faults.insert(0, "card_version: missing")
    faults += [f"{key}: unknown field" for key in sorted(document.keys() - known)]
    for key, (right, expected) in _RULES.items():
        if key in document and not right(document[key]):
            faults.append(f"{key}: expected {expected}, found {document[key]!r}")
    if "classes" in document:
        faults += _class_faults(document["classes"])
    if "iterations" in document:
        faults += _iteration_faults(document)
    tile, margin = document.get("tile"), document.get("margin")
    multiple = document.get("tile_multiple")
    if _whole(tile, 1) and _whole(margin, 0) and tile <= 2 * margin:
        faults.append(
            f"margin: two margins of {margin} leave nothing of a tile of {tile}"
        )
    if _whole(tile, 1) and _whole(multiple, 1) and tile % multiple:
        faults.append(f"tile: {tile} is not a multiple of tile_multiple = {multiple}")
    return faults


def _class_faults(classes: object) -> list[str]:
    if not isinstance(classes, list) or not 1 <= len(classes) <= MAX_CLASSES:
        found = len(classes) if isinstance(classes, list) else repr(classes)
        return [f"classes: expected a list of 1 to {MAX_CLASSES}, found {found}"]
    faults: list[str] = []
    seen: set[str] = set()
    for number, one in enumerate(classes, start=1):
        if not isinstance(one, dict) or set(one) != {"name", "diameter"}:
            faults.append(f"classes[{number}]: expected name and diameter, found {one}")
            continue
        name, diameter = one["name"], one["diameter"]
        if not _text(name) or name != name.strip():
            faults.append(
                f"classes[{number}].name: expected a line of text without blanks "
                f"around it, found {name!r}"
            )
        elif name in seen:
            faults.append(f"classes[{number}].name: {name!r} appears twice")
        else:
            seen.add(name)
        if not _number(diameter) or diameter <= 0:
            faults.append(
                f"classes[{number}].diameter: expected a number of ångström above 0, "
                f"found {diameter!r}"
            )
    return faults


def _iteration_faults(document: Mapping[str, Any]) -> list[str]:
    value = document["iterations"]
    expected = f"a whole number from 1 to {MAX_ITERATIONS}"
    if not isinstance(value, list):
        if _whole(value, 1, MAX_ITERATIONS):
            return []
        return [f"iterations: expected {expected}, or a list of them, found {value!r}"]
    faults = [
        f"iterations[{number}]: expected {expected}, found {one!r}"
        for number, one in enumerate(value, start=1)
        if not _whole(one, 1, MAX_ITERATIONS)
    ]
    classes = document.get("classes")
    if isinstance(classes, list) and len(value) != len(classes):
        faults.append(
            f"iterations: {len(value)} values for {len(classes)} classes, "
            "expected one for each"
        )
    if document.get("assembly") == "joint":
        faults.append("iterations: one per class does not go with joint assembly")
    return faults
