"""The variables that are bet on for each column: its numbers, and its flags."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.sketches import OTHER, Sketches

Float64 = npt.NDArray[np.float64]

NUMBER_WEIGHT = 0.5
"""Weight of a column's numbers in its evidence, if it has flags too."""


class Variables:
    """Turns values of columns (n, c + 1), the predicted class last, into those of numbers and of flags; and evidence of
    these into that of columns.
    """

    def __init__(self, sketches: Sketches) -> None:
        self._sketches = sketches
        self._are_first = np.array_equal(sketches.numbers, np.arange(len(sketches.numbers)))
        self._is_missing = np.isnan(sketches.codes)
        self._others = np.flatnonzero(sketches.codes == OTHER)
        listed = np.isfinite(sketches.codes)
        self._siblings = [np.flatnonzero((sketches.flags == sketches.flags[at]) & listed) for at in self._others]
        columns = sketches.predictions + 1
        has_number = np.isin(np.arange(columns), sketches.numbers)
        flags = np.bincount(sketches.flags, minlength=columns)
        self.is_monitored = has_number | (flags > 0)
        """Whether each column is, (c + 1,): all but perhaps the predicted class."""
        own = np.where(flags > 0, NUMBER_WEIGHT, 1.0)[sketches.numbers]
        shares = (np.where(has_number, 1 - NUMBER_WEIGHT, 1.0) / np.maximum(flags, 1))[sketches.flags]
        self._weights = np.zeros((len(own) + len(shares), columns))
        self._weights[np.arange(len(own)), sketches.numbers] = own
        self._weights[len(own) + np.arange(len(shares)), sketches.flags] = shares

    def values(self, values: Float64) -> tuple[Float64, Float64]:
        """The values of numbers, (n, k), and of flags, (n, m). NaN is one that is missing."""
        return self.numbers(values), self._flags(values)

    def numbers(self, values: Float64) -> Float64:
        """The values of the columns of numbers, (n, k); NaN is missing."""
        numbers = self._sketches.numbers
        # Often these are all columns: a view takes no time.
        found: Float64 = values[:, : len(numbers)] if self._are_first else values[:, numbers]
        return found

    def _flags(self, values: Float64) -> Float64:
        """The flags, (n, m): 1, 0, or NaN if the value is missing and the flag is not for that."""
        picked = values[:, self._sketches.flags]
        has: Float64 = (picked == self._sketches.codes).astype(np.float64)
        for other, siblings in zip(self._others.tolist(), self._siblings, strict=True):
            has[:, other] = 1 - has[:, siblings].sum(axis=1)
        gaps = np.isnan(picked)
        has[:, self._is_missing] = gaps[:, self._is_missing]
        gaps[:, self._is_missing] = False
        if gaps.any():
            has[gaps] = np.nan
        return has

    def evidence(self, variables: Float64) -> Float64:
        """The evidence of columns, (c + 1,), each the weighted mean over its variables (k + m,)."""
        found: Float64 = variables @ self._weights
        return found

    def strongest(self, column: int, variables: Float64) -> int:
        """The variable with the largest part in a column's evidence."""
        return int((variables * self._weights[:, column]).argmax())
