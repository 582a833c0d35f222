"""The clean rows that every corruption starts from, with statistics of their columns."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import Columns

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SEVERITIES = (1, 2, 3, 4, 5)
SHARES = (0.02, 0.1, 0.2, 0.4, 0.7)
"""Share of the columns affected by a fault, by severity; at least one column."""

MOST_NUMBERS_TO_LACK = 0.25
"""If fewer of the columns than this are real numbers, whole-number columns count as measured too: they may be counts,
or codes.
"""


@dataclass(frozen=True)
class CleanRows:
    """`flat` (n, d) float64, with NaN for a missing value; d = prod(columns.shape).

    With `missing`, a row may contain NaN.
    """

    flat: Float64
    columns: Columns
    missing: bool

    @classmethod
    def of(cls, x: Array, columns: Columns, *, missing: bool = False) -> CleanRows:
        """Convert rows `x` (n, *shape) of any real dtype."""
        return cls(x.reshape(len(x), -1).astype(np.float64), columns, missing)

    @cached_property
    def quantiles(self) -> Float64:
        """The 0, 16, 50, 84 and 100 % quantiles of each column, (5, d); 0 for a column without values."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # columns with only NaN have none
            return np.nan_to_num(np.nanquantile(self.flat, (0, 0.16, 0.5, 0.84, 1), axis=0))

    @cached_property
    def spread(self) -> Float64:
        """The spread of each column, (d,), above 0.

        It is half the distance between the 16 % and 84 % quantiles, which is one standard deviation for normal values;
        if that is 0, the standard deviation; for a constant column, a tenth.
        """
        low, _, high = self.quantiles[1:4]
        filled = np.where(np.isnan(self.flat), self.quantiles[2], self.flat)
        constant = 0.1 * np.maximum(1, np.abs(self.quantiles[2]))
        deviation = np.where(filled.std(0) > 0, filled.std(0), constant)
        spread: Float64 = np.where(high > low, (high - low) / 2, deviation)
        return spread

    @cached_property
    def measured(self) -> Mask:
        """Columns that may have an arithmetic fault, (d,)."""
        numbers = self.columns.are("number")
        if numbers.mean() >= MOST_NUMBERS_TO_LACK:
            return numbers
        return numbers | self.columns.are("code")

    @property
    def categories(self) -> Mask:
        """Columns that may name categories, (d,)."""
        return self.columns.are("code") | self.columns.are("flag")

    @cached_property
    def steps(self) -> Float64:
        """The rows of a series as (n, steps, channels)."""
        axis = self.columns.time_axis or 1
        whole = np.moveaxis(self.flat.reshape(len(self.flat), *self.columns.shape), axis, 1)
        return np.ascontiguousarray(whole.reshape(*whole.shape[:2], -1))

    def from_steps(self, steps: Float64) -> Float64:
        """Convert a series back to (n, d)."""
        axis, shape = self.columns.time_axis or 1, self.columns.shape
        others = shape[: axis - 1] + shape[axis:]
        whole = np.moveaxis(steps.reshape(*steps.shape[:2], *others), 1, axis)
        return whole.reshape(len(steps), math.prod(shape))


def by_severity(values: Sequence[float], severity: int) -> float:
    """The value for this severity. Raises ValueError unless it is 1 to 5."""
    if severity not in SEVERITIES:
        raise ValueError(f"expected a severity of 1 to 5, got {severity}")
    return values[severity - 1]


def some_columns(rows: CleanRows, among: Mask, severity: int, random: np.random.Generator) -> Mask:
    """A mask (n, d) of the values affected by a fault: random columns `among` (d,) in each row, more at higher
    severity.
    """
    width = int(among.sum())
    count = math.ceil(by_severity(SHARES, severity) * width)
    hit = np.zeros(rows.flat.shape, bool)
    if count:
        keys = random.random((len(rows.flat), width))
        hit[:, among] = keys <= np.partition(keys, count - 1, axis=1)[:, count - 1 : count]
    return hit


def other_rows(rows: int, random: np.random.Generator) -> npt.NDArray[np.intp]:
    """For each of n = `rows` rows the index of another row, (n,); its own if there is only one row."""
    return (np.arange(rows) + random.integers(1, max(2, rows), rows)) % max(1, rows)
