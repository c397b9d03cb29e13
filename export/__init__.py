"""A checkpoint in, a model file out."""

from dep.export.errors import ExportError
from dep.export.onnx_file import export_onnx
from dep.export.plan import PlanOptions, export_plan
from dep.export.published import Published, parse_classes

__all__ = [
    "ExportError",
    "PlanOptions",
    "Published",
    "export_onnx",
    "export_plan",
    "parse_classes",
]
