"""Many streams of scores at once through `score_evidence`, each against its own reference, with the service's own
mathematics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.drift import evidence
from tests.support.scores import clean, harmful

Float64 = npt.NDArray[np.float64]
Harm = Callable[[np.random.Generator, int], Float64]

_ROWS_AT_ONCE = 8
"""With 200 streams, the arrays of a step then have 2 MB."""

_ONE_EACH = np.ones(_ROWS_AT_ONCE)


@dataclass(frozen=True)
class Streams:
    """`count` seeded streams of single rows of clean scores, of which a share turns harmful; each has a reference of
    `reference_rows` clean scores. `share` is the harmful share of each row, from the first row on: a number, or a
    function of the rows' indices. `harm` draws harmful scores.
    """

    reference_rows: int
    share: float | Callable[[npt.NDArray[np.intp]], Float64]
    count: int
    tolerance: float = 0.0
    between: float = 1e6
    most_rows: int = 20_000
    seed: int = 0
    clean_rows: int = 0
    """Clean rows before the first that may be harmful. They are bet on, and enter the urn."""

    harm: Harm = harmful

    def rows_to_alarm(self, *, with_fixed: bool = True) -> Float64:
        """Rows until the alarm, (count,), infinite for a stream without one; counted from the first that may be
        harmful.

        Without the fixed bets, those on the urn have all of the initial wealth.
        """
        random = np.random.default_rng(self.seed)
        null = evidence.Null.of(self.reference_rows, self.tolerance)
        if not with_fixed:
            null = replace(null, bounds=np.full_like(null.bounds, np.inf))
        limit = self.between if with_fixed else self.between / 2
        bounds = self._boundaries(random)
        state, alive = evidence.start(self.reference_rows, (self.count,)), np.arange(self.count)
        found = np.full(self.count, np.inf)
        for begin in range(0, self.clean_rows + self.most_rows, _ROWS_AT_ONCE):
            inside = self._inside(random, begin, bounds[:, alive])
            state, values = evidence.bet(state, inside, _ONE_EACH, null)
            over = values >= limit
            alarmed = over.any(axis=0)
            found[alive[alarmed]] = begin + 1 + over.argmax(axis=0)[alarmed] - self.clean_rows
            state = evidence.Evidence(state.wealth[~alarmed], state.counts[~alarmed], state.rows)
            alive = alive[~alarmed]
            if not len(alive):
                break
        found[found > self.most_rows] = np.inf
        return found

    def highest(self) -> Float64:
        """The highest evidence of each stream in `most_rows`, (count,)."""
        random = np.random.default_rng(self.seed)
        null, bounds = evidence.Null.of(self.reference_rows, self.tolerance), self._boundaries(random)
        state, found = evidence.start(self.reference_rows, (self.count,)), np.zeros(self.count)
        for begin in range(0, self.most_rows, _ROWS_AT_ONCE):
            state, values = evidence.bet(state, self._inside(random, begin, bounds), _ONE_EACH, null)
            found = np.maximum(found, values.max(axis=0))
        return found

    def _boundaries(self, random: np.random.Generator) -> Float64:
        """The scores that bound the half-lines of each stream's reference, (2, count, LEVELS): those above the upper
        ones and those not above the lower ones are inside.
        """
        sizes = evidence.half_lines(self.reference_rows)
        found = np.empty((2, self.count, evidence.LEVELS))
        for stream in range(self.count):
            reference = np.sort(clean(random, self.reference_rows))
            found[:, stream] = reference[self.reference_rows - sizes], reference[sizes - 1]
        return found

    def _inside(self, random: np.random.Generator, begin: int, bounds: Float64) -> Float64:
        """The next scores of each stream: whether each half-line contains them, (rows, streams, 2 * LEVELS)."""
        shape = _ROWS_AT_ONCE, bounds.shape[1]
        scores = clean(random, shape[0] * shape[1]).reshape(shape)
        index = begin + np.arange(_ROWS_AT_ONCE) - self.clean_rows
        share = self.share(index) if callable(self.share) else np.where(index < 0, 0, self.share)
        bad = random.random(shape) < share[:, None]
        scores[bad] = self.harm(random, int(bad.sum()))
        column = scores[..., None]
        return np.concatenate([column > bounds[0], column <= bounds[1]], axis=-1).astype(np.float64)


def found_and_median(rows: npt.NDArray[Any]) -> tuple[float, float]:
    """The share of streams with an alarm, and the median of their rows to it."""
    ended = np.isfinite(rows)
    return float(ended.mean()), float(np.median(rows[ended])) if ended.any() else float("inf")
