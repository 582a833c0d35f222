"""Responses that are costly to build and the same for everyone: built one at a time, and shared by all who ask
meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

SHARE = 0.1
"""Share of a core that building responses may take in the long run."""

BURST_SECONDS = 0.5
"""Additional time for building, for occasional requests."""

LONGEST_REST_SECONDS = 1.0

T = TypeVar("T")


class Shared(Generic[T]):
    """The result of `make`. It is never started before it is requested, so it includes everything that has happened by
    then.

    If making results has taken more than its share of time, there is a pause before the next. Requests that arrive
    meanwhile wait and share the result: a crowd costs no more than one request.
    """

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._next: asyncio.Task[T] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._taken_seconds = 0.0  # time spent on making, less its share of the time since
        self._counted_at = time.perf_counter()

    async def get(self) -> T:
        """Raises the exceptions of `make`."""
        if self._next is None:
            self._next = asyncio.create_task(self._make_next())
        return await asyncio.shield(self._next)  # one client that leaves does not cancel it for the others

    async def _make_next(self) -> T:
        async with self._one_at_a_time:
            self._count(0.0)
            await asyncio.sleep(min(LONGEST_REST_SECONDS, max(0.0, self._taken_seconds - BURST_SECONDS) / SHARE))
            self._next = None
            begin = time.perf_counter()
            try:
                return await self._make()
            finally:
                self._count(time.perf_counter() - begin)

    def _count(self, making_seconds: float) -> None:
        now = time.perf_counter()
        self._taken_seconds = max(0.0, self._taken_seconds - SHARE * (now - self._counted_at)) + making_seconds
        self._counted_at = now
