"""Find the card of a model file without opening the model: ONNX and TensorRT plans."""

import mmap
from pathlib import Path

from dep.engine.card import ModelCard
from dep.engine.errors import CardError, ModelError
from dep.engine.plan_file import read_plan
from dep.engine.protobuf import LENGTH, fields

METADATA_KEY = "dep.card"
ONNX_SUFFIX = ".onnx"
PLAN_SUFFIX = ".plan"

# Fields of onnx.ModelProto and StringStringEntryProto (onnx.proto, IR version 3+).
_MODEL_METADATA_PROPS = 14
_ENTRY_KEY = 1
_ENTRY_VALUE = 2


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
            for field in fields(data, 0, len(data)):
                if field.number == _MODEL_METADATA_PROPS and field.wire == LENGTH:
                    pair = {
                        one.number: data[one.start : one.stop].decode()
                        for one in fields(data, field.start, field.stop)
                        if one.wire == LENGTH
                    }
                    entries[pair.get(_ENTRY_KEY, "")] = pair.get(_ENTRY_VALUE, "")
        except (ValueError, IndexError) as error:
            message = f"{path}: not an ONNX file, or a damaged one ({error})"
            raise ModelError(message) from error
    return entries
