"""The last so many rows: scores, or vectors of features."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array


class Window:
    """A ring of the newest `capacity` rows: numbers, or vectors of `width`.

    Memory does not grow with traffic; a row costs a copy of its bytes.
    """

    def __init__(self, capacity: int, width: int | None = None, dtype: npt.DTypeLike = np.float64) -> None:
        if capacity < 2:
            raise ValueError(f"a window of {capacity} rows compares nothing; at least 2 are needed")
        self._ring: Array = np.empty(capacity if width is None else (capacity, width), dtype)
        self.total = 0
        """Rows ever added."""

    @property
    def capacity(self) -> int:
        return len(self._ring)

    @property
    def rows(self) -> int:
        return min(self.total, self.capacity)

    def extend(self, rows: npt.NDArray[np.floating]) -> None:
        """Add rows (n,) or (n, width), oldest first. Raises ValueError, adding none, where a number is not finite."""
        if not np.isfinite(rows).all():
            raise ValueError("a score that is not finite must not enter a window")
        newest = rows[-self.capacity :]
        start = (self.total + len(rows) - len(newest)) % self.capacity
        head = min(len(newest), self.capacity - start)
        self._ring[start : start + head] = newest[:head]
        self._ring[: len(newest) - head] = newest[head:]
        self.total += len(rows)

    def snapshot(self) -> Array:
        """A copy of what is in the window, oldest first."""
        if self.total <= self.capacity:
            return self._ring[: self.total].copy()
        return np.roll(self._ring, -(self.total % self.capacity), axis=0)


class AgedWindow(Window):
    """A window of scores that also leave it when they are older than `max_age_seconds`.

    `clock` gives seconds and never goes back. Scores get their time as they are added.
    """

    def __init__(self, capacity: int, max_age_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(capacity)
        self._times = Window(capacity)
        self._max_age_seconds = max_age_seconds
        self._clock = clock

    @property
    def rows(self) -> int:
        return len(self.ages())

    def extend(self, rows: npt.NDArray[np.floating], ages: npt.NDArray[np.floating] | None = None) -> None:
        """As a window does; `ages` (n,), in seconds and falling, of scores that are not new."""
        super().extend(rows)
        self._times.extend(self._clock() - (np.zeros(len(rows)) if ages is None else ages))

    def ages(self) -> npt.NDArray[np.float64]:
        """Of the scores in the window, (rows,), in seconds."""
        ages = self._clock() - self._times.snapshot()
        young: npt.NDArray[np.float64] = ages[ages <= self._max_age_seconds]
        return young

    def snapshot(self) -> Array:
        kept = super().snapshot()
        return kept[len(kept) - self.rows :]
