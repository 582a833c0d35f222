"""What the gamblers on one source stake, and the evidence from their wealth.

A bet is on the mean of a request, so it is valid for any dependence within the request. A gambler may use everything
that is known before the request's scores, also its number of rows: the mean of many independent rows is close to its
expectation, so more of the wealth is staked on it. How many independent rows they are worth follows from the baseline.

*Harm* is bet on as in `harm_evidence.py`. *Change* is bet on against two bounds for each share of a half-line, which
follow from the baseline (`baseline.py`): a near one, which may be too low, and a far one. A change must win against
both, but a win against the far bound is worth more: the share is seldom above the near one, given the baseline.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmgauge.drift.evidence import HALF_LINE_WEIGHTS
from harmgauge.drift.harm_evidence import STAKES as HARM_STAKES
from harmgauge.drift.sources.baseline import WORTH
from harmgauge.drift.sources.columns import BOUNDS, CHANGE_STAKES, HALF_LINES

Float64 = npt.NDArray[np.float64]

MOST_STAKED = 0.95
"""At most this share of the wealth is staked, however many rows a request has."""

GAMBLERS = BOUNDS * HALF_LINES * len(CHANGE_STAKES)
"""Gamblers on change, by bound, half-line and stake."""

_PARTS: Float64 = np.einsum(
    "b,h,bc,hi,s->bhsci",
    WORTH,
    HALF_LINE_WEIGHTS,
    np.eye(BOUNDS),
    np.eye(HALF_LINES),
    np.full(len(CHANGE_STAKES), 1 / len(CHANGE_STAKES)),
).reshape(GAMBLERS, -1)
"""Turns wealth into its weighted means by bound and half-line, (GAMBLERS, BOUNDS * HALF_LINES)."""


def staked(stakes: Float64, independent: Float64) -> Float64:
    """The shares staked on requests worth `independent` (k,) rows by gamblers with `stakes` (g,) on a single row,
    (k, g).

    What is left is what would be left if each row were lost separately.
    """
    found: Float64 = np.minimum(1 - (1 - stakes) ** independent[:, None], MOST_STAKED)
    return found


def change_factors(means: Float64, bounds: Float64, independent: Float64) -> Float64:
    """Factors of the wealth of the gamblers on change, (k, GAMBLERS), for requests of which the shares `means`
    (k, HALF_LINES) lie in each half-line, against `bounds` (k, BOUNDS, HALF_LINES).
    """
    gain = (means[:, None] / bounds - 1)[..., None]
    factor = 1 + staked(CHANGE_STAKES, independent)[:, None, None] * gain
    return factor.reshape(len(means), GAMBLERS)


def change(wealth: Float64) -> Float64:
    """The evidence of change, (...), from the wealth of its gamblers, (..., GAMBLERS)."""
    by_bound = (wealth @ _PARTS).reshape(*wealth.shape[:-1], BOUNDS, HALF_LINES)
    found: Float64 = by_bound.min(axis=-2).sum(axis=-1)
    return found


def harm_factors(means: Float64, bound: float, independent: Float64) -> Float64:
    """Factors of the wealth of the gamblers on harm, (k, stakes), for requests with mean P(wrong) `means` (k,), against
    the largest harmless mean.
    """
    return 1 + staked(HARM_STAKES, independent) * (means / bound - 1)[:, None]


def harm(wealth: Float64) -> Float64:
    """The evidence of harm, (...), from the wealth of its gamblers, (..., stakes)."""
    found: Float64 = wealth.mean(axis=-1)
    return found
