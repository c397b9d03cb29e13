"""The models that come with dep, by name."""

from os import PathLike
from pathlib import Path

from dep.engine.errors import ModelError

DATA = Path(__file__).parent / "data"
STANDARD = "standard"
# What `bundled_model` takes.
BUNDLED = (STANDARD, "fast")


def bundled_model(name: str = STANDARD) -> Path:
    """Return the file of a bundled model.

    Parameters
    ----------
    name : {"standard", "fast"}
        See docs/models.md.

    Raises
    ------
    ModelError
        No bundled model has that name, or its file is missing.
    """
    if name not in BUNDLED:
        message = f"{name}: no such bundled model; there is {', '.join(BUNDLED)}"
        raise ModelError(message)
    path = DATA / f"{name}.onnx"
    if not path.is_file():
        message = (
            f"{path}: the bundled model is missing from this installation. "
            "Install dep again, or name a model file (--engine MODEL.onnx)."
        )
        raise ModelError(message)
    return path


def model_path(model: str | PathLike[str] | None) -> Path:
    """Return the file of the model that is asked for.

    Parameters
    ----------
    model : path, optional
        A model file, or the name of a bundled model (a file of that name goes before
        it); None and "default" mean the standard one.

    Raises
    ------
    ModelError
        The bundled model is missing.
    """
    if model is None or model == "default":
        return bundled_model()
    path = Path(model)
    if str(model) in BUNDLED and not path.exists():
        return bundled_model(str(model))
    return path
