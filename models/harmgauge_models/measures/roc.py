"""Measures how well scores separate two groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Scores = npt.NDArray[Any]


def roc_auc(high: Scores, low: Scores) -> float:
    """The probability that one of `high` (n,) scores above one of `low` (m,), with ties counted half; NaN if either is
    empty.

    This is the area under the receiver operating characteristic, computed from ranks (Mann and Whitney 1947). Raises
    ValueError if a score is NaN.
    """
    if np.isnan(high).any() or np.isnan(low).any():
        raise ValueError("NaN among the scores has no rank")
    if not len(high) or not len(low):
        return float("nan")
    ranks = rankdata(np.concatenate([high, low]))
    least = len(high) * (len(high) + 1) / 2
    return float((ranks[: len(high)].sum() - least) / (len(high) * len(low)))


def roc_curve(high: Scores, low: Scores, points: int = 101) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Shares of `low` and of `high` above a threshold, (k,) each, both rising from 0 to 1, for up to `points`
    thresholds.

    The thresholds are evenly spaced quantiles of `low`, and infinity. Raises ValueError if either group is empty.
    """
    if not len(high) or not len(low):
        raise ValueError(f"expected scores in both groups, got {len(high)} and {len(low)}")
    thresholds = np.unique(np.quantile(low, np.linspace(0, 1, points - 2), method="inverted_cdf"))[::-1]
    above = [1 - np.searchsorted(np.sort(group), thresholds, "right") / len(group) for group in (low, high)]
    false_rate, true_rate = (np.concatenate([[0.0], share, [1.0]]) for share in above)
    return false_rate, true_rate
