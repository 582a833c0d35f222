"""Sequential evidence that scores no longer follow the reference's distribution: a KS test by betting.

A Shiryaev-Roberts e-detector over the conformal null (Shin, Ramdas and Rinaldo, E-detectors, 2022; Vovk, Testing
randomness online, arXiv 1906.09256). For every half-line of the reference's ranks and every stake, a gambler bets that
the next score falls into it more often than the ranks imply, and with every score one more such gambler joins; their
mean wealth is the evidence. There are two kinds of gamblers.

*Urn*: bets against the share of the half-line among the reference and all scores so far. Without a change these bets
are fair, for any continuous distribution and any finite reference. But scores that change slowly enter the urn that
they are compared with, and a small urn is soon full of them.

*Fixed*: bets against an upper bound on the traffic's share of the half-line, from the reference alone. All bounds hold
together with probability 1 - ERROR, over the luck of the reference; while they hold, these bets do not gain.

So P(alarm at `evidence >= r` within n scores) <= n / r + ERROR without a change. The proof is in `docs/drift.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from harmgauge.drift.share_bounds import upper_bounds

Scores = npt.NDArray[np.float64]
Direction = Literal["higher", "lower"]

LEVELS = 8
"""The half-lines contain a share of 2 ** -1 to 2 ** -LEVELS of the reference, at its upper and at its lower end."""

STAKES: Scores = np.array([0.01, 0.025, 0.06, 0.12, 0.25, 0.5])
"""Shares of its wealth that a gambler stakes on each score."""

UPPER_WEIGHT = 0.8
"""Weight of the upper half-lines in the evidence: harm raises scores. Lower scores then need ln(0.5 / 0.2) = 0.9 more
log evidence than with equal weights.
"""

LEVEL_WEIGHTS: Scores = np.array([1, 1, 1, 2, 2, 2, 2, 2]) / 13
"""Weight of each level's half-line on one side: a small share of harmful traffic is seen best in the tails."""

HALF_LINE_WEIGHTS: Scores = np.concatenate([UPPER_WEIGHT * LEVEL_WEIGHTS, (1 - UPPER_WEIGHT) * LEVEL_WEIGHTS])
"""Weights of all half-lines, (2 * LEVELS,), the upper ones first; their sum is 1."""

_STAKED: Scores = np.tile(STAKES, 4 * LEVELS)
"""The stakes of all gamblers, in the order of `Evidence.wealth`."""

_WEIGHTS: Scores = np.tile(np.repeat(HALF_LINE_WEIGHTS, len(STAKES)), 2) / (2 * len(STAKES))
"""Weights of all gamblers, in the order of `Evidence.wealth`; their sum is 1."""

MAX_BLOCKS = 32
"""Few enough that their wealth stays in the processor's cache."""

ERROR = 0.01
"""Probability, over the luck of the reference, that any of the fixed bounds does not hold."""

MOST = 1e300
"""Keeps the evidence finite, however long it goes unread."""


class Ranks:
    """Ranks of scores among the reference's, with ties broken at random: once for each reference score, anew for other
    scores.

    `reference` (n,) is float64, sorted and finite. `ties` breaks those among reference scores; by default, `random`
    breaks all. `gaps` returns whole numbers 0..n: the number of reference scores below each score.
    """

    def __init__(self, reference: Scores, random: np.random.Generator, ties: np.random.Generator | None = None) -> None:
        self._random = random
        self._values, groups = np.unique(reference, return_inverse=True)
        # A tied score's place among equal scores is a random fraction; a score between two values has a whole place.
        self._places = np.sort(groups + (ties or random).uniform(1e-12, 1, len(reference)))

    def gaps(self, scores: Scores) -> npt.NDArray[np.intp]:
        index = np.searchsorted(self._values, scores)
        tied = self._values[np.minimum(index, len(self._values) - 1)] == scores
        places = index + tied * self._random.random(len(scores))
        found: npt.NDArray[np.intp] = np.searchsorted(self._places, places)
        return found


@dataclass(frozen=True)
class Null:
    """The hypothesis that the bets are against: `tolerance` is the share of the traffic that may be arbitrary without
    counting as evidence, and `bounds` (2 * LEVELS,) the largest share of the traffic in each half-line that the fixed
    bets allow, tolerance included.
    """

    reference_rows: int
    tolerance: float
    bounds: Scores

    @classmethod
    def of(cls, reference_rows: int, tolerance: float) -> Self:
        """The bounds for a reference of this size."""
        shares = _largest_shares(reference_rows)
        return cls(reference_rows, tolerance, _with_tolerance(np.concatenate([shares, shares]), tolerance))


@lru_cache(maxsize=16)  # a shadow or a swap with the same reference needs them again
def _largest_shares(reference_rows: int) -> Scores:
    """Bounds on the traffic's share of each half-line on one side, (LEVELS,), without tolerance."""
    return upper_bounds(half_lines(reference_rows), reference_rows, ERROR / (2 * LEVELS))


@dataclass(frozen=True)
class Evidence:
    """The gamblers' wealth R (2, 2 * LEVELS, stakes), urn before fixed, and the urn: of the `rows` rank gaps so far,
    `counts` (2 * LEVELS,) lie in each half-line, the upper ones first.

    Independent streams of equal length may be stacked: `wealth` and `counts` then have the same leading axes.
    """

    wealth: Scores
    counts: Scores
    rows: float

    @property
    def value(self) -> float:
        return float(_mean(self.wealth))

    @property
    def direction(self) -> Direction:
        """The direction in which scores moved, if they did: the side whose gamblers have more wealth."""
        upper, lower = self.wealth[:, :LEVELS].sum(), self.wealth[:, LEVELS:].sum()
        return "higher" if upper >= lower else "lower"


def half_lines(reference_rows: int) -> npt.NDArray[np.intp]:
    """How many of the n + 1 rank gaps the half-line of each level contains, (LEVELS,), at least one each."""
    gaps = reference_rows + 1
    sizes: npt.NDArray[np.intp] = np.maximum(1, np.rint(gaps * 0.5 ** np.arange(1, LEVELS + 1))).astype(np.intp)
    return sizes


def start(reference_rows: int, streams: tuple[int, ...] = ()) -> Evidence:
    """No evidence, and an urn with only the reference; of one stream, or of as many as the product of `streams`."""
    sizes = half_lines(reference_rows)
    counts = np.concatenate([sizes, sizes]).astype(float)
    return Evidence(
        np.zeros((*streams, 2, 2 * LEVELS, len(STAKES))),
        np.broadcast_to(counts, (*streams, 2 * LEVELS)),
        reference_rows + 1,
    )


def can_have_led_to(held: Evidence, reference_rows: int) -> bool:
    """Whether scores can have produced this urn: each score in a half-line also lies in all larger ones on its side,
    and wealth requires at least one score.
    """
    fresh = start(reference_rows)
    added = (held.counts - fresh.counts).reshape(2, LEVELS)
    is_whole = bool((added == np.rint(added)).all())
    return is_whole and bool((np.diff(added) <= 0).all()) and (held.rows > fresh.rows or not held.wealth.any())


def hits(gaps: npt.NDArray[np.intp], rows: npt.NDArray[np.intp], reference_rows: int) -> Scores:
    """How many of each block's gaps lie in each half-line, (blocks, 2 * LEVELS).

    `gaps` are those of all blocks, concatenated; `rows` (blocks,) is the size of each block, at least one.
    """
    sizes = half_lines(reference_rows)
    column = gaps[:, None]
    inside = np.concatenate([column > reference_rows - sizes, column < sizes], axis=1)
    return np.add.reduceat(inside, np.cumsum(rows) - rows, axis=0, dtype=np.float64)


def bet(before: Evidence, inside: Scores, rows: Scores, null: Null) -> tuple[Evidence, Scores]:
    """Update the evidence with some blocks; returns it, and its value after each block, (blocks,).

    Block i has `rows[i]` scores, of which `inside[i]` (2 * LEVELS,) lie in each half-line. The bet is on the block's
    mean, so it is valid for any dependence within the block. Accepts at most MAX_BLOCKS at a time, because it bounds
    the wealth only afterwards. For stacked streams, `inside` is (blocks, ..., 2 * LEVELS) and the values are
    (blocks, ...).

    In words: share N / M of the urn; allowed = share + tolerance * (1 - share), or the fixed bound; R becomes
    (R + rows) * (1 - stake + stake * mean(inside) / allowed), then the block is added to N and M.
    """
    column = rows.reshape(-1, *[1] * before.counts.ndim)
    counts = before.counts + np.cumsum(inside, axis=0)
    total = before.rows + np.cumsum(column, axis=0)
    urn = _with_tolerance((counts - inside) / (total - column), null.tolerance)
    mean = inside / column
    # The gains of all gamblers in one axis, which numpy works through fastest, become the wealth after each block.
    wealth = np.concatenate([mean / urn, mean / null.bounds], axis=-1).repeat(len(STAKES), axis=-1)
    wealth *= _STAKED
    wealth += 1 - _STAKED
    last = before.wealth.reshape(*before.wealth.shape[:-3], -1)
    with np.errstate(over="ignore"):
        for gain, size in zip(wealth, rows.tolist(), strict=True):
            last = np.multiply(gain, last + size, out=gain)
    np.minimum(wealth, MOST, out=wealth)
    return Evidence(last.reshape(before.wealth.shape).copy(), counts[-1], float(total.flat[-1])), wealth @ _WEIGHTS


def _mean(wealth: Scores) -> Scores:
    """The weighted mean over gamblers, the last three axes."""
    found: Scores = wealth.reshape(*wealth.shape[:-3], -1) @ _WEIGHTS
    return found


def _with_tolerance(share: Scores, tolerance: float) -> Scores:
    return share + tolerance * (1 - share)
