"""The recent history of the service, sample by sample, over a bounded time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

TIME = "time"
"""The time column of every history: whole Unix seconds."""


class History:
    """A ring buffer of the newest `capacity` samples of the named `columns`, all numbers; memory does not grow.

    Unlike in a `Window`, unknown values are NaN, and only the time column needs the precision of a float64.
    """

    def __init__(self, columns: Sequence[str], capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"expected a capacity of at least 1 sample, got {capacity}")
        self.columns = tuple(columns)
        self._times = np.zeros(capacity, np.int64)
        self._values = np.full((len(self.columns), capacity), np.nan, np.float32)
        self.total = 0
        """Samples ever added."""

    @property
    def capacity(self) -> int:
        return len(self._times)

    def add(self, time_seconds: float, values: Mapping[str, float | None]) -> None:
        """Add a sample, later than the previous one; a column that is omitted or None becomes NaN.

        Raises KeyError for an unknown column.
        """
        for name in values:
            if name not in self.columns:
                raise KeyError(name)
        at = self.total % self.capacity
        given = [values.get(name) for name in self.columns]
        newest = int(self._times[at - 1]) if self.total else -1
        self._times[at] = max(int(time_seconds), newest + 1)  # even if the clock was set back
        self._values[:, at] = [np.nan if value is None else value for value in given]
        self.total += 1

    def newest(self, most: int | None = None) -> dict[str, npt.NDArray[Any]]:
        """At most `most` of the newest samples, oldest first: `time` (n,) int64, and each column (n,) float32."""
        held = min(self.total, self.capacity)
        count = held if most is None else min(most, held)
        order = np.arange(self.total - count, self.total) % self.capacity
        return {TIME: self._times[order]} | {
            name: values[order] for name, values in zip(self.columns, self._values, strict=True)
        }
