"""The tail of Kolmogorov's one-sample statistic for large samples, at the cost of a thousand terms.

P(D+ >= x) is a sum of n (1 - x) terms (Birnbaum and Tingey, *One-sided confidence contours for probability distribution
functions*, 1951), one for each point at which the path may leave. As a function of that point the terms are smooth and
vanish at both ends with all their derivatives, so a thousand equally spaced ones have the same mean to 13 digits. scipy
adds up all of them: more than a second for a million scores, again and again during the search for a threshold.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FEWEST_ROWS = 5000
LEAST_SQUARE = 2.2
"""n x^2. Below it, P(D >= x) is less than 2 P(D+ >= x) by more than one in a million. scipy uses the same limit."""

MOST_SQUARE = 370.0
"""From here on the tail is 0 in float64."""

_PLACES = 1000


def survival(x: float, n: int) -> float:
    """P(D >= x) for n >= FEWEST_ROWS and n x^2 from LEAST_SQUARE to MOST_SQUARE."""
    step = n * (1 - x) / (_PLACES + 1)
    j = step * np.arange(1, _PLACES + 1)
    rest = n - j
    # C(n, j) (x + j / n)^(j - 1) (1 - x - j / n)^(n - j), the factorials by Stirling's series
    exponent = j * np.log1p(n * x / j) + rest * np.log1p(-n * x / rest) + _stirling(n) - _stirling(j) - _stirling(rest)
    terms = np.exp(exponent) * np.sqrt(n / (2 * math.pi * j * rest)) / (x + j / n)
    return 2 * x * step * float(terms.sum())


def _stirling(n: npt.NDArray[np.floating] | int) -> npt.NDArray[np.float64]:
    """log n! without its leading terms."""
    inverse = np.asarray(1 / n)
    found: npt.NDArray[np.float64] = inverse / 12 - inverse**3 / 360
    return found
