"""The B-factor of Rosenthal and Henderson, from particles and resolutions.

With signal that falls off as exp(-B / 4 d^2) in amplitude, so many particles reach the
resolution d (Rosenthal and Henderson, J. Mol. Biol. 333:721, 2003):

    ln N = B / (2 d^2) + constant,  that is  1 / d^2 = a + b ln N  with  b = 2 / B

N is known exactly and d is measured, so 1 / d^2 is regressed on ln N, and B = 2 / b.
Their equation has a factor 1 / d before the exponential too; over the range of a plot
it is left out, as they and all programs do (docs/relion-metrics.md says what that
costs).

The standard error of b is that of a linear fit with n - 2 degrees of freedom; its
confidence interval is b +- t s_b, and that of B its image under 2 / b, so both hold
with the same probability. The band of the line at ln N is +- t s sqrt(1 / n +
(ln N - mean)^2 / S) with S the sum of squares of ln N about its mean (Draper and Smith,
Applied Regression Analysis, ch. 1). Where deviations of d are given, points weigh
1 / sigma^2 with sigma(1 / d^2) = 2 sigma(d) / d^3; only their ratios matter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dep.engine.errors import MetricsError
from dep.engine.relion_metrics.student import quantile

CONFIDENCE = 0.95
LEAST_PAIRS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Particles, the resolution they reach (Å), and its deviation where known."""

    particles: NDArray[np.float64]
    resolution: NDArray[np.float64]
    deviation: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BFactor:
    """The fitted line and what it says.

    Attributes
    ----------
    pairs : Pairs
        What was fitted.
    b_factor : float
        Å².
    interval : (float, float)
        Of the B-factor; the upper end is infinite where more particles may be of no
        use, within the confidence.
    intercept, slope : float
        1 / d^2 = intercept + slope ln N.
    slope_error : float
        Standard error of the slope.
    residual : float
        Standard deviation of 1 / d^2 about the line (of unit weight).
    r_squared : float
        Share of the (weighted) variance that the line explains.
    confidence : float
        Of interval and band.
    """

    pairs: Pairs
    b_factor: float
    interval: tuple[float, float]
    intercept: float
    slope: float
    slope_error: float
    residual: float
    r_squared: float
    confidence: float
    _weights: NDArray[np.float64]

    def band(
        self, particles: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Give 1 / d^2 (per Å²) of the line for numbers of particles: line, low, high.

        The band holds the line itself, not single measurements.
        """
        x = np.log(np.asarray(particles, np.float64))
        own, weights = np.log(self.pairs.particles), self._weights
        mean = (weights * own).sum() / weights.sum()
        spread = (weights * (own - mean) ** 2).sum()
        error = self.residual * np.sqrt(1 / weights.sum() + (x - mean) ** 2 / spread)
        wide = quantile(self.confidence, len(own) - 2) * error
        line = self.intercept + self.slope * x
        return line, line - wide, line + wide

    def expected(self, particles: float) -> tuple[float, float, float]:
        """Give the resolution of so many particles: of the line, best, worst (Å).

        Infinite where 1 / d^2 is not above 0.
        """
        line, low, high = (float(one) for one in self.band(particles))

        def length(square: float) -> float:
            return 1 / math.sqrt(square) if square > 0 else math.inf

        return length(line), length(high), length(low)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold; infinity is null."""

        def finite(value: float) -> float | None:
            return value if math.isfinite(value) else None

        most = float(self.pairs.particles.max())
        return {
            "b_factor": self.b_factor,
            "interval": [finite(one) for one in self.interval],
            "confidence": self.confidence,
            "slope": self.slope,
            "slope_error": self.slope_error,
            "intercept": self.intercept,
            "r_squared": self.r_squared,
            "pairs": len(self.pairs.particles),
            "expected": [
                {
                    "particles": times * most,
                    **dict(
                        zip(
                            ("resolution", "best", "worst"),
                            map(finite, self.expected(times * most)),
                            strict=True,
                        )
                    ),
                }
                for times in (2, 4, 10)
            ],
        }


def fit_bfactor(pairs: Pairs, confidence: float = CONFIDENCE) -> BFactor:
    """Fit the line to pairs.

    Raises
    ------
    MetricsError
        Fewer than three pairs or two numbers of particles, values that make no sense,
        or a resolution that does not improve with particles.
    """
    n, d = pairs.particles, pairs.resolution
    if not 0 < confidence < 1:
        message = f"expected a confidence between 0 and 1, found {confidence:g}"
        raise MetricsError(message)
    if len(n) < LEAST_PAIRS or len(np.unique(n)) < 2:
        message = (
            f"{len(n)} pairs with {len(np.unique(n))} numbers of particles; expected "
            f"{LEAST_PAIRS} pairs or more, of two numbers or more"
        )
        raise MetricsError(message)
    every = [n, d] if pairs.deviation is None else [n, d, pairs.deviation]
    wrong = np.flatnonzero(~((np.array(every) > 0) & np.isfinite(every)).all(axis=0))
    if len(wrong):
        pair = int(wrong[0])
        found = ":".join(f"{one[pair]:g}" for one in every)
        message = (
            f"pair {pair + 1} ({found}): expected particles, resolution and deviation "
            "above 0"
        )
        raise MetricsError(message)
    x, y = np.log(n), 1 / d**2
    weights = np.ones(len(n))
    if pairs.deviation is not None:
        weights = (2 * pairs.deviation / d**3) ** -2
        weights /= weights.mean()
    total = weights.sum()
    mean_x, mean_y = (weights * x).sum() / total, (weights * y).sum() / total
    spread = (weights * (x - mean_x) ** 2).sum()
    slope = (weights * (x - mean_x) * (y - mean_y)).sum() / spread
    intercept = mean_y - slope * mean_x
    rest = (weights * (y - intercept - slope * x) ** 2).sum()
    whole = (weights * (y - mean_y) ** 2).sum()
    if not slope > 0:
        message = (
            "the resolution does not improve with particles, so there is no B-factor; "
            "look at the pairs"
        )
        raise MetricsError(message)
    residual = math.sqrt(rest / (len(n) - 2))
    error = residual / math.sqrt(spread)
    wide = quantile(confidence, len(n) - 2) * error
    upper = 2 / (slope - wide) if slope > wide else math.inf
    return BFactor(
        pairs,
        2 / slope,
        (2 / (slope + wide), upper),
        float(intercept),
        float(slope),
        float(error),
        residual,
        float(1 - rest / whole) if whole > 0 else 1.0,
        confidence,
        weights,
    )


def read_pairs(words: Sequence[str]) -> Pairs:
    """Read pairs from a file, or from words like ``1000:6.2``.

    A file holds a line for each pair: particles, resolution in Å and, if known, its
    deviation in Å, between commas or blanks. A first line of names and lines that
    begin with # are left out.

    Raises
    ------
    MetricsError
        A file that cannot be read, or a line or word that is no pair.
    """
    if len(words) == 1 and ":" not in words[0]:
        return _from_file(Path(words[0]))
    rows = [_row(word, word.split(":")) for word in words]
    return _pairs(", ".join(words[:3]), rows)


def _from_file(path: Path) -> Pairs:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror or error})"
        raise MetricsError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: not a text file in UTF-8 (byte {error.start})"
        raise MetricsError(message) from error
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        fields = line.replace(",", " ").split()
        if not fields or fields[0].startswith("#"):
            continue
        if (
            not rows and fields[0].lstrip("\"'")[:1].isalpha()
        ):  # the names of the columns
            continue
        rows.append(_row(f"{path}: line {number}", fields))
    return _pairs(str(path), rows)


def _row(where: str, fields: Sequence[str]) -> list[float]:
    try:
        row = [float(field) for field in fields]
    except ValueError:
        row = []
    if len(row) not in (2, 3):
        message = (
            f"{where}: expected particles and resolution (and its deviation, Å), "
            f"found {' '.join(fields)!r}"
        )
        raise MetricsError(message)
    return row


def _pairs(where: str, rows: list[list[float]]) -> Pairs:
    if not rows:
        message = f"{where}: no pairs; expected lines of particles and resolution"
        raise MetricsError(message)
    if len({len(row) for row in rows}) > 1:
        message = f"{where}: some pairs have a deviation and some have none"
        raise MetricsError(message)
    table = np.array(rows)
    deviation = table[:, 2] if table.shape[1] == 3 else None
    return Pairs(table[:, 0], table[:, 1], deviation)
