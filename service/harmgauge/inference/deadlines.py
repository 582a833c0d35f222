"""Deadlines of the requests that wait for their scores."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from itertools import takewhile

from harmgauge.inference.batch import Entry


class Deadlines:
    """Calls `expire` with each entry whose deadline passes before it is discarded; `expire` discards it.

    Most deadlines are the same time after the arrival, so they come in order, and one timer is enough for all of them.
    Only an entry that comes with an earlier deadline than one before it gets a timer of its own, which takes 2 us.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[Entry], None]) -> None:
        self._loop = loop
        self._expire = expire
        self._in_order: dict[Entry, None] = {}
        self._last = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def add(self, entry: Entry) -> None:
        deadline = entry.context.deadline
        if deadline < self._last:
            entry.timer = self._loop.call_at(deadline, self._expire, entry)
        elif deadline < math.inf:
            self._last = deadline
            self._in_order[entry] = None
            if self._timer is None:
                self._timer = self._loop.call_at(deadline, self._look)

    def discard(self, entry: Entry) -> None:
        """Forget an entry that has its answer; a second call has no effect."""
        if entry.timer is None:
            self._in_order.pop(entry, None)
            if self._is_closed:
                self.close()
        else:
            entry.timer.cancel()
            entry.timer = None  # after firing it would form a reference cycle with the entry

    def close(self) -> None:
        """Keep the timer, which refers to its owner, only for entries that still wait."""
        self._is_closed = True
        if not self._in_order and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for entry in list(takewhile(lambda entry: entry.context.deadline <= now, self._in_order)):
            self._expire(entry)
        first = next(iter(self._in_order), None)
        if first is not None:
            self._timer = self._loop.call_at(first.context.deadline, self._look)
