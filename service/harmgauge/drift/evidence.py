"""Sequential evidence that scores no longer follow the reference's distribution: a KS test by betting.

A Shiryaev-Roberts e-detector over the conformal null (Shin, Ramdas and Rinaldo, E-detectors, 2022; Vovk, Testing
randomness online, arXiv 1906.09256). For every half-line of the reference's ranks and every stake, a gambler bets that
the next score falls into it more often than the ranks imply, and with every score one more such gambler joins; their
mean wealth is the evidence. Without a change its expected growth is one per score, for any continuous distribution and
any finite reference, so an alarm at `evidence >= r` comes, on average, no earlier than after r scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
Direction = Literal["higher", "lower"]

LEVELS = 8
"""The half-lines contain a share of 2 ** -1 to 2 ** -LEVELS of the reference, at its upper and at its lower end."""

STAKES: Scores = np.array([0.01, 0.025, 0.06, 0.12, 0.25, 0.5])
"""Shares of its wealth that a gambler stakes on each score."""

MAX_BLOCKS = 32
"""Gains lie between 1/2 and about 130: the product of this many stays well within float64."""

MOST = 1e300
"""Keeps the evidence finite, however long it goes unread."""


class Ranks:
    """Ranks of scores among the reference's, with ties broken at random: once for each reference score, anew for other
    scores.

    `reference` (n,) is float64, sorted and finite. `gaps` returns whole numbers 0..n: the number of reference scores
    below each score.
    """

    def __init__(self, reference: Scores, random: np.random.Generator) -> None:
        self._random = random
        self._values, groups = np.unique(reference, return_inverse=True)
        # A tied score's place among equal scores is a random fraction; a score between two values has a whole place.
        self._places = np.sort(groups + random.uniform(1e-12, 1, len(reference)))

    def gaps(self, scores: Scores) -> npt.NDArray[np.intp]:
        index = np.searchsorted(self._values, scores)
        tied = self._values[np.minimum(index, len(self._values) - 1)] == scores
        places = index + tied * self._random.random(len(scores))
        found: npt.NDArray[np.intp] = np.searchsorted(self._places, places)
        return found


@dataclass(frozen=True)
class Evidence:
    """The gamblers' wealth R (2 * LEVELS, stakes) and the urn: of the `rows` rank gaps so far, `counts` (2 * LEVELS,)
    lie in each half-line, the upper ones first.
    """

    wealth: Scores
    counts: Scores
    rows: float

    @property
    def value(self) -> float:
        return float(self.wealth.mean())

    @property
    def direction(self) -> Direction:
        """The direction in which scores moved, if they did: the side whose gamblers have more wealth."""
        upper, lower = self.wealth[:LEVELS].sum(), self.wealth[LEVELS:].sum()
        return "higher" if upper >= lower else "lower"


def half_lines(reference_rows: int) -> npt.NDArray[np.intp]:
    """How many of the n + 1 rank gaps the half-line of each level contains, (LEVELS,), at least one each."""
    gaps = reference_rows + 1
    sizes: npt.NDArray[np.intp] = np.maximum(1, np.rint(gaps * 0.5 ** np.arange(1, LEVELS + 1))).astype(np.intp)
    return sizes


def start(reference_rows: int) -> Evidence:
    """No evidence, and an urn with only the reference."""
    sizes = half_lines(reference_rows)
    return Evidence(
        np.zeros((2 * LEVELS, len(STAKES))), np.concatenate([sizes, sizes]).astype(float), reference_rows + 1
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


def bet(before: Evidence, inside: Scores, rows: Scores, tolerance: float) -> tuple[Evidence, Scores]:
    """Update the evidence with some blocks; returns it, and its value after each block, (blocks,).

    Block i has `rows[i]` scores, of which `inside[i]` (2 * LEVELS,) lie in each half-line. The bet is on the block's
    mean, so it is valid for any dependence within the block. `tolerance` is the share of the traffic that may be
    arbitrary without counting as evidence. Accepts at most MAX_BLOCKS at a time, because it multiplies their gains
    before it sums.

    In words: share N / M of the urn; allowed = share + tolerance * (1 - share); R becomes (R + rows) * (1 - stake +
    stake * mean(inside) / allowed), then the block is added to N and M.
    """
    counts = before.counts + np.cumsum(inside, axis=0)
    total = before.rows + np.cumsum(rows)
    share = (counts - inside) / (total - rows)[:, None]
    allowed = share + tolerance * (1 - share)
    gain = 1 - STAKES + STAKES * (inside / rows[:, None] / allowed)[:, :, None]
    product = np.cumprod(gain, axis=0)
    joined = np.cumsum(rows[:, None, None] * gain / product, axis=0)
    with np.errstate(over="ignore"):
        wealth = np.minimum(product * (before.wealth + joined), MOST)
    return Evidence(wealth[-1], counts[-1], float(total[-1])), wealth.mean(axis=(1, 2))
