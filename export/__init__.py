"""A checkpoint in, a model file out."""

from dep.export.onnx_file import ExportError, export_onnx

__all__ = ["ExportError", "export_onnx"]
