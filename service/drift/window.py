"""The last so many scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


class Window:
    """A ring of the newest `capacity` scores. Memory does not grow with traffic; a score costs a copy of 8 bytes."""

    def __init__(self, capacity: int) -> None:
        if capacity < 2:
            raise ValueError(f"a window of {capacity} rows compares nothing; at least 2 are needed")
        self._ring: Scores = np.empty(capacity)
        self.total = 0
        """Scores ever added: changes exactly when the window does."""

    @property
    def capacity(self) -> int:
        return len(self._ring)

    @property
    def rows(self) -> int:
        return min(self.total, self.capacity)

    def extend(self, scores: npt.NDArray[np.floating]) -> None:
        """Add scores (n,), oldest first. Raises ValueError, adding none, where one is not finite."""
        if not np.isfinite(scores).all():
            raise ValueError("a score that is not finite must not enter a window")
        newest = scores[-self.capacity :]
        start = (self.total + len(scores) - len(newest)) % self.capacity
        head = min(len(newest), self.capacity - start)
        self._ring[start : start + head] = newest[:head]
        self._ring[: len(newest) - head] = newest[head:]
        self.total += len(scores)

    def snapshot(self) -> Scores:
        """A copy of the scores in the window (rows,), oldest first."""
        if self.total <= self.capacity:
            return self._ring[: self.total].copy()
        return np.roll(self._ring, -(self.total % self.capacity))
