"""Upper bounds on the shares of traffic beyond ranks of a reference: Clopper-Pearson, without scipy.

The traffic beyond the s-th largest of n reference scores is a share that depends on the luck of the reference. Over
that luck it is distributed as Beta(s, n + 1 - s), whatever the distribution of scores, if it is continuous or ties are
broken at random. This is the quantile of that distribution. `scipy.special` has it too, but its import takes as long as
the rest of a start.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_HALVINGS = 60
"""Each one halves an interval that begins as at most 1 wide."""

_DEVIATIONS = 10
"""Terms this many standard deviations below the first one vanish beside it in float64."""


def upper_bound(size: int, reference_rows: int, error: float) -> float:
    """The share that the traffic beyond the `size`-th of `reference_rows` scores exceeds with probability `error`.

    That is `scipy.stats.beta.ppf(1 - error, size, reference_rows + 1 - size)`. `size` is from 1 to `reference_rows`,
    and `error` at most 0.1.
    """
    low, high = size / (reference_rows + 1), 1.0  # the mean, which a share exceeds in more than a third of all cases
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _chance_of_fewer(size, reference_rows, middle) > error:
            low = middle
        else:
            high = middle
    return high


def _chance_of_fewer(size: int, trials: int, share: float) -> float:
    """P(a binomial count < size), for `share` at or above size / (trials + 1): the chance that this share of the
    traffic, or more, lies beyond the `size`-th of `trials` scores.

    The terms are summed from the largest count down, because below the mean they shrink.
    """
    if share >= 1:
        return 0.0
    most = size - 1
    log_first = (
        math.lgamma(trials + 1)
        - math.lgamma(most + 1)
        - math.lgamma(trials - most + 1)
        + most * math.log(share)
        + (trials - most) * math.log1p(-share)
    )
    terms = min(most, int(_DEVIATIONS * math.sqrt(size)) + 4 * _DEVIATIONS)
    counts: npt.NDArray[np.float64] = np.arange(most, most - terms, -1, dtype=np.float64)
    ratios = counts / (trials - counts + 1) * ((1 - share) / share)
    return float(math.exp(log_first) * (1 + np.cumprod(ratios).sum()))
