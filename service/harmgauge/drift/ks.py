"""Two-sample Kolmogorov-Smirnov: the p-value by scipy, and the alarm's thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

Scores = npt.NDArray[np.float64]

ALARM_FACTOR = 0.08
"""Share of `window_rows / rows_between_false_alarms` that the alarm's p-value may take.

A window that slides by a score at a time tests the same scores again and again; at this factor the mean run to a false
alarm was 1.4 to 4.5 times what was asked (simulated over six settings of reference and window).
"""


@dataclass(frozen=True)
class KsResult:
    """`statistic` is the largest distance between the two distribution functions, in 0..1."""

    statistic: float
    p_value: float
    log10_p_value: float


def two_sample(window: Scores, reference: Scores) -> KsResult:
    """The two-sided test of `window` (n,) against `reference` (m,), as `scipy.stats.ks_2samp` has it.

    `log10_p_value` goes on where the p-value is too small for a float64, by Smirnov's limit for large samples:
    2 exp(-2 D^2 nm / (n + m)).
    """
    result = ks_2samp(window, reference)
    statistic, p_value = float(result.statistic), float(result.pvalue)
    if p_value > 0:
        return KsResult(statistic, p_value, math.log10(p_value))
    n, m = len(window), len(reference)
    return KsResult(statistic, p_value, math.log10(2) - 2 * statistic**2 * n * m / (n + m) / math.log(10))


def p_value_threshold(window_rows: int, rows_between_false_alarms: int) -> float:
    """The p-value at or below which the sliding window is an alarm; raises ValueError where none can be kept."""
    threshold = ALARM_FACTOR * window_rows / rows_between_false_alarms
    if threshold >= 0.5:
        least = math.ceil(2 * ALARM_FACTOR * window_rows)
        raise ValueError(
            f"{rows_between_false_alarms} rows between false alarms are too few for a window of {window_rows} rows: "
            f"ask for at least {least}"
        )
    return threshold


def approximate_statistic_threshold(window_rows: int, reference_rows: int, p_value: float) -> float:
    """The same by Smirnov's limit for large samples, at no cost: sqrt(-ln(p / 2) (n + m) / 2nm)."""
    return math.sqrt(-math.log(p_value / 2) / 2 * (window_rows + reference_rows) / (window_rows * reference_rows))


@lru_cache(maxsize=8)
def statistic_threshold(window_rows: int, reference_rows: int, p_value: float) -> float:
    """The smallest statistic whose p-value is at most `p_value`, for samples of these sizes; in 0..1.

    Exact where one size divides the other, and within 1 / reference_rows otherwise. Found by bisection over samples
    made to have a given statistic, so that it is scipy's p-value that decides. Infinite where not even 1 is enough.
    """
    low, high, smallest = 0.0, 1.0, math.inf
    while high - low > 0.5 / (window_rows * reference_rows):
        middle = (low + high) / 2
        result = _with_statistic(window_rows, reference_rows, middle)
        if result.p_value <= p_value:
            high, smallest = middle, result.statistic
        else:
            low = middle
    return smallest


def _with_statistic(n: int, m: int, statistic: float) -> KsResult:
    """Test two samples of n and m whose statistic is about `statistic`: the nearest k/n - i/m at or above it.

    The reference is 1..m; k scores lie at once behind its first i, the others far enough up to fall behind no more.
    """
    k = min(n, math.ceil(statistic * n))
    i = min(m - 1, math.floor((k / n - statistic) * m))
    later = np.ceil(np.arange(k + 1, n + 1) * m / n) + 0.5
    return two_sample(np.concatenate([np.full(k, i + 0.5), later]), np.arange(1.0, m + 1))
