"""Lets the tests of this folder import its helpers by name."""

import importlib.util
import sys
from pathlib import Path

_NAME = "evaluation_cases"
_spec = importlib.util.spec_from_file_location(
    _NAME, Path(__file__).with_name(f"{_NAME}.py")
)
sys.modules[_NAME] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[_NAME])
