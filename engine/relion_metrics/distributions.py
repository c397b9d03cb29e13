"""Distributions of particle metrics, of files and classes, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import MetricsError
from dep.engine.relion_metrics.particles import METRICS, PROBABILITY, ParticleMetrics

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """One metric of one file, of all its particles or of one class.

    Attributes
    ----------
    file, metric : str
        Of what.
    class_id : int or None
        None: of all particles.
    particles : int
        How many.
    mean, std : float
        Of the sample; the deviation with n - 1, 0 for one particle.
    quantiles : tuple of float
        At `QUANTILES`.
    minimum, maximum : float
        Of the sample.
    edges : (b + 1,) float64
        Of the bins, the same for one metric of all files.
    counts : (b,) int64
        Particles in each.
    above_first : float or None
        Probability that a particle of this file has more than one of the first file
        (ties count half; Mann and Whitney 1947): 0.5 where the two are alike. None for
        the first file, and for classes.
    """

    file: str
    metric: str
    class_id: int | None
    particles: int
    mean: float
    std: float
    quantiles: tuple[float, ...]
    minimum: float
    maximum: float
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    above_first: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return {
            "file": self.file,
            "metric": self.metric,
            "class": self.class_id,
            "particles": self.particles,
            "mean": self.mean,
            "std": self.std,
            "quantiles": dict(
                zip((f"{one:g}" for one in QUANTILES), self.quantiles, strict=True)
            ),
            "minimum": self.minimum,
            "maximum": self.maximum,
            "above_first": self.above_first,
            "histogram": {
                "edges": self.edges.tolist(),
                "counts": self.counts.tolist(),
            },
        }


def distributions(
    files: Sequence[ParticleMetrics], bins: int = BINS
) -> list[Distribution]:
    """Summarise each metric of each file, all particles first, then its classes.

    Classes are given where a file has more than one.

    Raises
    ------
    MetricsError
        No files, files of the same name, or no bins.
    """
    if not files or bins < 1:
        message = f"expected files and bins, found {len(files)} and {bins}"
        raise MetricsError(message)
    names = [one.name for one in files]
    if len(set(names)) < len(names):
        message = (
            f"files of the same name: {', '.join(names)}; name them apart, with "
            "NAME=FILE"
        )
        raise MetricsError(message)
    found = []
    for metric in METRICS:
        having = [one for one in files if metric in one.values]
        if not having:
            continue
        edges = _edges(metric, [one.values[metric] for one in having], bins)
        first = files[0].values.get(metric)
        for one in having:
            values = one.values[metric]
            above = None
            if one is not files[0] and first is not None:
                above = superiority(values, first)
            found.append(_summary(one.name, metric, None, values, edges, above))
            classes = np.unique(one.class_id)
            if len(classes) > 1:
                found += [
                    _summary(
                        one.name, metric, int(c), values[one.class_id == c], edges, None
                    )
                    for c in classes
                ]
    return found


def superiority(ours: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Give the probability that one of ours is larger, ties counted half."""
    order = np.sort(others)
    below = np.searchsorted(order, ours, "left")
    up_to = np.searchsorted(order, ours, "right")
    return float((below + up_to).mean() / (2 * len(others)))


def _edges(
    metric: str, values: list[NDArray[np.float64]], bins: int
) -> NDArray[np.float64]:
    low = min(float(one.min()) for one in values)
    high = max(float(one.max()) for one in values)
    if metric == PROBABILITY and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def _summary(
    file: str,
    metric: str,
    class_id: int | None,
    values: NDArray[np.float64],
    edges: NDArray[np.float64],
    above: float | None,
) -> Distribution:
    counts, _ = np.histogram(values, edges)
    return Distribution(
        file,
        metric,
        class_id,
        len(values),
        float(values.mean()),
        float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        tuple(float(q) for q in np.quantile(values, QUANTILES)),
        float(values.min()),
        float(values.max()),
        edges,
        counts.astype(np.int64),
        above,
    )
