"""Quantiles of Student's t distribution for whole degrees of freedom.

The central probability A(t | n) in closed form, a sum of sines and cosines of theta =
atan(t / sqrt n) (Abramowitz and Stegun, 26.7.3 and 26.7.4), inverted by bisection.
"""

import math


def central(t: float, freedom: int) -> float:
    """Give the probability that a t-distributed number lies between -t and t."""
    return _central(math.atan2(t, math.sqrt(freedom)), freedom)


def quantile(probability: float, freedom: int) -> float:
    """Give the t between -t and which the probability lies.

    Parameters
    ----------
    probability : float
        Above 0, below 1.
    freedom : int
        1 or more.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(80):  # far below the spacing of doubles
        middle = (low + high) / 2
        if _central(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _central(theta: float, freedom: int) -> float:
    sine, cosine = math.sin(theta), math.cos(theta)
    total, term = 0.0, 1.0
    if freedom % 2:  # 26.7.3
        term = cosine
        for k in range(1, freedom - 1, 2):
            total += term
            term *= cosine**2 * (k + 1) / (k + 2)
        return (theta + sine * total) * 2 / math.pi
    for k in range(0, freedom - 1, 2):  # 26.7.4
        total += term
        term *= cosine**2 * (k + 1) / (k + 2)
    return sine * total
