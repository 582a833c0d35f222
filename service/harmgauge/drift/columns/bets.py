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
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.order_statistics import JITTER_BITS, Boundaries, keys_of
from harmgauge.drift.columns.half_lines import HalfLines

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

_T = TypeVar("_T", bound=np.generic)

STAKES: Float64 = np.array([0.03, 0.1, 0.3])
"""Shares of its wealth that a gambler stakes on each block."""

MOST = 1e30
"""Keeps wealth finite, however long it grows."""

_STAKES = STAKES.astype(np.float32)[:, None]
_KEPT = 1 - _STAKES
"""A gambler's wealth is multiplied by stake * ratio + (1 - stake)."""

_PIECE_ROWS = 64
"""Rows compared at a time. Hits of this many can be counted in 8 bits."""

_PIECE_NUMBERS = 2**17
"""Gains computed at a time stay within a processor's cache."""


@dataclass
class Bets:
    """The gamblers' wealth (stakes, 2 h) float32 on the cells of T variables; of the `rows` (T,) rank gaps so far,
    `counts` (2 h,) lie in each, those of the reference included.

    The arrays belong to this object, which changes them.
    """

    half_lines: HalfLines
    wealth: Float32
    counts: Float64
    rows: Float64

    def __post_init__(self) -> None:
        # Memory for results in between: new memory would take longer than the computation.
        most_blocks = max(1, _PIECE_NUMBERS // max(1, self.wealth.size))
        self._gain = np.empty((most_blocks, *self.wealth.shape), np.float32)
        self._wide = np.empty((_PIECE_ROWS, self.half_lines.size))
        self._is_above = np.empty(self._wide.shape, np.bool_)

    @classmethod
    def start(cls, *groups: Boundaries) -> Bets:
        """No evidence, and an urn with only the reference. The variables are those of all groups, in order."""
        half_lines = HalfLines(*groups)
        wealth = np.zeros((len(STAKES), half_lines.size), np.float32)
        return cls(half_lines, wealth, half_lines.sizes.copy(), half_lines.rows + 1)

    @property
    def evidence(self) -> Float64:
        """The mean wealth of each variable's gamblers, (T,)."""
        upper, lower = self.half_lines.means(self.wealth)
        return (upper + lower) / 2

    def bet(self, values: Float64, rows: npt.NDArray[np.intp], tolerance: float, random: np.random.Generator) -> None:
        """Bet on some blocks, one after another: `values` (n, T) are those of all blocks, concatenated, in which NaN is
        not seen; `rows` (k,) is the size of each block, at least one.

        A bet is on the mean of the block's known values, so it is valid for any dependence within the block.
        `tolerance` is the share of the traffic that may be arbitrary without counting as evidence.
        """
        if not self.half_lines.size:
            return
        keys = keys_of(values, _jitters(values.shape, random))
        ends = np.cumsum(rows)
        known = _known(keys, rows)
        with np.errstate(over="ignore"):
            for first in range(0, len(rows), len(self._gain)):
                some = slice(first, first + len(self._gain))
                own = keys[ends[first] - rows[first] : ends[some][-1]]
                self._bet(self._hits(own, rows[some], known[some]), known[some], tolerance)
        np.minimum(self.wealth, np.float32(MOST), out=self.wealth)

    def _bet(self, hits: Float32, known: Float64, tolerance: float) -> None:
        """Bet on blocks with `hits` (k, 2 h) in each half-line among `known` (k, T or 1) values."""
        gaps = self.rows + np.cumsum(known, axis=0) - known
        allowed = np.empty_like(hits)
        allowed[0] = 0
        for earlier, own, total in zip(allowed[:-1], hits, allowed[1:], strict=False):
            np.add(earlier, own, out=total)
        new = allowed[-1] + hits[-1]
        allowed += self.counts.astype(np.float32)
        scale = ((1 - tolerance) * known / gaps).astype(np.float32)
        joining = known.astype(np.float32)
        is_seen = known > 0
        all_seen = is_seen.all()
        for view, variables in self.half_lines.views(allowed):
            np.multiply(view, scale[:, None, variables], out=view)
            np.add(view, np.float32(tolerance) * _of(joining, variables), out=view)
            if not all_seen:
                np.copyto(view, 1, where=~_of(is_seen, variables))
        if not all_seen:
            # Without a known value, the ratio is 1: nothing is won or lost.
            for view, variables in self.half_lines.views(hits):
                np.copyto(view, 1, where=~_of(is_seen, variables))
        self.counts += new
        self.rows = gaps[-1] + known[-1]
        gain = self._gain[: len(hits)]
        np.multiply(_STAKES, np.divide(hits, allowed, out=hits)[:, None], out=gain)
        gain += _KEPT
        if joining.shape[1] > 1:
            each = np.empty_like(allowed)
            for view, variables in self.half_lines.views(each):
                view[:] = _of(joining, variables)
            joining = each
        for own, factor in zip(joining, gain, strict=True):
            self.wealth += own
            self.wealth *= factor

    def _hits(self, keys: Float64, rows: npt.NDArray[np.intp], known: Float64) -> Float32:
        """How many of the `known` values of each block lie in each half-line, (k, 2 h)."""
        hits = np.zeros((len(rows), self.half_lines.size), np.float32)
        ends = np.cumsum(rows)
        block = 0
        for begin in range(0, len(keys), _PIECE_ROWS):
            above = self._above(keys[begin : begin + _PIECE_ROWS])
            end = begin + len(above)
            if len(keys) == len(rows):
                hits[begin:end] = above
                continue
            at = begin
            while at < end:
                stop = min(end, int(ends[block]))
                # A fifth of the time of np.add.reduceat.
                hits[block] += np.add.reduce(above[at - begin : stop - begin], axis=0, dtype=np.uint8)
                block += stop == ends[block]
                at = stop
        for view, variables in self.half_lines.views(hits, lower_only=True):
            np.subtract(_of(known, variables), view, out=view, casting="same_kind")
        return hits

    def _above(self, keys: Float64) -> npt.NDArray[np.uint8]:
        """1 if a key (n, T) lies above a boundary, otherwise 0, (n, 2 h); valid until the next call."""
        wide, above = self._wide[: len(keys)], self._is_above[: len(keys)]
        # Comparisons with a copy for each boundary take less time than comparisons that broadcast.
        for view, variables in self.half_lines.views(wide):
            view[:] = keys[:, None, variables]
        np.greater(wide, self.half_lines.keys, out=above)
        return above.view(np.uint8)


def _jitters(shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.uint64]:
    """Random bits for values (n, T): those of the row and those of the variable, combined.

    Those of a variable are independent of each other, and so are those of a row.
    """
    rows, variables = (random.integers(0, 2**JITTER_BITS, size, np.uint64) for size in shape)
    found: npt.NDArray[np.uint64] = rows[:, None] ^ variables
    return found


def _known(keys: Float64, rows: npt.NDArray[np.intp]) -> Float64:
    """How many values of each block are known, (k, T), or (k, 1) if all are."""
    known = rows[:, None].astype(np.float64)
    missing = np.isnan(keys)
    if missing.any():
        known = known - np.add.reduceat(missing, np.cumsum(rows) - rows, axis=0, dtype=np.float64)
    return known


def _of(numbers: npt.NDArray[_T], variables: slice) -> npt.NDArray[_T]:
    """Numbers (k, T or 1) of some variables, (k, 1, variables or 1)."""
    return numbers[:, None] if numbers.shape[1] == 1 else numbers[:, None, variables]
