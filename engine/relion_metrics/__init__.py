"""What refinement says of picks: RELION's particle metrics, FSC, and the B-factor."""

from dep.engine.relion_metrics.bfactor import BFactor, fit_bfactor, read_pairs
from dep.engine.relion_metrics.distributions import Distribution, distributions
from dep.engine.relion_metrics.fsc import FscResult, gold_standard
from dep.engine.relion_metrics.maps import ball_mask, open_halves
from dep.engine.relion_metrics.particles import ParticleMetrics, read_particles

__all__ = [
    "BFactor",
    "Distribution",
    "FscResult",
    "ParticleMetrics",
    "ball_mask",
    "distributions",
    "fit_bfactor",
    "gold_standard",
    "open_halves",
    "read_pairs",
    "read_particles",
]
