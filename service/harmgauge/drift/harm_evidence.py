"""Sequential evidence that the mean of P(wrong) lies above a bound: a test by betting, an e-detector.

A Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo, E-detectors, 2022) over the null "given its size and all
before it, the expected mean P of each request is at most m0". A gambler for each stake bets on every request that its
mean P lies above m0, and at every row another such gambler joins in; their mean wealth is the evidence. While the null
holds, wealth minus rows so far is a supermartingale: an alarm at `evidence >= r` comes, on average, no earlier than
after r rows, and within n rows with a probability of at most n / r. Rows of one request may depend on each other in any
way, and traffic may change in any way that leaves the mean of P at m0 or below.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

STAKES: Numbers = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.7])
"""Shares of its wealth that a gambler stakes at each request."""

MOST = 1e280
"""Wealth stays a number, however long it grows."""

LEAST_BOUND = 1e-6
"""Least m0: a mean of P this small is that of a classifier which is practically never wrong."""

_MOST_BLOCKS = 500
"""A factor is at least 1 - 0.7: the product of this many stays far above the least float64."""

_MOST_DIGITS = 280
"""Most digits of a product of factors: it stays below the greatest float64, which has 308."""


def means(probabilities: npt.NDArray[np.floating], rows: npt.NDArray[np.intp]) -> Numbers:
    """Mean P of each block, (blocks,). `probabilities` (n,) are those of all blocks, one after the other; `rows`
    (blocks,) is the number of rows of each, at least one.
    """
    exact = probabilities.astype(np.float64)
    if len(rows) == len(exact):
        return exact
    found: Numbers = np.add.reduceat(exact, np.cumsum(rows) - rows) / rows
    return found


def factors(mean: Numbers, bound: float) -> Numbers:
    """By how much each block multiplies each gambler's wealth, (blocks, stakes): 1 + stake * (mean / m0 - 1)."""
    return 1 + (mean / bound - 1)[:, None] * STAKES


def blocks_at_once(bound: float) -> int:
    """How many factors can be multiplied without leaving the range of float64; a factor is at most that of P = 1."""
    greatest = 1 + float(STAKES.max()) * (1 / bound - 1)
    return max(1, min(_MOST_BLOCKS, int(_MOST_DIGITS / math.log10(greatest))))


def bet(before: Numbers, factor: Numbers, rows: npt.NDArray[np.intp], at_once: int) -> tuple[Numbers, Numbers]:
    """The wealth (stakes,) after the last of some blocks, and the evidence after each of them, (blocks,).

    `before` (stakes,) is the wealth so far, `factor` (blocks, stakes) comes from `factors`, `at_once` from
    `blocks_at_once`. Block by block, wealth becomes (wealth + rows) * factor. Here each piece of `at_once` blocks
    multiplies first and sums then; wealth above MOST is cut at the end of a piece.
    """
    wealth, values = before, np.empty(len(rows))
    for start in range(0, len(rows), at_once):
        part = slice(start, start + at_once)
        product = np.cumprod(factor[part], axis=0)
        joined = np.cumsum(rows[part, None] * factor[part] / product, axis=0)
        with np.errstate(over="ignore"):
            after = np.minimum(product * (wealth + joined), MOST)
        wealth, values[part] = after[-1], after.mean(axis=1)
    return wealth, values


def logs(factor: Numbers) -> Numbers:
    """The blocks' part of the sums of logarithms, (2, stakes): gains, ln(factor) if it is positive, and losses,
    -ln(factor) if it is negative. Their difference over replicas is the log wealth of a fleet's gambler.
    """
    log = np.log(factor)
    return np.stack([np.maximum(log, 0).sum(axis=0), np.maximum(-log, 0).sum(axis=0)])


def can_have_led_to(wealth: Numbers, rows: int) -> bool:
    """Whether `rows` rows can have led to this wealth: it needs at least one row, and the last row leaves a gambler
    with all that it did not stake.
    """
    return bool((wealth >= (1 - STAKES) * (1 - 1e-9)).all()) if rows else not wealth.any()
