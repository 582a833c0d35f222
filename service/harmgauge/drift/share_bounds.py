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

_MOST_STEPS = 100
"""Ten are usually enough."""

_PRECISION = 1e-14

_LARGEST = 1 - 2**-53
"""The number below 1."""

_DEVIATIONS = 10
"""Terms this many standard deviations below the first one vanish beside it in float64."""


def upper_bounds(sizes: npt.NDArray[np.integer], reference_rows: int, error: float) -> npt.NDArray[np.float64]:
    """The shares that the traffic beyond the `sizes`-th of `reference_rows` scores exceeds with probability `error`
    each, (k,).

    That is `scipy.stats.beta.ppf(1 - error, sizes, reference_rows + 1 - sizes)`. `sizes` (k,) are from 1 to
    `reference_rows`, and `error` is at most 0.1.
    """
    binomial = _Binomial(sizes.astype(np.float64) - 1, reference_rows)
    # From the mean on, which a share exceeds in more than a third of all cases. The logarithm of the chance is concave,
    # so all steps of Newton's method but the first approach the bound from above.
    found: npt.NDArray[np.float64] = sizes / (reference_rows + 1)
    for _ in range(_MOST_STEPS):
        log_chance, slope = binomial.log_at_most(found)
        following = np.minimum(found + (log_chance - math.log(error)) / slope, np.minimum((found + 1) / 2, _LARGEST))
        if (np.abs(following - found) <= _PRECISION * following).all():
            break
        found = following
    return found


class _Binomial:
    """The chances of at most `most` (k,) hits in `trials`, for shares at or above (most + 1) / (trials + 1): the chance
    that this share of the traffic, or more, lies beyond the (most + 1)-th of `trials` scores.

    The terms are summed from the largest count down, because below the mean they shrink.
    """

    def __init__(self, most: npt.NDArray[np.float64], trials: int) -> None:
        self._most = most
        self._trials = trials
        self._log_coefficients = np.array(
            [math.lgamma(trials + 1) - math.lgamma(own + 1) - math.lgamma(trials - own + 1) for own in most.tolist()]
        )
        largest = float(most.max())
        terms = int(min(largest, _DEVIATIONS * math.sqrt(largest + 1) + 4 * _DEVIATIONS))
        counts = np.maximum(most[:, None] - np.arange(terms), 0)  # a count of 0 ends the sum: its ratio is 0
        self._ratios = counts / (trials - counts + 1)

    def log_at_most(self, share: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The logarithm of the chance for each share, (k,), and how fast it falls as the share grows."""
        logs = self._log_coefficients + self._most * np.log(share) + (self._trials - self._most) * np.log1p(-share)
        with np.errstate(under="ignore"):
            ratios = self._ratios * ((1 - share) / share)[:, None]
            terms = 1 + np.cumprod(ratios, axis=1).sum(axis=1)  # in units of the largest
        return logs + np.log(terms), (self._trials - self._most) / (1 - share) / terms
