"""A checkpoint in, a model file out.

The public names are imported when they are first asked for (PEP 562): building a plan
of an ONNX file, `export_plan`, needs no torch and must not load it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dep.export.agreement import Comparison
    from dep.export.errors import ExportError
    from dep.export.onnx_file import export_onnx
    from dep.export.plan import PlanOptions, export_plan
    from dep.export.published import Published, parse_classes

__all__ = [
    "Comparison",
    "ExportError",
    "PlanOptions",
    "Published",
    "export_onnx",
    "export_plan",
    "parse_classes",
]

_HOME = {
    "Comparison": "agreement",
    "ExportError": "errors",
    "PlanOptions": "plan",
    "Published": "published",
    "export_onnx": "onnx_file",
    "export_plan": "plan",
    "parse_classes": "published",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOME:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next time it is found without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
