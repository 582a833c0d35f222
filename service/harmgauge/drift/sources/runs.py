"""Bets on the blocks of many sources at once.

Wealth depends on the order of a source's own blocks only. So blocks are grouped into runs, one for each source, and all
runs advance together, in waves: one block of each, then as many again, then twice as many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Whole = npt.NDArray[np.intp]

LONGEST_WAVE = 32
"""The product of this many factors stays within the range of float64: a factor is at least 0.05 and below 1e6."""

MOST = 1e30
"""Keeps wealth within the range of float32, in which it is stored."""


@dataclass(frozen=True)
class Runs:
    """Run i has the `counts[i]` blocks from `starts[i]` on, (runs,) each."""

    starts: Whole
    counts: Whole

    @classmethod
    def of(cls, slots: Whole) -> tuple[Self, Whole]:
        """The runs of equal numbers in `slots` (blocks,), which is sorted, and their numbers, (runs,)."""
        starts = np.flatnonzero(np.diff(slots, prepend=-1))
        return cls(starts, np.diff(starts, append=len(slots))), slots[starts]

    def waves(self) -> Iterator[tuple[Whole, Whole, npt.NDArray[np.bool_]]]:
        """Yields, until all blocks are done: the runs with blocks left, (r,); their next blocks, (r, length); and which
        of these exist, (r, length). A run that has ended is not in later waves.
        """
        done, length = 0, 1
        while len(left := np.flatnonzero(self.counts > done)):
            steps = np.arange(done, done + length)
            exists = steps < self.counts[left, None]
            yield left, np.where(exists, self.starts[left, None] + steps, 0), exists
            done += length
            length = min(done, LONGEST_WAVE)


def bet(
    before: Float64, factor: Float64, rows: Float64, runs: Runs, evidence: Callable[[Float64], Float64]
) -> tuple[Float64, Float64]:
    """Update the wealth of each run's gamblers; returns it, (runs, gamblers), and the evidence after each block,
    (blocks,), computed from wealth (..., gamblers) by `evidence`. Blocks that are in no run have no evidence, 0.

    `before` (runs, gamblers) is the wealth so far, `factor` (blocks, gamblers) that by which a block multiplies it, and
    `rows` (blocks,) the number of rows of each. Block by block, wealth becomes (wealth + rows) * factor, as in
    `harm_evidence.bet`; wealth above MOST is clipped at the end of a wave.
    """
    wealth, values = before.copy(), np.zeros(len(rows))
    for run, block, exists in runs.waves():
        own = np.where(exists[..., None], factor[block], 1.0)
        product = np.cumprod(own, axis=1)
        joined = np.cumsum(np.where(exists, rows[block], 0.0)[..., None] * own / product, axis=1)
        with np.errstate(over="ignore"):
            after = np.minimum(product * (wealth[run, None] + joined), MOST)
        wealth[run] = after[:, -1]
        values[block[exists]] = evidence(after)[exists]
    return wealth, values
