"""Predicts what `score_evidence` can detect: the smallest share of harmful traffic, and the rows until its alarm.

The prediction is for harmful rows that score higher than every normal row, from the first row after a reset, and for a
reference of average luck. Harm whose scores overlap with normal ones takes up to MOST_TIMES as long.

For each gambler on an upper half-line, log wealth is a random walk whose drift per row is known: constant for fixed
bets, falling for those on the urn, which fills up. Wealth is the walk's exponential, summed over all rows at which
gamblers joined. For Brownian motion with drift g and variance v per row, the mean log of that sum exceeds its value
without the noise by log(2 g / v) - digamma(2 g / v) (Dufresne, *The distribution of a perpetuity*, 1990).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from harmgauge.drift import evidence
from harmgauge.drift.evidence import LEVEL_WEIGHTS, LEVELS, STAKES, UPPER_WEIGHT

Float64 = npt.NDArray[np.float64]

MOST_HORIZON_ROWS = 20_000
"""A share counts as detectable if its alarm is expected within this many rows, or within the rows between two false
alarms if they are fewer.
"""

COMMON_SHARE = 0.1
"""The share of harmful rows for which the time to the alarm is given; a larger smallest share deserves a warning."""

MOST_TIMES = 2.5
"""The scores of `docs/drift.md`, which overlap, took 1.2 to 2.3 times as long as the prediction, except near the
smallest share."""

GOOD_REFERENCE_ROWS = 5000

_TIMES = 80
_HALVINGS = 10
_LEAST_SHARE = 1e-5
_MOST_SHARE = 0.999
"""With every row harmful there would be no noise."""

_MOST_LOG_NOISE = 3.0
"""Where noise outweighs drift, no alarm is near, and the correction would grow without bound."""


@dataclass(frozen=True)
class Detectable:
    """The limits of a reference of `reference_rows` with this tolerance and rate of false alarms."""

    reference_rows: int
    tolerance: float
    rows_between_false_alarms: int

    @property
    def horizon_rows(self) -> int:
        """Rows within which a detectable share raises the alarm."""
        return min(MOST_HORIZON_ROWS, self.rows_between_false_alarms)

    def rows(self, share: float) -> float:
        """Expected rows until the alarm if this share of the traffic is harmful; infinite if beyond the horizon."""
        times, values = _log_evidence(self._null, share, self.horizon_rows)
        limit = np.log(self.rows_between_false_alarms)
        return float(np.interp(limit, values, times)) if values[-1] >= limit else math.inf

    @cached_property
    def _null(self) -> evidence.Null:
        return evidence.Null.of(self.reference_rows, self.tolerance)

    @cached_property
    def rows_at_common_share(self) -> int | None:
        """Expected rows until the alarm with COMMON_SHARE; None if it takes longer than the horizon."""
        found = self.rows(COMMON_SHARE)
        return None if found == math.inf else max(1, round(found))

    @cached_property
    def smallest_share(self) -> float | None:
        """The smallest share with an alarm within the horizon; None if there is none."""
        low, high = _LEAST_SHARE, _MOST_SHARE
        if self.rows(high) == math.inf:
            return None
        for _ in range(_HALVINGS):
            middle = (low * high) ** 0.5
            low, high = (low, middle) if self.rows(middle) < math.inf else (middle, high)
        return high

    @property
    def sentence(self) -> str:
        """The smallest share and the rows, for people."""
        if self.smallest_share is None:
            return f"score_evidence detects no harmful traffic within {self.horizon_rows:,} rows, whatever its share"
        sentence = (
            f"score_evidence detects harmful traffic from a share of about {self.smallest_share:.2g} on, within "
            f"{self.horizon_rows:,} rows"
        )
        rows = self.rows_at_common_share
        if rows is None:
            return sentence
        most = _rounded(MOST_TIMES * rows)
        return f"{sentence}; a share of {COMMON_SHARE:g} after about {_rounded(rows)} to {most} rows"

    @property
    def warning(self) -> str | None:
        """The remedies if the smallest share is above COMMON_SHARE; None otherwise."""
        if self.smallest_share is not None and self.smallest_share <= COMMON_SHARE:
            return None
        remedies = []
        more = Detectable(GOOD_REFERENCE_ROWS, self.tolerance, self.rows_between_false_alarms)
        if self._is_improved_by(more):
            missing = GOOD_REFERENCE_ROWS - self.reference_rows
            remedies.append(
                f"add normal rows to the reference (`harmgauge reference --more {missing}`: from "
                f"{more.smallest_share:.2g} on)"
            )
        strict = Detectable(self.reference_rows, 0, self.rows_between_false_alarms)
        if self._is_improved_by(strict):
            remedies.append(
                f"lower HARMGAUGE_TOLERANCE from {self.tolerance:g} (at 0: from {strict.smallest_share:.2g} on)"
            )
        if not remedies:
            remedies.append("lower HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS")
        return f"a share of {COMMON_SHARE:g} may never raise the alarm of score_evidence: {', or '.join(remedies)}"

    def _is_improved_by(self, other: Detectable) -> bool:
        if other.smallest_share is None:
            return False
        return self.smallest_share is None or other.smallest_share < 0.9 * self.smallest_share


def _log_evidence(null: evidence.Null, share: float, most_rows: int) -> tuple[Float64, Float64]:
    """Row numbers up to `most_rows`, and the highest log evidence expected by then, each (times,)."""
    gaps = null.reference_rows + 1
    size = evidence.half_lines(null.reference_rows)[:, None, None]
    inside = share + (1 - share) * size / gaps
    times = np.unique(np.rint(np.append(0, np.geomspace(1, most_rows, _TIMES))))
    urn = (size + inside * times) / (gaps + times)
    urn = urn + null.tolerance * (1 - urn)
    allowed = np.stack([urn, np.broadcast_to(null.bounds[:LEVELS, None, None], urn.shape)])  # (2, LEVELS, 1, times)
    lost = np.log1p(-STAKES)[:, None]
    won = np.log(1 - STAKES[:, None] + STAKES[:, None] / allowed)
    drift = inside * won + (1 - inside) * lost
    noise = inside * (1 - inside) * (won - lost) ** 2
    steps = np.diff(times)
    start = np.zeros((*drift.shape[:-1], 1))
    walk = np.concatenate([start, np.cumsum((drift[..., 1:] + drift[..., :-1]) / 2 * steps, axis=-1)], axis=-1)
    joined = np.logaddexp(-walk[..., 1:], -walk[..., :-1]) + np.log(steps / 2)
    wealth = walk[..., 1:] + np.logaddexp.accumulate(joined, axis=-1) + _log_noise(drift, noise)[..., 1:]
    weight = UPPER_WEIGHT * LEVEL_WEIGHTS / (2 * len(STAKES))
    wealth = wealth + np.log(weight)[:, None, None]
    total = np.logaddexp.reduce(wealth.reshape(-1, len(steps)), axis=0)
    return times[1:], np.maximum.accumulate(total)


def _log_noise(drift: Float64, noise: Float64) -> Float64:
    """log(x) - digamma(x) for x = 2 drift / noise, and 0 for a walk that falls."""
    x = np.maximum(2 * drift / noise, 1e-3)
    y = x + 3  # digamma(x + 1) = digamma(x) + 1 / x; beyond 3, two terms of its asymptotic series do
    digamma = np.log(y) - 1 / (2 * y) - 1 / (12 * y**2) - 1 / x - 1 / (x + 1) - 1 / (x + 2)
    found: Float64 = np.where(drift > 0, np.minimum(np.log(x) - digamma, _MOST_LOG_NOISE), 0.0)
    return found


def _rounded(rows: float) -> str:
    """Two digits, for people."""
    return f"{float(f'{rows:.1e}'):,.0f}"
