"""Pick macromolecules out of cryo-electron tomograms."""

__version__ = "0.1.0"
