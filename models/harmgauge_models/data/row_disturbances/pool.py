"""Statistics of normal rows that the disturbances use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import Columns

Values = npt.NDArray[np.float64]
"""Flattened rows, (n, d), with NaN for a missing value."""

Mask = npt.NDArray[np.bool_]
"""A mask of the values to change, (n, d)."""

MOST_POOL_ROWS = 5000
MOST_OF_ANOTHER = 0.5
"""Largest share of a row's values that come from another row. Beyond it the result would be that other row: normal, but
with the wrong label.

A network trained on such rows doubts normal ones (letter, clean rows: P(wrong) was .136, .081 were wrong).
"""

QUANTILES = (0.0, 0.02, 0.25, 0.5, 0.75, 0.98, 1.0)


@dataclass(frozen=True)
class Pool:
    """Some normal rows (m, d), and for each column `quantiles` (QUANTILES, d), `spread` (a standard deviation, 1 for a
    constant column), and the most common value, `common` (d,).

    `missing` is true if NaN may replace a value, `whole` if values are whole numbers. `bounds` are the minimum and
    maximum that each column may have, (d,) each.
    """

    columns: Columns
    rows: Values
    quantiles: Values
    spread: Values
    common: Values
    missing: bool
    whole: bool
    bounds: tuple[Values, Values]

    @property
    def least(self) -> Values:
        return np.asarray(self.quantiles[0])

    @property
    def most(self) -> Values:
        return np.asarray(self.quantiles[-1])

    @property
    def median(self) -> Values:
        return np.asarray(self.quantiles[QUANTILES.index(0.5)])

    def others(self, rows: int, random: np.random.Generator) -> Values:
        """Random normal rows, (rows, d)."""
        return self.rows[random.integers(len(self.rows), size=rows)]


Disturbance = Callable[[Values, Mask, Pool, np.random.Generator], Values]
"""Returns changed rows (n, d); values outside the mask are not used."""


def make_pool(x: Array, columns: Columns, *, missing: bool) -> Pool:
    """Make the pool from normal rows `x` (n, *shape), in the input's dtype."""
    picked = np.sort(np.random.default_rng(0).permutation(len(x))[:MOST_POOL_ROWS])
    rows = x[picked].reshape(len(picked), -1).astype(np.float64)
    known = np.where(np.isfinite(rows), rows, np.nan)
    known[:, np.isnan(known).all(0)] = 0  # a column that never has a value
    size = np.maximum(np.nanmax(np.abs(known), axis=0), 1e-300)
    # Scaled, so that values can be squared and summed without overflow.
    spread = np.nanstd(known / size, axis=0) * size
    whole = x.dtype.kind in "iu"
    return Pool(
        columns=columns,
        rows=rows,
        # Halved, which is exact: the difference of two float64 numbers may exceed float64.
        quantiles=2 * np.nanquantile(known / 2, QUANTILES, axis=0),
        spread=np.where(spread > 0, spread, 1.0),
        common=_commonest(known),
        missing=missing,
        whole=whole,
        bounds=_bounds(x, columns),
    )


def value_range(values: Array) -> tuple[float, float]:
    """The minimum and maximum known value; 0 and 0 if there are none."""
    known = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _bounds(x: Array, columns: Columns) -> tuple[Values, Values]:
    """Ids beyond the vocabulary would fail in the graph; other numbers may use almost the whole range of the dtype."""
    least, most = value_range(x)
    if x.dtype.kind == "f":
        limit = float(np.finfo(x.dtype).max) / 16
        low, high = min(-limit, least), max(limit, most)
    else:
        limits: Any = np.iinfo(x.dtype)
        low, high = least, most
        if columns.layout != "tokens":
            low = 0.0 if least >= 0 else min(float(max(int(limits.min), -(2**52))), least)
            high = max(float(min(int(limits.max), 2**52)), most)
        # The largest 64-bit integers are not float64 values: the next float64 would wrap around.
        high = min(high, _float_below(int(limits.max)))
    return np.full(len(columns.kinds), low), np.full(len(columns.kinds), high)


def _float_below(value: int) -> float:
    found = float(value)
    return found if int(found) <= value else float(np.nextafter(found, 0))


def _commonest(rows: Values) -> Values:
    found = np.empty(rows.shape[1])
    for index, column in enumerate(rows.T):
        values, counts = np.unique(column[np.isfinite(column)], return_counts=True)
        found[index] = values[counts.argmax()]
    return found
