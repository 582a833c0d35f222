"""Sequential evidence that the mean of P(wrong) exceeds a bound: an e-detector, which is a test by betting.

A Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo, E-detectors, 2022) over the null "given its size and all
earlier requests, the expected mean P of each request is at most m0". For each stake, a gambler bets on every request
that its mean P exceeds m0, and with every row one more such gambler joins; their mean wealth is the evidence. While the
null holds, wealth minus rows so far is a supermartingale: an alarm at `evidence >= r` comes, on average, no earlier
than after r rows, and within n rows with a probability of at most n / r. The rows of a request may be correlated in any
way, and traffic may change in any way that keeps the mean of P at m0 or below.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

STAKES: Numbers = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.7])
"""Shares of its wealth that a gambler stakes on each request."""

MOST = 1e280
"""Keeps wealth finite, however long it grows."""

LEAST_BOUND = 1e-6
"""Least m0: a classifier with such a small mean P is practically never wrong."""

_MOST_BLOCKS = 500
"""A factor is at least 1 - 0.7: the product of this many stays far above the smallest float64."""

_MOST_DIGITS = 280
"""Maximum number of digits of a product of factors, which stays below the largest float64, with 308."""


def means(probabilities: npt.NDArray[np.floating], rows: npt.NDArray[np.intp]) -> Numbers:
    """Mean P of each block, (blocks,).

    `probabilities` (n,) are those of all blocks, concatenated; `rows` (blocks,) is the number of rows of each, at least
    one.
    """
    exact = probabilities.astype(np.float64)
    if len(rows) == len(exact):
        return exact
    found: Numbers = np.add.reduceat(exact, np.cumsum(rows) - rows) / rows
    return found


def factors(mean: Numbers, bound: float) -> Numbers:
    """Factor by which each block multiplies each gambler's wealth, (blocks, stakes): 1 + stake * (mean / m0 - 1)."""
    return 1 + (mean / bound - 1)[:, None] * STAKES


def blocks_at_once(bound: float) -> int:
    """How many factors can be multiplied within the range of float64; the largest possible factor is that of P = 1."""
    greatest = 1 + float(STAKES.max()) * (1 / bound - 1)
    return max(1, min(_MOST_BLOCKS, int(_MOST_DIGITS / math.log10(greatest))))


def bet(before: Numbers, factor: Numbers, rows: npt.NDArray[np.intp], at_once: int) -> tuple[Numbers, Numbers]:
    """Update the wealth with some blocks; returns it, (stakes,), and the evidence after each block, (blocks,).

    `before` (stakes,) is the wealth so far, `factor` (blocks, stakes) comes from `factors`, `at_once` from
    `blocks_at_once`. Block by block, wealth becomes (wealth + rows) * factor. Here, each piece of `at_once` blocks is
    multiplied first and then summed; wealth above MOST is clipped at the end of a piece.
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
    """What the blocks add to the sums of logarithms, (2, stakes): gains, ln(factor) if it is positive, and losses,
    -ln(factor) if it is negative.

    Their difference, summed over replicas, is the log wealth of a fleet's gambler.
    """
    log = np.log(factor)
    return np.stack([np.maximum(log, 0).sum(axis=0), np.maximum(-log, 0).sum(axis=0)])


def can_have_led_to(wealth: Numbers, rows: int) -> bool:
    """Whether `rows` rows can have produced this wealth: it requires at least one row, and after the last row a gambler
    still has everything that it did not stake.
    """
    return bool((wealth >= (1 - STAKES) * (1 - 1e-9)).all()) if rows else not wealth.any()
