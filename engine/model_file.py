"""Find the card of a model file without opening the model: ONNX and TensorRT plans."""

import mmap
from collections.abc import Iterator
from pathlib import Path

from dep.engine.card import ModelCard
from dep.engine.errors import CardError, ModelError
from dep.engine.plan_file import read_plan

METADATA_KEY = "dep.card"
ONNX_SUFFIX = ".onnx"
PLAN_SUFFIX = ".plan"

# Fields of onnx.ModelProto and StringStringEntryProto (onnx.proto, IR version 3+).
_MODEL_METADATA_PROPS = 14
_ENTRY_KEY = 1
_ENTRY_VALUE = 2
# Protocol Buffers wire types (protobuf.dev, encoding).
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def read_card(path: Path | str) -> ModelCard:
    """Read the card that travels with a model.

    Parameters
    ----------
    path : path
        ``.onnx``: the card is the metadata entry ``dep.card``. ``.plan``: the card is
        the file ``<name>.plan.json`` beside it, tied to the plan by ``plan_sha256``.

    Returns
    -------
    ModelCard
        Validated.

    Raises
    ------
    CardError
        No card, a newer card, wrong fields (all listed), or another plan's card.
    ModelError
        The file is missing, empty, unreadable, damaged, or of another kind.
    """
    path = Path(path)
    check_model_path(path)
    if path.suffix == ONNX_SUFFIX:
        text = onnx_metadata(path).get(METADATA_KEY)
        if text is None:
            message = (
                f"{path}: no model card (metadata entry {METADATA_KEY!r}) in this "
                "ONNX file. Models written by `dep export` have one."
            )
            raise CardError(message)
        return ModelCard.from_json(text, str(path))
    return read_plan(path)[0]


def check_model_path(path: Path) -> None:
    """Refuse what cannot be a model file.

    Raises
    ------
    ModelError
        No such file, a directory, no permission, empty, or another suffix.
    """
    try:
        if path.is_dir():
            message = f"{path}: is a directory, expected a .onnx or .plan file"
            raise ModelError(message)
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except FileNotFoundError as error:
        message = f"{path}: no such model file"
        raise ModelError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror})"
        raise ModelError(message) from error
    if path.suffix not in (ONNX_SUFFIX, PLAN_SUFFIX):
        message = (
            f"{path}: expected a model file that ends in .onnx or .plan. "
            "A checkpoint becomes one with `dep export`."
        )
        raise ModelError(message)
    if empty:
        message = f"{path}: the model file is empty"
        raise ModelError(message)


def onnx_metadata(path: Path) -> dict[str, str]:
    """Read the metadata entries of an ONNX file.

    The file is mapped and its graph stepped over, so the time taken does not depend
    on the size of the weights.

    Raises
    ------
    ModelError
        The bytes are not a whole Protocol Buffers message.
    """
    entries: dict[str, str] = {}
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        try:
            for field, start, stop in _messages(data, 0, len(data)):
                if field == _MODEL_METADATA_PROPS:
                    pair = {
                        key: data[low:high].decode()
                        for key, low, high in _messages(data, start, stop)
                    }
                    entries[pair.get(_ENTRY_KEY, "")] = pair.get(_ENTRY_VALUE, "")
        except (ValueError, IndexError) as error:
            message = f"{path}: not an ONNX file, or a damaged one ({error})"
            raise ModelError(message) from error
    return entries


def _messages(data: mmap.mmap, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, first byte, end) of each length-delimited field."""
    position = start
    while position < stop:
        key, position = _varint(data, position, stop)
        field, wire = key >> 3, key & 7
        if field == 0:
            message = f"field number 0 at byte {position}"
            raise ValueError(message)
        if wire == _LENGTH:
            length, position = _varint(data, position, stop)
            if position + length > stop:
                message = f"field {field} ends {position + length - stop} bytes too far"
                raise ValueError(message)
            yield field, position, position + length
            position += length
        elif wire == _VARINT:
            _, position = _varint(data, position, stop)
        elif wire == _FIXED64:
            position += 8
        elif wire == _FIXED32:
            position += 4
        else:
            message = f"wire type {wire} at byte {position}"
            raise ValueError(message)
    if position != stop:
        message = "the last field is cut off"
        raise ValueError(message)


def _varint(data: mmap.mmap, position: int, stop: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= stop:
            message = "the file ends inside a number"
            raise ValueError(message)
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    message = f"a number longer than 64 bits at byte {position}"
    raise ValueError(message)
