"""What computes a network: one protocol, and one module for each runtime."""

from dep.engine.runtime.choose import installed, open_runtime
from dep.engine.runtime.protocol import Runtime

__all__ = ["Runtime", "installed", "open_runtime"]
