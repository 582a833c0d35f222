"""Deadlines of the requests that wait for their scores."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from itertools import takewhile

from harmgauge.inference.batch import Entry

TOO_LATE = (
    "The scores were not ready by the request's deadline, so it was dropped; try again later, send fewer instances at "
    "once, or allow more time (HARMGAUGE_DEADLINE_SECONDS and the request's own deadline)."
)

_PAUSE_SECONDS = 0.001


class Deadlines(dict[Entry, None]):
    """Entries in the order of their deadlines; `expire` is called with each whose deadline passes, and removes it.

    Most deadlines are the same time after the arrival, so one timer is enough for all entries here, and an answer only
    needs to remove its entry. A timer for each takes 2 us: only an entry with an earlier deadline than one before it
    gets one, and is not here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[Entry], None]) -> None:
        super().__init__()
        self._loop = loop
        self._expire = expire
        self._last = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    def add(self, entry: Entry) -> None:
        deadline = entry.context.deadline
        if deadline < self._last:
            entry.timer = self._loop.call_at(deadline, self._expire, entry)
        elif deadline < math.inf:
            self._last = deadline
            self[entry] = None
            if self._timer is None:
                self._timer = self._loop.call_at(deadline, self._look)

    def close(self) -> None:
        """Cancel the timer, which refers to its owner; entries that still wait get their own."""
        if self._timer is not None:
            self._timer.cancel()
        self._last = math.inf
        for entry in self:
            self.add(entry)
        self.clear()

    def _look(self) -> None:
        now = self._loop.time()
        for entry in list(takewhile(lambda entry: entry.context.deadline <= now, self)):
            self._expire(entry)
        first = next(iter(self), None)
        # uvloop rounds to whole milliseconds: without a pause, a timer that fires early would fire again at once.
        self._timer = (
            None if first is None else self._loop.call_at(max(first.context.deadline, now + _PAUSE_SECONDS), self._look)
        )
