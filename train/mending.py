"""Puts right values for wrong ones, so that one fault of a file hides no other."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int | str, ...]

# A round for each level of tables that may have to be put there.
ROUNDS = 5
LISTS = ("classes", "train", "validate", "test")  # of tables
# Nothing is wrong with a particle that is wide enough for any label.
_CLASS = {"name": "?", "diameter": 1e6}
_SOURCE = {"tomogram": "?", "coordinates": "?"}
# What must be there; all else has a default.
STAND_INS: Mapping[str, Any] = {
    "name": "?",
    "voxel_size": 1.0,
    "contrast": "dark",
    "classes": [_CLASS],
    "classes.*": _CLASS,
    **{f"classes.*.{key}": value for key, value in _CLASS.items()},
    "data": {},
    "data.train": [_SOURCE],
    **{f"data.{part}.*": _SOURCE for part in LISTS[1:]},
    **{
        f"data.{part}.*.{key}": value
        for part in LISTS[1:]
        for key, value in _SOURCE.items()
    },
    "training": {},
    "training.steps": 1,
    "picking": {},
}


@dataclass
class Mended(Generic[Model]):
    """What could be read of a file.

    Attributes
    ----------
    model
        With stand-ins for what is wrong; None if that did not help.
    faults
        Every wrong key and value, one line each.
    doubtful
        Keys whose values stand in for wrong or missing ones.
    """

    model: Model | None = None
    faults: list[str] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)

    def doubts(self, keys: Iterable[str]) -> bool:
        """Say whether one of the keys, a table around it or a key in it is doubtful."""
        return any(
            one == key or one.startswith(f"{key}.") or key.startswith(f"{one}.")
            for key in keys
            for one in self.doubtful
        )


def mend(kind: type[Model], values: Mapping[str, Any]) -> Mended[Model]:
    """Read values; keys that are unknown are dropped, wrong values replaced.

    Parameters
    ----------
    kind
        What to read them as.
    values
        Of a TOML file.
    """
    result: Mended[Model] = Mended()
    left = copy.deepcopy(dict(values))
    for turn in range(ROUNDS):
        try:
            result.model = kind.model_validate(left)
        except ValidationError as error:
            faults = _faults(error)
        else:
            break
        around = {loc[:depth] for _, loc, _ in faults for depth in range(len(loc))}
        for what, loc, words in faults:
            if what == "too_short" and loc in around:
                continue  # a list that is empty because each of its entries is wrong
            if turn == 0:
                result.faults.append(_told(kind, what, loc, words))
            _replace(left, loc, what, result.doubtful)
    return result


def _faults(error: ValidationError) -> list[tuple[str, Place, str]]:
    """List what is wrong: kind, place and words, each value once.

    Of a value that may be one thing or another pydantic says what each of them would
    have taken, under names of its own beneath the value's place.
    """
    told: dict[Place, tuple[str, list[str]]] = {}
    for one in error.errors():
        loc = one["loc"]
        if one["type"] != "extra_forbidden":
            own = [k for k, part in enumerate(loc) if set(str(part)) & set("[-")]
            loc = loc[: own[0]] if own else loc
        words = one["msg"].removeprefix("Value error, ")
        said = told.setdefault(loc, (one["type"], []))[1]
        if words not in said:
            said.append(words)
    return [(what, loc, "; or: ".join(said)) for loc, (what, said) in told.items()]


def _told(kind: type[BaseModel], what: str, loc: Place, words: str) -> str:
    """Say what is wrong with one value."""
    where = ".".join(str(part) for part in loc)
    if what != "extra_forbidden":
        return f"{where}: {words}"
    known = _known(kind, loc[:-1])
    close = get_close_matches(str(loc[-1]), known, n=1)
    hint = f" (is {close[0]} meant?)" if close else ""
    return f"{where}: unknown{hint}; expected {', '.join(sorted(known))}"


def _known(kind: type[BaseModel], loc: Place) -> list[str]:
    """Name the keys of the table at a place."""
    for part in loc:
        if isinstance(part, str):
            found = _fields(kind)[part]
            kind = next(one for one in _inside(found) if issubclass(one, BaseModel))
    return list(_fields(kind))


def _fields(kind: type[BaseModel]) -> dict[str, Any]:
    """Give the types of a table's values, by their keys in the file."""
    return {
        one.alias or name: one.annotation for name, one in kind.model_fields.items()
    }


def _inside(annotation: Any) -> list[type]:  # noqa: ANN401 - any type there is
    """List the classes in a type such as ``tuple[Source, ...] | None``."""
    inner = [one for part in get_args(annotation) for one in _inside(part)]
    return inner or ([annotation] if isinstance(annotation, type) else [])


def _replace(values: dict[str, Any], loc: Place, what: str, doubtful: set[str]) -> None:
    """Drop or replace the value at a place, or the innermost that holds it."""
    holder: Any = values
    for depth, part in enumerate(loc, start=1):
        inner = (
            holder.get(part)
            if isinstance(holder, dict)
            else holder[int(part)]  # an entry that was found wrong, so it is there
        )
        if depth < len(loc) and (
            isinstance(inner, dict) or (isinstance(inner, list) and part in LISTS)
        ):
            holder = inner
            continue
        break
    place = loc[:depth]
    if what == "extra_forbidden":
        holder.pop(part, None)
        return
    general = ".".join("*" if isinstance(one, int) else one for one in place)
    if general in STAND_INS:
        holder[part] = copy.deepcopy(STAND_INS[general])
    else:
        holder.pop(part, None)
    # A table that is missing says nothing wrong: the defaults in it are meant.
    if what != "missing" or STAND_INS.get(general) != {}:
        doubtful.add(".".join(str(one) for one in place))
