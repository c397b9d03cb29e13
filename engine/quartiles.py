"""Find quartiles of numbers that are seen in pieces, exactly and in bounded memory.

Radix selection: numbers become unsigned keys of the same order, and the key of each
rank is found 16 bits at a time, from the top, by a histogram of the numbers that share
the bits found so far. Numbers of 8 and 16 bits are seen once, of 32 bits twice, of 64
bits four times. Which pieces they come in, and in what order, does not matter.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGIT = 16  # bits of the key found in one pass


@dataclass(slots=True)
class _Rank:
    """A number wanted by its rank: the bits found, and its rank among their sharers."""

    prefix: int
    rank: int


class Quartiles:
    """First quartile, median and third quartile of numbers that are taken in pieces.

    Every number must be taken once in each pass::

        while True:
            for piece in pieces:
                quartiles.take(piece)
            if quartiles.narrow():
                break
        low, median, high = quartiles.values()

    Parameters
    ----------
    dtype : numpy.dtype
        Of the numbers: boolean, whole, or real up to 64 bits. Longer ones are rounded
        to 64 bits first, which keeps their order.
    count : int
        How many there are, 1 or more; none of them NaN.

    Attributes
    ----------
    passes : int
        How many it takes.
    """

    def __init__(self, dtype: np.dtype[Any], count: int) -> None:
        self._dtype = np.dtype("f8") if dtype.itemsize > 8 else dtype.newbyteorder("=")
        bits = 8 * self._dtype.itemsize
        self.passes = -(-bits // DIGIT)
        self._digit = min(bits, DIGIT)
        self._shift = bits - self._digit  # of the digit that is looked for
        # As numpy.quantile: the k-th quartile lies at k (count - 1) / 4, from 0.
        places = [divmod(k * (count - 1), 4) for k in (1, 2, 3)]
        self._fractions = [quarters / 4 for _, quarters in places]
        self._ranks = [
            (_Rank(0, low), _Rank(0, min(low + 1, count - 1))) for low, _ in places
        ]
        self._histograms = {0: self._empty()}

    def take(self, piece: NDArray[Any]) -> None:
        """Count the numbers of a piece (any shape, any byte order)."""
        keys = _keys(piece.reshape(-1).astype(self._dtype, copy=False))
        if self._first_pass:
            self._count(0, keys >> keys.dtype.type(self._shift))
            return
        found = keys >> keys.dtype.type(self._shift + self._digit)
        mask = keys.dtype.type((1 << self._digit) - 1)
        for prefix in self._histograms:
            sharers = keys[found == keys.dtype.type(prefix)]
            if sharers.size:
                self._count(prefix, (sharers >> keys.dtype.type(self._shift)) & mask)

    def narrow(self) -> bool:
        """End a pass; say whether it was the last."""
        for rank in self._each():
            upto = np.cumsum(self._histograms[rank.prefix])
            digit = int(np.searchsorted(upto, rank.rank, side="right"))
            rank.rank -= int(upto[digit - 1]) if digit else 0
            rank.prefix = rank.prefix << self._digit | digit
        if self._shift == 0:
            return True
        self._shift -= self._digit
        self._histograms = {rank.prefix: self._empty() for rank in self._each()}
        return False

    def values(self) -> tuple[float, float, float]:
        """Give the quartiles after the last pass, as `numpy.quantile` in float64."""
        first, median, third = (
            self._between(self._number(low), self._number(high), fraction)
            for (low, high), fraction in zip(self._ranks, self._fractions, strict=True)
        )
        return first, median, third

    @property
    def _first_pass(self) -> bool:
        return self._shift == 8 * self._dtype.itemsize - self._digit

    def _each(self) -> list[_Rank]:
        return [rank for pair in self._ranks for rank in pair]

    def _empty(self) -> NDArray[np.int64]:
        return np.zeros(1 << self._digit, np.int64)

    def _count(self, prefix: int, digits: NDArray[Any]) -> None:
        histogram = self._histograms[prefix]
        histogram += np.bincount(digits, minlength=len(histogram))

    def _number(self, rank: _Rank) -> float:
        """Turn a key back into its number."""
        bits = 8 * self._dtype.itemsize
        top = 1 << (bits - 1)
        key = rank.prefix
        if self._dtype.kind == "i":
            return float(key - top)
        if self._dtype.kind == "f":
            key ^= top if key & top else (1 << bits) - 1
            raw = np.array(key, f"u{self._dtype.itemsize}")
            return float(raw.view(self._dtype))
        return float(key)

    @staticmethod
    def _between(low: float, high: float, fraction: float) -> float:
        # From the nearer end, as NumPy: exact at both.
        if fraction < 0.5:
            return low + (high - low) * fraction
        return high - (high - low) * (1 - fraction)


def _keys(numbers: NDArray[Any]) -> NDArray[Any]:
    """Give unsigned integers in the order of the numbers; -0 comes before +0."""
    kind, size = numbers.dtype.kind, numbers.dtype.itemsize
    raw: NDArray[Any] = numbers.view(f"u{size}")
    if kind in "bu":
        return raw
    top = raw.dtype.type(1 << (8 * size - 1))
    flips = np.full_like(raw, top)
    if kind == "f":
        # Of negative numbers all bits turn around, of others the sign alone.
        flips |= (numbers.view(f"i{size}") >> (8 * size - 1)).view(raw.dtype)
    flips ^= raw
    return flips
