"""How many rows a key may have scored: a token bucket."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from harmgauge.errors import TooManyRows


class TokenBucket:
    """Fills with `rows_per_second`, up to what one second gives, and one row at least.

    A request takes its rows at once. One of more rows than the bucket holds is let through when it is full, and leaves
    it in debt: so in any t seconds at most rows_per_second * t + max(capacity, the largest request) rows are.
    """

    def __init__(self, rows_per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rows_per_second = rows_per_second
        self.capacity_rows = max(1.0, rows_per_second)
        self._clock = clock
        self._rows = self.capacity_rows
        self._at = clock()

    def check(self) -> None:
        """Raises TooManyRows where not even one row would be let through."""
        self._require(1)

    def take(self, rows: int) -> None:
        """Raises TooManyRows, and takes none then."""
        self._require(rows)
        self._rows -= rows

    def _require(self, rows: int) -> None:
        now = self._clock()
        self._rows = min(self.capacity_rows, self._rows + max(0.0, now - self._at) * self._rows_per_second)
        self._at = now
        missing = min(rows, self.capacity_rows) - self._rows
        if missing > 1e-9 * self.capacity_rows:  # what rounding leaves is no reason
            seconds = max(1, math.ceil(missing / self._rows_per_second))
            raise TooManyRows(
                f"This key may have {self._rows_per_second:g} rows scored a second; ask again in {seconds} s.",
                retry_after_seconds=seconds,
            )
