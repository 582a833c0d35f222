"""Sequential evidence that single variables have changed: exact rank bets on many of them at once.

For each variable, cell and stake, a gambler bets on every block of rows that the mean of the cell's function of its
values (`half_lines.py`) is larger than the ranks of the reference and of all earlier rows imply, and with every row one
more such gambler joins: a Shiryaev-Roberts e-detector over the conformal null, as in `drift/evidence.py`. So while
nothing changes, each variable's evidence minus its rows so far is a supermartingale: without a change, all rank gaps
are equally likely for the next value, so the mean of a function of its rank is its mean over the gaps so far.

Cells are bounded by order statistics of the reference (`bundle/order_statistics.py`). Betting on whether a value is,
say, a category against that category's share of the reference would not be exact: the share depends on the luck of the
reference. So "is it" is the number 1, "is it not" is 0, and ties are broken at random like all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.order_statistics import JITTER_BITS, Boundaries
from harmgauge.drift.columns.half_lines import HalfLines, Jitters, Values

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

STAKES: Float64 = np.array([0.03, 0.1, 0.3])
"""Shares of its wealth that a gambler on a half-line stakes on each block."""

GRADED_STAKES: Float64 = np.array([0.15, 0.4, 0.85])
"""The same for graded cells: their functions vary less, so larger stakes are best."""

MOST = 1e30
"""Keeps wealth finite, however long it grows."""

_PIECE_NUMBERS = 2**17
"""Gains computed at a time stay within a processor's cache."""


@dataclass
class Bets:
    """The gamblers' wealth (stakes, cells) float32; over the `rows` (T,) rank gaps so far, those of the reference
    included, the cells' functions have the sums `counts` (cells,).

    The arrays belong to this object, which changes them.
    """

    half_lines: HalfLines
    wealth: Float32
    counts: Float64
    rows: Float64

    def __post_init__(self) -> None:
        is_graded = self.half_lines.is_graded
        self._stakes = np.where(is_graded, GRADED_STAKES[:, None], STAKES[:, None]).astype(np.float32)
        # A gambler's wealth is multiplied by stake * ratio + (1 - stake).
        self._kept = 1 - self._stakes
        # Memory for results in between: new memory would take longer than the computation.
        most_blocks = max(1, _PIECE_NUMBERS // max(1, self.wealth.size))
        self._gain = np.empty((most_blocks, *self.wealth.shape), np.float32)
        self._allowed = np.empty((most_blocks, self.half_lines.size), np.float32)

    @classmethod
    def start(cls, numbers: Boundaries, flags: Boundaries) -> Bets:
        """No evidence, and an urn with only the reference. The variables are numbers and then flags."""
        half_lines = HalfLines(numbers, flags)
        wealth = np.zeros((len(STAKES), half_lines.size), np.float32)
        return cls(half_lines, wealth, half_lines.sizes.copy(), half_lines.rows + 1)

    @property
    def evidence(self) -> Float64:
        """The mean wealth of each variable's gamblers, (T,)."""
        upper, lower = self.half_lines.means(self.wealth)
        return (upper + lower) / 2

    def bet(self, values: Values, rows: npt.NDArray[np.intp], tolerance: float, random: np.random.Generator) -> None:
        """Bet on some blocks, one after another: `values` are those of all blocks, concatenated, in which NaN is not
        seen; `rows` (k,) is the size of each block, at least one.

        A bet is on the mean of the block's known values, so it is valid for any dependence within the block.
        `tolerance` is the share of the traffic that may be arbitrary without counting as evidence.
        """
        if not self.half_lines.size:
            return
        known = _known(values, rows)
        drawn = jitters((len(values[0]), len(self.rows)), random)
        hits = self.half_lines.hits(values, drawn, rows, known)
        with np.errstate(over="ignore"):
            for first in range(0, len(rows), len(self._gain)):
                some = slice(first, first + len(self._gain))
                self._bet(hits[some], known[some], tolerance)
        np.minimum(self.wealth, np.float32(MOST), out=self.wealth)

    def _bet(self, hits: Float32, known: Float64, tolerance: float) -> None:
        """Bet on blocks whose `known` (k, T or 1) values give the cells the sums `hits` (k, cells), which are modified.

        In words: a cell's mean over the gaps so far is counts / gaps. Allowed is that, and tolerance * (1 - it) more.
        Wealth becomes (wealth + known) * (1 - stake + stake * mean(hits) / allowed); then the block joins the gaps.
        """
        variables = self.half_lines.variables
        own = known if known.shape[1] == 1 else known[:, variables]
        earlier = np.cumsum(own, axis=0) - own
        gaps = self.rows[variables]
        # Sums before each block: exact in float64, where they accumulate; a float32 of each is enough for a ratio.
        allowed = self._allowed[: len(hits)]
        allowed[0] = 0
        for before, block, total in zip(allowed[:-1], hits, allowed[1:], strict=False):
            np.add(before, block, out=total)
        added = allowed[-1] + hits[-1]
        allowed *= np.float32(1 - tolerance)
        allowed += ((1 - tolerance) * self.counts + tolerance * gaps).astype(np.float32)
        allowed += (tolerance * earlier).astype(np.float32)
        ratio = hits
        ratio *= (earlier + gaps).astype(np.float32)
        ratio /= allowed
        joining = own.astype(np.float32)
        if (joining == 0).any():
            # Without a known value, the ratio is 1: nothing is won or lost.
            ratio /= np.maximum(joining, 1)
            np.copyto(ratio, 1, where=joining == 0)
        elif (joining > 1).any():
            ratio /= joining
        self.counts += added
        self.rows += known.sum(axis=0)
        gain = self._gain[: len(hits)]
        np.multiply(self._stakes, ratio[:, None], out=gain)
        gain += self._kept
        for block, factor in zip(joining, gain, strict=True):
            self.wealth += block
            self.wealth *= factor


def jitters(shape: tuple[int, int], random: np.random.Generator) -> Jitters:
    """Random bits for values (n, T): those of a row and those of a variable are to be combined.

    Those of one variable's values are then independent of each other, and so are those of one row's.
    """
    of_rows, of_variables = (random.integers(0, 2**JITTER_BITS, size, np.uint64) for size in shape)
    return of_rows, of_variables


def _known(values: Values, rows: npt.NDArray[np.intp]) -> Float64:
    """How many values of each block are known, (k, T), or (k, 1) if all are."""
    known = rows[:, None].astype(np.float64)
    missing = [np.isnan(own) for own in values]
    if any(own.any() for own in missing):
        starts = np.cumsum(rows) - rows
        known = known - np.concatenate([np.add.reduceat(own, starts, axis=0, dtype=np.float64) for own in missing], 1)
    return known
