"""Disturbances of tables: faults of one or several columns."""

from __future__ import annotations

import numpy as np

from harmgauge_models.data.row_disturbances.pool import MOST_OF_ANOTHER, QUANTILES, Disturbance, Mask, Pool, Values

UNITS = (60.0, 3600.0, 24.0, 12.0, 7.0, 1000.0, 100.0, 10.0, 2.54, 0.3048, 0.4536, 1.609, 1.8, 3.7854)
"""Factors between commonly confused units: minutes and hours, metres and feet, kilograms and pounds."""

PLACEHOLDERS = (0.0, -1.0, 1.0, 99.0, 999.0, 9999.0, -999.0)
"""Common placeholders for a missing value."""


def _strength(rows: Values, low: float, high: float, random: np.random.Generator) -> Values:
    """A log-uniform factor for each row, (n, 1)."""
    return np.asarray(np.exp(random.uniform(np.log(low), np.log(high), (len(rows), 1))))


def noise(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Add Gaussian noise of 0.05 to 5 spreads, heavy-tailed in a quarter of the rows."""
    grains = random.standard_normal(rows.shape)
    heavy = random.random((len(rows), 1)) < 0.25
    grains = np.where(heavy, grains / np.maximum(np.abs(random.standard_normal(rows.shape)), 0.05), grains)
    return rows + _strength(rows, 0.05, 5, random) * pool.spread * grains


def offset(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Shift by 0.2 to 20 spreads; in half of the rows all columns move the same way."""
    signs = random.choice((-1.0, 1.0), rows.shape)
    signs = np.where(random.random((len(rows), 1)) < 0.5, signs[:, :1], signs)
    found: Values = rows + _strength(rows, 0.2, 20, random) * pool.spread * signs
    return found


def factor(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Change the units: multiply by one of UNITS or its inverse, or by a factor from 1/1000 to 1000."""
    unit = random.choice(UNITS, (len(rows), 1)) ** random.choice((-1.0, 1.0), (len(rows), 1))
    any_factor = np.where(
        random.random((len(rows), 1)) < 0.5, _strength(rows, 1e-3, 1e3, random), _strength(rows, 0.3, 3, random)
    )
    return rows * np.where(random.random((len(rows), 1)) < 0.4, unit, any_factor)


def other_row(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Take the values of other rows; half of the rows that are not completely replaced take all of them from the same
    row.
    """
    others = pool.others(len(rows), random)
    mixed = pool.rows[random.integers(len(pool.rows), size=rows.shape), np.arange(rows.shape[1])]
    few = mask.mean(1, keepdims=True) <= MOST_OF_ANOTHER
    return np.where(few & (random.random((len(rows), 1)) < 0.5), others, mixed)


def constant(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Replace with a quantile of the column, its most common value, or a placeholder."""
    chosen = random.integers(len(QUANTILES) + 1 + len(PLACEHOLDERS), size=len(rows))
    width = rows.shape[1]
    placeholders = np.repeat(np.array(PLACEHOLDERS)[:, None], width, axis=1)
    table = np.concatenate([pool.quantiles, pool.common[None], placeholders])
    return table[chosen]


def other_column(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Reorder columns: each changed column takes the value of another one."""
    step = random.integers(1, max(rows.shape[1], 2), (len(rows), 1))
    near = random.random((len(rows), 1)) < 0.5
    step = np.where(near, random.choice((1, -1), (len(rows), 1)), step)
    return np.take_along_axis(rows, (np.arange(rows.shape[1]) + step) % rows.shape[1], axis=1)


def clipped(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Saturate the sensor: clip values to a part of the column's range."""
    ends = np.sort(random.random((2, len(rows), 1)), axis=0)
    low, high = (pool.least + end * (pool.most - pool.least) for end in ends)
    return np.clip(rows, low, high)


def shrunk(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Pull values towards the median, or push them away from it."""
    return pool.median + (rows - pool.median) * random.uniform(0, 2.5, (len(rows), 1))


def rounded(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Round to a multiple of 0.2 to 4 spreads, which loses digits."""
    step = _strength(rows, 0.2, 4, random) * pool.spread
    return np.rint(rows / step) * step


def negated(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Flip the sign, or mirror the value at the middle of the range."""
    mirrored = pool.least + pool.most - rows
    return np.where(random.random((len(rows), 1)) < 0.5, -rows, mirrored)


def missing(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Remove the value; if the input allows no missing values, use the column's most common value."""
    return np.full_like(rows, np.nan) if pool.missing else np.broadcast_to(pool.common, rows.shape)


TABLE: dict[str, Disturbance] = {
    "noise": noise,
    "offset": offset,
    "factor": factor,
    "other_row": other_row,
    "constant": constant,
    "other_column": other_column,
    "clipped": clipped,
    "shrunk": shrunk,
    "rounded": rounded,
    "negated": negated,
    "missing": missing,
}
