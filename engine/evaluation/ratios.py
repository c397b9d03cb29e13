"""Figures from sums of counts, for many draws at once."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dep.engine.evaluation.bootstrap import Points
from dep.engine.evaluation.events import Events

Array = NDArray[np.float64]


def share(part: Array, whole: Array) -> Array:
    """Divide; NaN where there is nothing to divide by."""
    known = whole > 0
    quotient: Array = np.where(known, part, np.nan) / np.where(known, whole, 1)
    return quotient


def rates(hits: Array, picks: Array, particles: Array, beta: float) -> dict[str, Array]:
    """Give precision, recall, F1 and F_beta, as `dep.engine.metrics.Rates`."""
    return {
        "precision": share(hits, picks),
        "recall": share(hits, particles),
        "f1": share(2 * hits, picks + particles),
        "f_beta": share((1 + beta**2) * hits, picks + beta**2 * particles),
    }


def points_of(events: Events, names: Sequence[str], beta: float) -> Points:
    """Count hits, picks and particles of each event, overall and per class.

    Columns: hits of any class, their distance, then hits, picks and particles of each
    class.
    """
    many = len(names)
    values = np.zeros((len(events.case), 2 + 3 * many))
    hit = events.hit
    values[:, 0] = hit
    values[hit, 1] = events.distance[hit]
    row = np.arange(len(events.case))
    right = hit & (events.true_as == events.picked_as)
    values[row[right], 1 + events.true_as[right]] = 1
    picked, there = events.picked_as > 0, events.true_as > 0
    values[row[picked], 1 + many + events.picked_as[picked]] = 1
    values[row[there], 1 + 2 * many + events.true_as[there]] = 1

    def figures(sums: Array) -> Mapping[str, Array]:
        hits, distance = sums[:, 0], sums[:, 1]
        own, picks, particles = np.split(sums[:, 2:], 3, axis=1)
        every, all_there = picks.sum(axis=1), particles.sum(axis=1)
        found = {
            f"localisation.{name}": value
            for name, value in rates(hits, every, all_there, beta).items()
        }
        found["localisation.mean_distance"] = share(distance, hits)
        pooled = rates(own.sum(axis=1), every, all_there, beta)
        found |= {f"pooled.{name}": value for name, value in pooled.items()}
        per_class = rates(own, picks, particles, beta)
        # As the figures themselves: classes of the truth, 0 for what was not picked.
        counted = np.maximum((particles > 0).sum(axis=1), 1)
        for name in ("precision", "recall", "f1"):
            value = np.where(particles > 0, np.nan_to_num(per_class[name]), 0.0)
            found[f"macro.{name}"] = value.sum(axis=1) / counted
        for at, label in enumerate(names):
            found |= {
                f"per_class.{label}.{name}": value[:, at]
                for name, value in per_class.items()
            }
        return found

    return Points(row, values, figures)
