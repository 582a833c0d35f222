"""The normal state of one source: upper bounds on its shares beyond ranks of the reference, from its first rows.

A source may differ from the traffic as a whole without any change, so it is compared with its own beginning instead.
Its first rows, worth `ROWS` independent ones, are counted in the half-lines of the reference. If those rows were
normal, Clopper-Pearson bounds on its share of each half-line follow from the counts: a near one, which does not hold
with a probability of up to NEAR_ERROR, and a far one. All far ones hold together with probability 1 - ERROR for each
source.

The evidence against a share is an e-value of the baseline times the wealth of bets on later requests. The e-value is
`WORTH[0]` for a share up to the near bound, and `WORTH[1]` for one above it: its expectation is at most 1, because the
share is above the near bound with a probability of at most NEAR_ERROR. So bets against the near bound count
`WORTH[0]` times, those against the far one `WORTH[1]` times, and the lesser of both is evidence against every share up
to the far bound.

Rows of one request may resemble each other. They are then worth fewer independent rows: their number divided by the
design effect (Kish, Survey Sampling, 1965), which is estimated from the same requests.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harmgauge.drift.share_bounds import upper_bounds
from harmgauge.drift.sources.columns import HALF_LINES, Columns

Float64 = npt.NDArray[np.float64]
Whole = npt.NDArray[np.intp]

ROWS = 500
"""Independent rows that a baseline is worth."""

ERROR = 1e-4
"""Probability, for each source, that any of its far bounds does not hold."""

NEAR_ERROR = 0.005
"""Probability that the near bound on a share does not hold."""

_NEAR_PART = 0.8
WORTH: Float64 = np.array([_NEAR_PART / (1 - NEAR_ERROR), (1 - _NEAR_PART) / NEAR_ERROR])
"""The e-value of the baseline, for shares below the near bound, and above."""

MOST_WEIGHT = 32
"""A larger request counts as this many rows: otherwise a single one would outweigh all others."""


def add(columns: Columns, slots: Whole, hits: Float64, rows: Float64) -> None:
    """Add one block to the baselines of `slots` (s,), each of which occurs once.

    `hits` (s, HALF_LINES) of the block's `rows` (s,) lie in each half-line.
    """
    weight = np.minimum(rows, MOST_WEIGHT)
    own = hits * (weight / rows)[:, None]
    columns.hits[slots] += own
    columns.squares[slots] += own * own
    columns.products[slots] += own * weight[:, None]
    columns.weight[slots] += weight
    columns.square[slots] += weight * weight


def independent_rows(columns: Columns, slots: Whole) -> Float64:
    """The number of independent rows that the baselines of `slots` (s,) are worth, (s,); each has a row at least.

    The design effect is the variance of the requests' hits over that of independent rows, summed over the half-lines.
    Without variance, rows of one request count as one.
    """
    weight, square = columns.weight[slots].astype(np.float64), columns.square[slots].astype(np.float64)
    share = columns.hits[slots] / weight[:, None]
    found = columns.squares[slots] - 2 * share * columns.products[slots] + share**2 * square[:, None]
    expected = (weight[:, None] * share * (1 - share)).sum(axis=1)
    varies = expected > 1e-9
    effect = np.where(varies, found.sum(axis=1) / np.where(varies, expected, 1), square / weight)
    return weight / np.maximum(effect, 1)


def settle(columns: Columns, slots: Whole, tolerance: float) -> None:
    """Complete the baselines of `slots` (s,): set their bounds, with `tolerance`, and what a row is worth."""
    columns.bounds[slots] = bounds(columns, slots, tolerance)
    columns.independent[slots] = independent_rows(columns, slots) / columns.weight[slots]
    columns.is_settled[slots] = True


def bounds(columns: Columns, slots: Whole, tolerance: float) -> Float64:
    """Bounds on the normal shares of these sources in each half-line, (s, BOUNDS, HALF_LINES), the near ones first;
    `tolerance` is included.
    """
    # As if exactly ROWS independent rows had been seen: they are worth that many at least.
    hits = np.ceil(ROWS * columns.hits[slots] / columns.weight[slots, None] - 1e-3).astype(np.intp)
    found = np.moveaxis(table()[:, np.clip(hits, 0, ROWS)], 0, 1)
    allowed: Float64 = found + tolerance * (1 - found)
    return allowed


@lru_cache(maxsize=1)
def table() -> Float64:
    """The bounds for each number of hits among ROWS rows, (BOUNDS, ROWS + 1). The first call takes tens of
    milliseconds.
    """
    hits = np.arange(1, ROWS + 1)
    return np.stack([np.append(upper_bounds(hits, ROWS, error), 1.0) for error in (NEAR_ERROR, ERROR / HALF_LINES)])
