"""The difference between two ROC AUCs with its interval: does one score rank rows better than another?

In closed form after DeLong, DeLong and Clarke-Pearson (1988), exact for ties; by midranks (Sun and Xu 2014), so that a
million rows take a second. Correlated rows count by their clusters (Obuchowski 1997).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Float64 = npt.NDArray[np.float64]

NORMAL_95 = 1.959963984540054
"""Half the width of the 95 % interval of a normal distribution, in standard deviations."""


class Difference(NamedTuple):
    """`first` minus `second` in ROC AUC, within -1..1, and the bounds of its 95 % interval."""

    difference: float
    low: float
    high: float

    @property
    def is_below(self) -> bool:
        """Whether the first score is worse than the second by more than the interval."""
        return self.high < 0


def auc_difference(
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    positive: npt.NDArray[np.bool_],
    clusters: npt.NDArray[np.intp] | None = None,
) -> Difference:
    """The difference in ROC AUC of `first` (n,) minus `second` (n,) for ranking `positive` rows (n,) above the others.

    `clusters` (n,) groups correlated rows, such as the corrupted copies of one clean row; without it all rows count as
    independent. With fewer than two rows in a group the interval is -1..1; with an empty group the difference is NaN.
    Raises ValueError if the shapes differ or a score is NaN.
    """
    if not first.shape == second.shape == positive.shape or first.ndim != 1:
        raise ValueError(f"expected three arrays (n,), got {first.shape}, {second.shape} and {positive.shape}")
    if clusters is not None and clusters.shape != first.shape:
        raise ValueError(f"expected clusters {first.shape}, got {clusters.shape}")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("expected scores, got NaN among them: NaN has no rank")
    high, low = int(positive.sum()), int((~positive).sum())
    if not high or not low:
        return Difference(float("nan"), -1.0, 1.0)
    gain = _placements(first, positive) - _placements(second, positive)
    difference = float(gain[positive].mean())
    if min(high, low) < 2:
        return Difference(difference, -1.0, 1.0)
    if clusters is None:
        variance = gain[positive].var(ddof=1) / high + gain[~positive].var(ddof=1) / low
    else:
        variance = _clustered_variance((gain - difference) / np.where(positive, high, low), clusters)
    margin = NORMAL_95 * float(np.sqrt(variance))
    return Difference(difference, max(-1.0, difference - margin), min(1.0, difference + margin))


def _placements(scores: npt.NDArray[Any], positive: npt.NDArray[np.bool_]) -> Float64:
    """For each row, the share of the other group that it is ranked correctly against, ties counted half, (n,)."""
    ranks = rankdata(scores)
    placements = np.empty(len(scores))
    for group, others in ((positive, ~positive), (~positive, positive)):
        below = (ranks[group] - rankdata(scores[group])) / others.sum()
        placements[group] = below if group is positive else 1 - below
    return placements


def _clustered_variance(influence: Float64, clusters: npt.NDArray[np.intp]) -> float:
    """The variance of the sum of the rows' centred `influence` (n,); inf with one cluster."""
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], weights=influence)
    return float("inf") if len(sums) < 2 else float(np.square(sums).sum() * len(sums) / (len(sums) - 1))
