"""Random disturbances of rows, for training and judging: wide families at every strength, drawn separately for each
row.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import Layout
from harmgauge_models.data.disturber import Tags
from harmgauge_models.data.row_disturbances.pool import Disturbance, Mask, Pool, Values, make_pool
from harmgauge_models.data.row_disturbances.series import SERIES
from harmgauge_models.data.row_disturbances.sparse import SPARSE
from harmgauge_models.data.row_disturbances.table import TABLE
from harmgauge_models.data.row_disturbances.tokens import SPLICED, TOKENS

__all__ = ["Pool", "RowDisturber", "families", "make_pool"]

TWICE_SHARE = 0.3
"""Share of rows that are disturbed a second time."""

CHUNK_ROWS = 1024
"""Rows that are changed at once: a disturbance takes several times their memory."""

ONE_SHARE, ALL_SHARE = 0.4, 0.2
"""Shares of a table's rows in which one column changes, and in which all columns change."""


def families(layout: Layout) -> dict[str, Disturbance]:
    """The disturbances of a layout, by name."""
    if layout == "tokens":
        return TOKENS
    if layout == "series":
        return {**TABLE, **SERIES}
    if layout == "sparse":
        return {**SPARSE, **{name: TABLE[name] for name in ("noise", "factor", "other_row", "constant", "shrunk")}}
    return TABLE


class RowDisturber:
    """A `Disturber` for rows of the kind from which `pool` was made."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._changes = families(pool.columns.layout)
        self.families = tuple(self._changes)
        self.kinds = self.families
        self.clean_weight = 1.0

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        """Disturb each row of `x` (n, *shape) with one or two random disturbances from `names` (all if None).

        Rows change in one column, in a stretch, in any number of places, or everywhere. The tags (n, 2) are the indices
        of the two in `families`, -1 for none.
        """
        rows = _flat(x)
        chosen = [index for index, name in enumerate(self.families) if names is None or name in names]
        tags = np.full((len(rows), 2), -1, np.int8)
        for link, share in enumerate((1.0, TWICE_SHARE)):
            drawn = np.array(chosen, np.int8)[random.integers(len(chosen), size=len(rows))]
            tags[:, link] = np.where(random.random(len(rows)) < share, drawn, -1)
            for index in chosen:
                picked = np.flatnonzero(tags[:, link] == index)
                for begin in range(0, len(picked), CHUNK_ROWS):
                    some = picked[begin : begin + CHUNK_ROWS]
                    name = self.families[index]
                    rows[some] = self._changed(name, rows[some], _mask(name, len(some), self._pool, random), random)
        return _in_dtype(rows, self._pool, x), tags

    def alone(self, x: Array, random: np.random.Generator, kind: str, strength: float) -> Array:
        """Disturb rows like `x` (n, *shape) with one kind in the same places, more of them at a higher `strength`.

        This resembles a fault in a pipeline; how far a value moves differs by row.
        """
        rows = _flat(x)
        places = _places(kind, strength, self._pool, random)
        for begin in range(0, len(rows), CHUNK_ROWS):
            some = rows[begin : begin + CHUNK_ROWS]
            some[:] = self._changed(kind, some, np.broadcast_to(places, some.shape), random)
        return _in_dtype(rows, self._pool, x)

    def _changed(self, name: str, rows: Values, mask: Mask, random: np.random.Generator) -> Values:
        # Values near float64's limits may overflow; the results are kept within bounds.
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(mask, self._changes[name](rows, mask, self._pool, random), rows)


def _flat(x: Array) -> Values:
    return np.asarray(x.reshape(len(x), -1), np.float64).copy()


def _places(name: str, strength: float, pool: Pool, random: np.random.Generator) -> Mask:
    """A mask (d,) of the values that change in all rows: some columns of a table, otherwise a stretch."""
    layout, width = pool.columns.layout, len(pool.spread)
    if (layout == "sparse" and name in SPARSE) or (layout == "series" and name in SERIES):
        return np.ones(width, bool)
    many = max(1, round(strength**2 * width))
    order = random.permutation(width)
    if layout in ("series", "tokens"):
        begin = random.integers(width - many + 1)
        order = np.arange(begin, begin + many)
    found = np.zeros(width, bool)
    found[order[:many]] = True
    return found


def _mask(name: str, rows: int, pool: Pool, random: np.random.Generator) -> Mask:
    """A mask (rows, d) of the values that change."""
    layout, width = pool.columns.layout, len(pool.spread)
    share = np.where(random.random((rows, 1)) < 0.5, random.random((rows, 1)) ** 2, random.random((rows, 1)))
    if layout == "sparse" and name in SPARSE:
        return np.ones((rows, width), bool)
    if layout == "series":
        everywhere = name in SERIES
        return np.ones((rows, width), bool) if everywhere else _stretches(rows, width, share, random)
    if layout == "tokens":
        spliced = (random.random((rows, 1)) < 0.5) | (name in SPLICED)
        scattered = random.random((rows, width)) < share
        return np.where(spliced, _stretches(rows, width, share, random), scattered)
    one = np.arange(width) == random.integers(width, size=(rows, 1))
    how_many = random.random((rows, 1))
    some = one | (random.random((rows, width)) < share)
    found: Mask = np.where(how_many < ONE_SHARE, one, some | (how_many > 1 - ALL_SHARE))
    return found


def _stretches(rows: int, width: int, share: Values, random: np.random.Generator) -> Mask:
    """A mask of a random stretch of each row, or of the whole row for a third of them."""
    share = np.where(random.random((rows, 1)) < 1 / 3, 1.0, share)
    begin = np.floor(random.random((rows, 1)) * width * (1 - share))
    at = np.arange(width)
    return np.asarray((at >= begin) & (at < begin + np.maximum(1, share * width)))


def _in_dtype(rows: Values, pool: Pool, x: Array) -> Array:
    """Keep the values within bounds and convert them to the dtype of `x`; an unchanged value keeps all its digits."""
    flat = x.reshape(len(x), -1)
    before = flat.astype(np.float64)
    bounded = np.clip(np.rint(rows) if pool.whole else rows, *pool.bounds)
    if not pool.missing:
        bounded = np.where(np.isnan(bounded), before, bounded)
    return np.where(bounded == before, flat, bounded.astype(x.dtype)).reshape(x.shape)
