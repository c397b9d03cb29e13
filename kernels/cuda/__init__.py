"""CUDA twins of the kernels: sources in `src`, launched through a `Device`."""

from dep.kernels.cuda.device import Device

__all__ = ["Device"]
