"""Estimates accuracy without labels: 1 - the mean of P(wrong), with an interval, overall and by predicted class.

P is calibrated on clean and disturbed rows. The interval allows for sampling error, for the share `kappa` of a drop
that P misses, and for the calibration's remaining error on clean traffic. It holds for traffic that is clean or
disturbed in ways like those of the calibration: for rows far from every disturbance the estimate is too high.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_ROWS = 100
"""Number of rows from which there is an interval."""

KAPPA_MARGIN = 1.25
"""Factor applied to `kappa`, which is itself an estimate."""

CALIBRATION_SD = 0.006
"""Error of the estimate on any traffic, however many rows there are."""

QUANTILE = 1.6448536269514722
"""Quantile of the normal distribution: 5 % lie above it, so the interval covers 90 %."""


@dataclass(frozen=True)
class ClassAccuracy:
    """Estimated accuracy on the `rows` rows for which the classifier predicts the class `name`."""

    name: str
    accuracy: float
    rows: int


@dataclass(frozen=True)
class Accuracy:
    """The estimate for the `rows` rows in a window of at most `window_rows`; None without rows.

    `lower` and `upper` are the ends of its 90 % interval, None if there are too few rows. `base` is the accuracy on
    clean traffic, and `kappa` the share of a drop that the estimate misses, both from the bundle. `classes` has the
    predicted classes, and is empty if the classifier has too many.
    """

    estimate: float | None
    lower: float | None
    upper: float | None
    base: float
    kappa: float
    rows: int
    window_rows: int
    classes: tuple[ClassAccuracy, ...] = ()


def estimate(probabilities: npt.NDArray[np.floating]) -> float:
    """Estimate the accuracy on rows with these P(wrong), (n,), n >= 1."""
    return 1 - float(probabilities.mean(dtype=np.float64))


def standard_deviation(probabilities: npt.NDArray[np.floating], base: float, kappa: float) -> float:
    """Standard deviation of the estimate for n rows, n >= 1; `base` is the accuracy on clean traffic."""
    p = probabilities.astype(np.float64)
    drawn = max(0.0, float(p.sum() - p @ p)) / len(p) ** 2
    missed = KAPPA_MARGIN * kappa * (base - estimate(p))
    return math.sqrt(drawn + missed**2 + CALIBRATION_SD**2)


def interval(probabilities: npt.NDArray[np.floating], base: float, kappa: float) -> tuple[float, float]:
    """The 90 % interval of the accuracy on n rows, n >= 1, within 0..1."""
    middle = estimate(probabilities)
    half = QUANTILE * standard_deviation(probabilities, base, kappa)
    return max(0.0, middle - half), min(1.0, middle + half)


def by_class(
    probabilities: npt.NDArray[np.floating], classes: npt.NDArray[np.integer], names: tuple[str, ...]
) -> tuple[ClassAccuracy, ...]:
    """The estimate by predicted class; `classes` (n,) are indices into `names`. Classes never predicted are omitted."""
    rows = np.bincount(classes, minlength=len(names))
    sums = np.bincount(classes, weights=probabilities, minlength=len(names))
    return tuple(
        ClassAccuracy(name, 1 - float(total / count), int(count))
        for name, count, total in zip(names, rows, sums, strict=True)
        if count
    )
