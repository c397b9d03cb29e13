"""The error of exports."""

from dep.engine.errors import DepError


class ExportError(DepError, RuntimeError):
    """An export that failed or whose result does not agree with the network."""
