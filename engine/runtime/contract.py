"""Check that a network's inputs and outputs are those its card promises."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dep.engine.card import ModelCard
from dep.engine.errors import ModelError

INPUT, OUTPUT = "tomogram", "scores"

Edge = int | str | None  # a free dimension is None or a symbol's name


def check_network(
    path: Path,
    card: ModelCard,
    inputs: Mapping[str, Sequence[Edge]],
    outputs: Mapping[str, Sequence[Edge]],
) -> None:
    """Compare a network with its card.

    Parameters
    ----------
    path : Path
        Of the model, for the message.
    card : ModelCard
        What is promised.
    inputs, outputs : mapping of str to shape
        What is there.

    Raises
    ------
    ModelError
        Lists all that differs.
    """
    edge = card.tile
    faults = [
        *_compare("input", INPUT, inputs, (None, 1, edge, edge, edge)),
        *_compare("output", OUTPUT, outputs, (None, card.channels, edge, edge, edge)),
    ]
    if faults:
        lines = "".join(f"\n  - {fault}" for fault in faults)
        message = f"{path}: the network is not what its card says:{lines}"
        raise ModelError(message)


def takes_any_tile(card: ModelCard, shape: Sequence[Edge]) -> bool:
    """Tell whether a network with inputs of this shape takes boxes of any size.

    The file decides, and not what a runtime could make of it: picks are the same in
    every runtime because their tiles are.
    """
    return not card.tile_fixed and not any(isinstance(edge, int) for edge in shape[2:])


def _compare(
    kind: str,
    name: str,
    found: Mapping[str, Sequence[Edge]],
    expected: tuple[int | None, ...],
) -> list[str]:
    if set(found) != {name}:
        return [f"{kind}: expected {name!r} alone, found {', '.join(found) or 'none'}"]
    shape = found[name]
    fits = len(shape) == len(expected) and all(
        not isinstance(there, int) or wanted is None or there == wanted
        for there, wanted in zip(shape, expected, strict=True)
    )
    if fits:
        return []
    return [f"{kind} {name!r}: expected {_words(expected)}, found {_words(shape)}"]


def _words(shape: Sequence[Edge]) -> str:
    return " x ".join(str(edge) if isinstance(edge, int) else "any" for edge in shape)
