"""Cryo-electron tomograms from the physics: settings and a seed in, a tomogram out.

Needs numpy and scipy, and no torch. The equations are in docs/simulation.md.
"""

from dep.train.simulate.files import SimulationError, Written, simulate_files, write
from dep.train.simulate.molecule import Molecule, from_map
from dep.train.simulate.settings import (
    Acquisition,
    Reconstruction,
    SimulationSettings,
    Specimen,
)
from dep.train.simulate.settings_file import load_document, parse_settings
from dep.train.simulate.shapes import shape
from dep.train.simulate.simulation import Simulation, simulate
from dep.train.simulate.specimen import load_molecules

__all__ = [
    "Acquisition",
    "Molecule",
    "Reconstruction",
    "Simulation",
    "SimulationError",
    "SimulationSettings",
    "Specimen",
    "Written",
    "from_map",
    "load_document",
    "load_molecules",
    "parse_settings",
    "shape",
    "simulate",
    "simulate_files",
    "write",
]
