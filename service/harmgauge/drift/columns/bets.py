"""Sequential evidence that single variables have changed: exact rank bets on many of them at once.

For each variable, half-line and stake, a gambler bets on every block of rows that its values fall into the half-line
more often than the ranks of the reference and of all earlier rows imply, and with every row one more such gambler
joins: a Shiryaev-Roberts e-detector over the conformal null, as in `drift/evidence.py`. So while nothing changes, each
variable's evidence minus its rows so far is a supermartingale.

Half-lines are bounded by order statistics of the reference (`bundle/order_statistics.py`). Betting on whether a value
is, say, a category against that category's share of the reference would not be exact: the share depends on the luck of
the reference. So "is it" is the number 1, "is it not" is 0, and ties are broken at random like all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.order_statistics import Boundaries

Float64 = npt.NDArray[np.float64]

STAKES: Float64 = np.array([0.03, 0.1, 0.3])
"""Shares of its wealth that a gambler stakes on each block."""

MOST = 1e280
"""Keeps wealth finite, however long it grows."""

_GAINS = np.stack([STAKES, 1 - STAKES], axis=1)
"""A gambler's wealth is multiplied by stake * ratio + (1 - stake)."""

_PIECE_ROWS = 255
"""Hits of this many rows can be counted in 8 bits."""

_PIECE_NUMBERS = 2**17
"""Gains computed at a time stay within a processor's cache, and their product within float64."""


@dataclass
class Bets:
    """The gamblers' wealth (stakes, 2 * levels, T) on T variables; of the `rows` (T,) rank gaps so far, `counts`
    (2 * levels, T) lie in each half-line, those of the reference included.

    The arrays belong to this object, which changes them.
    """

    boundaries: Boundaries
    wealth: Float64
    counts: Float64
    rows: Float64

    @classmethod
    def start(cls, boundaries: Boundaries) -> Bets:
        """No evidence, and an urn with only the reference."""
        counts = boundaries.sizes
        wealth = np.zeros((len(STAKES), *counts.shape))
        return cls(boundaries, wealth, counts, boundaries.rows.astype(np.float64) + 1)

    @property
    def evidence(self) -> Float64:
        """The mean wealth of each variable's gamblers, (T,)."""
        found: Float64 = self.wealth.mean(axis=(0, 1))
        return found

    def bet(self, values: Float64, rows: npt.NDArray[np.intp], tolerance: float, random: np.random.Generator) -> None:
        """Bet on some blocks, one after another: `values` (n, T) are those of all blocks, concatenated, in which NaN is
        not seen; `rows` (k,) is the size of each block, at least one.

        A bet is on the mean of the block's known values, so it is valid for any dependence within the block.
        `tolerance` is the share of the traffic that may be arbitrary without counting as evidence.
        """
        if not values.shape[1]:
            return
        most_blocks = max(1, _PIECE_NUMBERS // self.wealth.size)
        ends = np.cumsum(rows)
        first = 0
        while first < len(rows):
            begin = ends[first] - rows[first]
            last = int(np.searchsorted(ends, begin + _PIECE_ROWS, side="right"))
            last = max(first + 1, min(last, first + most_blocks))
            self._bet(*self._hits(values[begin : ends[last - 1]], rows[first:last], random), tolerance)
            first = last
        np.minimum(self.wealth, MOST, out=self.wealth)

    def _bet(self, hits: Float64, known: Float64, tolerance: float) -> None:
        """Bet on blocks with `hits` (k, 2 * levels, T) in each half-line among `known` (k, 1, T or 1) values."""
        counts, rows = np.cumsum(hits, axis=0), np.cumsum(known, axis=0)
        counts += self.counts
        rows = rows + self.rows
        allowed = counts - hits
        allowed /= rows - known
        if tolerance:
            allowed *= 1 - tolerance
            allowed += tolerance
        allowed *= known
        ratio = np.ones((len(hits), 2, *hits.shape[1:]))
        # Without a known value, the ratio stays 1, so nothing is won or lost.
        np.divide(hits, allowed, out=ratio[:, 0], where=True if known.all() else allowed > 0)
        gain = (_GAINS @ ratio.reshape(len(hits), 2, -1)).reshape(len(hits), *self.wealth.shape)
        with np.errstate(over="ignore"):
            for joining, own in zip(known, gain, strict=True):
                self.wealth += joining
                self.wealth *= own
        self.counts, self.rows = counts[-1], np.broadcast_to(rows[-1, 0], self.rows.shape).copy()

    def _hits(
        self, values: Float64, rows: npt.NDArray[np.intp], random: np.random.Generator
    ) -> tuple[Float64, Float64]:
        """How many values of each block lie in each half-line, (k, 2 * levels, T), and how many are known, (k, 1, T or
        1). Takes one block of any size, or several with at most _PIECE_ROWS rows together.
        """
        levels = self.boundaries.levels
        hits = np.zeros((len(rows), *self.counts.shape))
        flat = hits.reshape(len(rows), -1)
        if len(values) == len(rows):
            flat[:] = self._above(values, random)
        elif len(values) <= _PIECE_ROWS:
            above = self._above(values, random).view(np.uint8)
            ends = np.cumsum(rows)
            # A fifth of the time of np.add.reduceat.
            for own, begin, end in zip(flat, ends - rows, ends, strict=True):
                own[:] = np.add.reduce(above[begin:end], axis=0, dtype=np.uint8)
        else:
            for begin in range(0, len(values), _PIECE_ROWS):
                above = self._above(values[begin : begin + _PIECE_ROWS], random).view(np.uint8)
                flat[0] += np.add.reduce(above, axis=0, dtype=np.uint8)
        known = rows[:, None, None].astype(np.float64)
        if (missing := np.isnan(values)).any():
            starts = np.cumsum(rows) - rows
            known = known - np.add.reduceat(missing, starts, axis=0, dtype=np.float64)[:, None]
        np.subtract(known, hits[:, levels:], out=hits[:, levels:])
        return hits, known

    def _above(self, values: Float64, random: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Whether each value (n, T) lies above each boundary, (n, 2 * levels * T)."""
        # Comparisons with a copy for each boundary take half the time of comparisons that broadcast.
        wide = np.empty((len(values), *self.boundaries.values.shape))
        wide[:] = values[:, None, :]
        flat, bounds = wide.reshape(len(values), -1), self.boundaries.values.reshape(-1)
        above: npt.NDArray[np.bool_] = flat > bounds
        tied = flat == bounds
        if tied.any():
            wins = random.random((len(values), 1, values.shape[1])) > self.boundaries.jitters
            above |= tied & wins.reshape(len(values), -1)
        return above
