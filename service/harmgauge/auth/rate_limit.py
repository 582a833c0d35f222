"""Rate limits per key: token buckets."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from harmgauge.errors import RateLimited


class TokenBucket:
    """A bucket that fills at `per_second` of `unit`, up to the amount of one second, at least one.

    A request takes its share at once. A request larger than the bucket is admitted when the bucket is full, and leaves
    it in debt, so any t seconds admit at most per_second * t + max(capacity, the largest request).
    """

    def __init__(self, per_second: float, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._unit = unit
        self.capacity = max(1.0, per_second)
        self._clock = clock
        self._left = self.capacity
        self._at = clock()

    def check(self) -> None:
        """Raises RateLimited unless at least one is left."""
        self._require(1)

    def take(self, count: int) -> None:
        """Take `count`. Raises RateLimited, and takes none then."""
        self._require(count)
        self._left -= count

    def _require(self, count: int) -> None:
        now = self._clock()
        self._left = min(self.capacity, self._left + max(0.0, now - self._at) * self._per_second)
        self._at = now
        missing = min(count, self.capacity) - self._left
        if missing > 1e-9 * self.capacity:  # ignore rounding errors
            seconds = max(1, math.ceil(missing / self._per_second))
            raise RateLimited(
                f"This key is limited to {self._per_second:g} {self._unit} per second; try again in {seconds} s.",
                retry_after_seconds=seconds,
            )


@dataclass(frozen=True)
class Rates:
    """Limits per key and second; None means unlimited."""

    rows: float | None = None
    requests: float | None = None
    body_bytes: float | None = None


UNLIMITED = Rates()


class RateLimit:
    """The remaining allowance of one key. Raises RateLimited."""

    def __init__(self, rates: Rates) -> None:
        self._rows = None if rates.rows is None else TokenBucket(rates.rows, "scored rows")
        self._requests = None if rates.requests is None else TokenBucket(rates.requests, "requests")
        self._bytes = None if rates.body_bytes is None else TokenBucket(rates.body_bytes, "body bytes")

    def begin(self, *, scores: bool) -> None:
        """Count a request by its head. A request for scores is refused if no row or byte is left."""
        if self._requests is not None:
            self._requests.take(1)
        if scores:
            for bucket in (self._rows, self._bytes):
                if bucket is not None:
                    bucket.check()

    def take_rows(self, count: int) -> None:
        """Count rows to score."""
        if self._rows is not None:
            self._rows.take(count)

    def take_bytes(self, count: int) -> None:
        """Count bytes of a body."""
        if self._bytes is not None:
            self._bytes.take(count)
