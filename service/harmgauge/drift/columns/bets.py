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

from harmgauge.bundle.order_statistics import JITTER_BITS, Boundaries, keys_of

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

STAKES: Float64 = np.array([0.03, 0.1, 0.3])
"""Shares of its wealth that a gambler stakes on each block."""

MOST = 1e30
"""Keeps wealth finite, however long it grows."""

_STAKES = STAKES.astype(np.float32)[:, None, None]
_KEPT = 1 - _STAKES
"""A gambler's wealth is multiplied by stake * ratio + (1 - stake)."""

_PIECE_ROWS = 64
"""Rows compared at a time. Hits of this many can be counted in 8 bits."""

_PIECE_NUMBERS = 2**17
"""Gains computed at a time stay within a processor's cache."""


@dataclass
class Bets:
    """The gamblers' wealth (stakes, 2 * levels, T) float32 on T variables; of the `rows` (T,) rank gaps so far,
    `counts` (2 * levels, T) lie in each half-line, those of the reference included.

    The arrays belong to this object, which changes them.
    """

    boundaries: Boundaries
    wealth: Float32
    counts: Float64
    rows: Float64

    def __post_init__(self) -> None:
        # Memory for results in between: new memory would take longer than the computation.
        cells = self.counts.shape
        self._gain = np.empty((max(1, _PIECE_NUMBERS // max(1, self.wealth.size)), *self.wealth.shape), np.float32)
        self._wide = np.empty((_PIECE_ROWS, *cells))
        self._is_above = np.empty((_PIECE_ROWS, cells[0] * cells[1]), np.bool_)

    @classmethod
    def start(cls, boundaries: Boundaries) -> Bets:
        """No evidence, and an urn with only the reference."""
        counts = boundaries.sizes
        wealth = np.zeros((len(STAKES), *counts.shape), np.float32)
        return cls(boundaries, wealth, counts, boundaries.rows.astype(np.float64) + 1)

    @property
    def evidence(self) -> Float64:
        """The mean wealth of each variable's gamblers, (T,)."""
        found: Float64 = self.wealth.mean(axis=(0, 1), dtype=np.float64)
        return found

    def bet(self, values: Float64, rows: npt.NDArray[np.intp], tolerance: float, random: np.random.Generator) -> None:
        """Bet on some blocks, one after another: `values` (n, T) are those of all blocks, concatenated, in which NaN is
        not seen; `rows` (k,) is the size of each block, at least one.

        A bet is on the mean of the block's known values, so it is valid for any dependence within the block.
        `tolerance` is the share of the traffic that may be arbitrary without counting as evidence.
        """
        if not values.shape[1]:
            return
        keys = keys_of(values, _jitters(values.shape, random))
        ends = np.cumsum(rows)
        known = _known(keys, rows)
        most_blocks = len(self._gain)
        with np.errstate(over="ignore"):
            for first in range(0, len(rows), most_blocks):
                some = slice(first, first + most_blocks)
                own = keys[ends[first] - rows[first] : ends[some][-1]]
                self._bet(self._hits(own, rows[some], known[some]), known[some], tolerance)
        np.minimum(self.wealth, np.float32(MOST), out=self.wealth)

    def _bet(self, hits: Float32, known: Float64, tolerance: float) -> None:
        """Bet on blocks with `hits` (k, 2 * levels, T) in each half-line among `known` (k, 1, T or 1) values."""
        gaps = self.rows + np.cumsum(known, axis=0) - known
        allowed = np.empty_like(hits)
        allowed[0] = 0
        for earlier, own, total in zip(allowed[:-1], hits, allowed[1:], strict=False):
            np.add(earlier, own, out=total)
        new = allowed[-1] + hits[-1]
        allowed += self.counts.astype(np.float32)
        allowed *= ((1 - tolerance) * known / gaps).astype(np.float32)
        if tolerance:
            allowed += (tolerance * known).astype(np.float32)
        if not (is_seen := known > 0).all():
            # With a ratio of 1, nothing is won or lost.
            np.copyto(hits, 1, where=~is_seen)
            np.copyto(allowed, 1, where=~is_seen)
        self.counts += new
        self.rows = gaps[-1, 0] + known[-1, 0]
        gain = self._gain[: len(hits)]
        np.multiply(_STAKES, np.divide(hits, allowed, out=hits)[:, None], out=gain)
        gain += _KEPT
        for joining, factor in zip(known.astype(np.float32), gain, strict=True):
            self.wealth += joining
            self.wealth *= factor

    def _hits(self, keys: Float64, rows: npt.NDArray[np.intp], known: Float64) -> Float32:
        """How many of the `known` values of each block lie in each half-line, (k, 2 * levels, T)."""
        levels = self.boundaries.levels
        hits = np.zeros((len(rows), *self.counts.shape), np.float32)
        flat = hits.reshape(len(rows), -1)
        ends = np.cumsum(rows)
        block = 0
        for begin in range(0, len(keys), _PIECE_ROWS):
            above = self._above(keys[begin : begin + _PIECE_ROWS])
            end = begin + len(above)
            if len(keys) == len(rows):
                flat[begin:end] = above
                continue
            at = begin
            while at < end:
                stop = min(end, int(ends[block]))
                # A fifth of the time of np.add.reduceat.
                flat[block] += np.add.reduce(above[at - begin : stop - begin], axis=0, dtype=np.uint8)
                block += stop == ends[block]
                at = stop
        np.subtract(known, hits[:, levels:], out=hits[:, levels:], casting="same_kind")
        return hits

    def _above(self, keys: Float64) -> npt.NDArray[np.uint8]:
        """1 if a key (n, T) lies above a boundary, otherwise 0, (n, 2 * levels * T); valid until the next call."""
        bounds = self.boundaries.keys
        # Comparisons with a copy for each boundary take less time than comparisons that broadcast.
        wide, above = self._wide[: len(keys)], self._is_above[: len(keys)]
        wide[:] = keys[:, None, :]
        np.greater(wide.reshape(len(keys), -1), bounds.reshape(-1), out=above)
        return above.view(np.uint8)


def _jitters(shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.uint64]:
    """Random bits for values (n, T): the sum of a number for the row and one for the variable, which wraps.

    Those of a variable are independent of each other, and so are those of a row.
    """
    rows, variables = (random.integers(0, 2**JITTER_BITS, size, np.uint64) for size in shape)
    found: npt.NDArray[np.uint64] = (rows[:, None] + variables) & np.uint64(2**JITTER_BITS - 1)
    return found


def _known(keys: Float64, rows: npt.NDArray[np.intp]) -> Float64:
    """How many values of each block are known, (k, 1, T), or (k, 1, 1) if all are."""
    known = rows[:, None, None].astype(np.float64)
    missing = np.isnan(keys)
    if missing.any():
        known = known - np.add.reduceat(missing, np.cumsum(rows) - rows, axis=0, dtype=np.float64)[:, None]
    return known
