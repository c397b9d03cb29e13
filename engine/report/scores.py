"""Scores as a report counts them: whole steps of a threshold, and histograms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCALE = 10_000  # scores are whole ten-thousandths, as in the coordinate files
STEPS = (10, 20, 50, 100)  # of the threshold, in the same
MOST_STEPS = 120


def whole(score: NDArray[np.float32]) -> NDArray[np.int64]:
    """Give scores (n,) in whole ten-thousandths, within 0 and 1."""
    # Rounded as float64: 0.29 in float32 is a little less.
    clipped = np.clip(score.astype(np.float64), 0, 1)
    return np.round(np.nan_to_num(clipped) * SCALE).astype(np.int64)


@dataclass(frozen=True, slots=True)
class ScoreAxis:
    """The thresholds that can be set; all in ten-thousandths.

    Threshold `k` (from 0) is ``low + k * step``. A pick passes where its score is not
    below; so picks in bin `k` and above pass threshold `k`, exactly.

    Attributes
    ----------
    low, step : int
        Of the thresholds.
    bins : int
        How many there are.
    """

    low: int
    step: int
    bins: int

    @classmethod
    def of(cls, scores: NDArray[np.int64]) -> "ScoreAxis":
        """Choose thresholds from the lowest of the scores to 1."""
        lowest = int(scores.min()) if len(scores) else 0
        wide = next(
            (one for one in STEPS if (SCALE - lowest) <= one * MOST_STEPS), STEPS[-1]
        )
        low = lowest // wide * wide
        return cls(low, wide, (SCALE - low) // wide + 1)

    def bin_of(self, scores: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the highest threshold (n,) that each score passes."""
        return np.clip((scores - self.low) // self.step, 0, self.bins - 1)

    def sparse(self, scores: NDArray[np.int64]) -> list[int]:
        """Count scores by bin: bin, count, bin, count, ... of those with any."""
        counts = np.bincount(self.bin_of(scores), minlength=self.bins)
        return [int(value) for k in np.flatnonzero(counts) for value in (k, counts[k])]

    def bars(self, scores: NDArray[np.int64], most: int) -> NDArray[np.int64]:
        """Count scores in at most so many bars of equal width over all thresholds."""
        width = -(-self.bins // most)
        counts = np.bincount(self.bin_of(scores), minlength=self.bins)
        padded = np.zeros(-(-self.bins // width) * width, np.int64)
        padded[: self.bins] = counts
        bars: NDArray[np.int64] = padded.reshape(-1, width).sum(axis=1)
        return bars
