"""Import a library that only some formats need, or say how to install it."""

import importlib
from types import ModuleType

from dep.engine.errors import TomogramError


def need(module: str, extra: str, label: object, what: str) -> ModuleType:
    """Import a library.

    Parameters
    ----------
    module : str
        What to import.
    extra : str
        Of this package, that installs it.
    label : object
        What messages call the file.
    what : str
        That the library reads.

    Raises
    ------
    TomogramError
        It is not installed, or does not work; says what to do.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        message = (
            f"{label}: {what} need {error.name or module}, which is not installed: "
            f"pip install 'dep[{extra}]'"
        )
        raise TomogramError(message) from error
    except ImportError as error:
        message = (
            f"{label}: {what} need {module}, which does not work here ({error}): "
            f"pip install --upgrade 'dep[{extra}]'"
        )
        raise TomogramError(message) from error
