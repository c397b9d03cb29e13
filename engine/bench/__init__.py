"""What picking takes on this machine: one model, or two in turn."""

from dep.engine.bench.contender import Contender, Entrant
from dep.engine.bench.result import Measured, Result
from dep.engine.bench.rounds import run
from dep.engine.bench.subject import Subject, made_up

__all__ = ["Contender", "Entrant", "Measured", "Result", "Subject", "made_up", "run"]
