"""Stands in for hypothesis, where it is not installed: tests that draw are skipped.

The others of their files run, which is why it is there.
"""

from collections.abc import Callable
from typing import Any

import pytest


class Anything:
    """Takes every call, attribute and operator: a strategy that is never drawn from."""

    def __call__(self, *values: object, **named: object) -> "Anything":
        """Take a call."""
        del values, named
        return self

    def __getattr__(self, name: str) -> "Anything":
        """Take an attribute."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __or__(self, other: object) -> "Anything":
        """Take a union of strategies."""
        del other
        return self


def given(*values: object, **named: object) -> Callable[[Any], Any]:
    """Skip a test that draws."""
    del values, named
    return pytest.mark.skip(reason="hypothesis is not installed: nothing can be drawn")


class settings:  # noqa: N801 - its own name
    """Takes settings and lets tests be."""

    def __init__(self, *values: object, **named: object) -> None:
        del values, named

    def __call__(self, function: Any) -> Any:  # noqa: ANN401
        """Give the test back."""
        return function

    @staticmethod
    def register_profile(*values: object, **named: object) -> None:
        """Take a profile."""

    @staticmethod
    def load_profile(name: str) -> None:
        """Take its name."""


example = settings
HealthCheck = Anything()
