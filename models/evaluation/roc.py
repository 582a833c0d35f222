"""How well scores separate two groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Scores = npt.NDArray[Any]


def roc_auc(high: Scores, low: Scores) -> float:
    """The probability that one of `high` (n,) scores above one of `low` (m,), ties counted half; NaN without either.

    The area under the receiver operating characteristic, by the ranks (Mann and Whitney 1947). Raises ValueError
    where a score is NaN.
    """
    if np.isnan(high).any() or np.isnan(low).any():
        raise ValueError("NaN among the scores has no rank")
    if not len(high) or not len(low):
        return float("nan")
    ranks = rankdata(np.concatenate([high, low]))
    least = len(high) * (len(high) + 1) / 2
    return float((ranks[: len(high)].sum() - least) / (len(high) * len(low)))
