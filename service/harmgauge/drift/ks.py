"""The two-sample Kolmogorov-Smirnov test: statistic and p-value, equal to scipy's, and the thresholds of the alarm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harmgauge.drift import ks_exact, ks_large

Scores = npt.NDArray[np.float64]

MOST_EXACT_ROWS = 10_000
"""Limit on the larger sample: beyond it, the p-value is Smirnov's asymptotic one, as in `scipy.stats.ks_2samp`."""

MOST_GUESSES = 6
"""Number of guesses at a threshold before bisection takes over."""

ALARM_FACTOR = 0.08
"""Share of `window_rows / rows_between_false_alarms` that the p-value of the alarm may take.

A window that slides by one score at a time tests the same scores again and again; at this factor the mean run to a
false alarm was 1.4 to 4.5 times the requested one (simulated for six settings of reference and window).
"""


@dataclass(frozen=True)
class KsResult:
    """`statistic` is the largest distance between the two distribution functions, in 0..1."""

    statistic: float
    p_value: float
    log10_p_value: float


def two_sample(window: Scores, reference: Scores) -> KsResult:
    """The two-sided test of `window` (n,) against `reference` (m,), as in `scipy.stats.ks_2samp`.

    If the p-value is too small for a float64, `log10_p_value` comes from Smirnov's limit for large samples: 2 exp(-2
    D^2 nm / (n + m)).
    """
    window, reference = np.sort(window), np.sort(reference)
    points = np.concatenate([window, reference])
    n, m = len(window), len(reference)
    # In units of 1 / lcm(n, m) the distances are whole numbers.
    behind = [np.searchsorted(sample, points, "right") for sample in (window, reference)]
    units = math.lcm(n, m)
    steps = int(np.abs(behind[0] * (units // n) - behind[1] * (units // m)).max())
    return _result(steps, n, m)


def _result(steps: int, n: int, m: int) -> KsResult:
    """The result for a statistic of `steps` / lcm(n, m)."""
    statistic = steps / math.lcm(n, m)
    p_value = _p_value(steps, n, m)
    if p_value > 0:
        return KsResult(statistic, p_value, math.log10(p_value))
    return KsResult(statistic, p_value, math.log10(2) - 2 * statistic**2 * n * m / (n + m) / math.log(10))


def _p_value(steps: int, n: int, m: int) -> float:
    if max(n, m) <= MOST_EXACT_ROWS:
        return ks_exact.survival(steps, n, m)
    statistic, rows = steps / math.lcm(n, m), round(n * m / (n + m))
    if rows >= ks_large.FEWEST_ROWS and ks_large.LEAST_SQUARE <= rows * statistic**2 < ks_large.MOST_SQUARE:
        return ks_large.survival(statistic, rows)
    # scipy's statistics take a second and 60 MB to import, and only samples this large need them.
    from scipy.stats import kstwo  # noqa: PLC0415

    p_value: float = kstwo.sf(statistic, rows)
    return min(1.0, max(0.0, p_value))


def p_value_threshold(window_rows: int, rows_between_false_alarms: int) -> float:
    """The p-value at or below which the sliding window raises the alarm; raises ValueError if none is possible."""
    threshold = ALARM_FACTOR * window_rows / rows_between_false_alarms
    if threshold >= 0.5:
        least = math.ceil(2 * ALARM_FACTOR * window_rows)
        raise ValueError(
            f"{rows_between_false_alarms} rows between false alarms are too few for a window of {window_rows} rows: "
            f"set at least {least}"
        )
    return threshold


def approximate_statistic_threshold(window_rows: int, reference_rows: int, p_value: float) -> float:
    """An approximation by Smirnov's limit for large samples, in constant time: sqrt(-ln(p / 2) (n + m) / 2nm)."""
    return math.sqrt(-math.log(p_value / 2) / 2 * (window_rows + reference_rows) / (window_rows * reference_rows))


@lru_cache(maxsize=8)
def statistic_threshold(window_rows: int, reference_rows: int, p_value: float) -> float:
    """The smallest statistic whose p-value is at most `p_value`, for samples of these sizes; in 0..1.

    Exact if `window_rows` divides `reference_rows`, and within 1 / reference_rows otherwise. Infinite if even 1 is not
    enough.
    """
    n, m = window_rows, reference_rows
    units = math.lcm(n, m)
    if math.log(2) + math.lgamma(n + 1) + math.lgamma(m + 1) - math.lgamma(n + m + 1) > math.log(p_value):
        return math.inf  # even two separate samples have p = 2 / C(n + m, n)
    low, high, close = 0, units, max(1, units // (2 * m))
    steps = round(approximate_statistic_threshold(n, m, p_value) * units)
    fall = 2 * n * m / (n + m)
    for tries in range(2 * units.bit_length()):  # more than it can take
        if high - low <= close:
            break
        steps = min(max(steps, low + 1), high - 1)
        found = _p_value(steps, n, m)
        low, high = (low, steps) if found <= p_value else (steps, high)
        if found == 0 or high - low <= 4 * close or tries >= MOST_GUESSES:
            steps = (low + high) // 2
            continue
        # ln p falls almost linearly with the square of the statistic, by `fall` per unit: this locates the threshold,
        # and a point just beyond it confirms it.
        guess = math.sqrt(max(0.0, (steps / units) ** 2 + math.log(found / p_value) / fall)) * units
        steps = math.floor(guess) - close // 4 if high == steps else math.ceil(guess) + close // 4
    return high / units
