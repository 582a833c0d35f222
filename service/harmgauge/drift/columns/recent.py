"""The newest rows of all columns, from which a named column is described."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from harmgauge.drift.dumped import Dumped

Float64 = npt.NDArray[np.float64]

ROWS = 200


class Recent:
    """At most ROWS rows of `columns` numbers, NaN for a missing value."""

    def __init__(self, columns: int) -> None:
        self._kept = np.empty((ROWS, columns))
        self._total = 0

    def extend(self, values: Float64) -> None:
        """Add rows (n, columns)."""
        newest = values[-ROWS:]
        self._total += len(values)
        places = np.arange(self._total - len(newest), self._total) % ROWS
        self._kept[places] = newest

    def rows(self) -> Float64:
        """The rows, oldest first, as a copy."""
        end = self._total % ROWS
        if self._total < ROWS:
            return self._kept[:end].copy()
        return np.concatenate([self._kept[end:], self._kept[:end]])

    @classmethod
    def read(cls, dumped: Dumped, columns: int) -> Self:
        """Read `recent`, as `rows` returned it. Raises ValueError."""
        array = np.asarray(dumped["recent"]) if "recent" in dumped else None
        if array is None or array.dtype != np.float64 or array.ndim != 2 or array.shape[1] != columns:
            raise ValueError(f"recent is missing, or not float64 ('n', {columns})")
        if len(array) > ROWS or np.isinf(array).any():
            raise ValueError(f"recent has infinite values, or more than {ROWS} rows")
        found = cls(columns)
        found.extend(array)
        return found
