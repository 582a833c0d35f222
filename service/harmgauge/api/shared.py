"""Answers that are costly to make and the same for everybody: made by one at a time, for all who ask meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

REST = 9
"""Making takes at most a tenth of a core."""

LONGEST_REST_SECONDS = 1.0

T = TypeVar("T")


class Shared(Generic[T]):
    """What `make` gives, never begun before it was asked for: it has all that had happened by then.

    After each making there is a rest of REST times its length. Whoever asks meanwhile waits, and shares the next one
    with all others that do: a crowd costs no more than one.
    """

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._next: asyncio.Task[T] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._rested_at = 0.0

    async def get(self) -> T:
        """Raises what `make` raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._make_next())
        return await asyncio.shield(self._next)  # whoever leaves takes it from nobody

    async def _make_next(self) -> T:
        async with self._one_at_a_time:
            await asyncio.sleep(max(0.0, self._rested_at - time.perf_counter()))
            self._next = None
            begin = time.perf_counter()
            try:
                return await self._make()
            finally:
                end = time.perf_counter()
                self._rested_at = end + min(LONGEST_REST_SECONDS, REST * (end - begin))
