"""Deadlines that share a timer, on a clock that the test sets."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.inference.batch import Entry
from harmgauge.inference.caller import RequestContext
from harmgauge.inference.deadlines import Deadlines


class Handle:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """An event loop's clock and timers."""

    def __init__(self) -> None:
        self.now, self.made = 0.0, 0
        self.is_rounded = False
        """Whether timers fire at whole milliseconds, at most half of one early, as uvloop's do."""
        self._timers: list[tuple[float, int, Handle]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[..., None], *arguments: Any) -> Handle:
        self.made += 1
        assert self.made < 10_000, "a timer fires again and again"
        handle = Handle(lambda: call(*arguments))
        due = max(self.now, round(when, 3)) if self.is_rounded else when
        heapq.heappush(self._timers, (due, self.made, handle))
        return handle

    def run_until(self, end: float) -> None:
        while self._timers and self._timers[0][0] <= end:
            self.now, _, handle = heapq.heappop(self._timers)
            if handle.call is not None:
                handle.call()
        self.now = end

    @property
    def pending(self) -> int:
        return sum(handle.call is not None for _, _, handle in self._timers)


class Waiting:
    """Entries with deadlines, as the batcher keeps them: `expired` are the times at which they were, by deadline."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.deadlines = Deadlines(cast("asyncio.AbstractEventLoop", self.loop), self._expire)
        self.expired: list[tuple[float, float]] = []

    def add(self, deadline: float) -> Entry:
        entry = Entry(np.zeros(1), RequestContext(deadline), cast("asyncio.Future[Any]", None), 0.0)
        self.deadlines.add(entry)
        return entry

    def answer(self, entry: Entry) -> None:
        if entry.timer is None:
            self.deadlines.pop(entry, None)
        else:
            entry.timer.cancel()

    def _expire(self, entry: Entry) -> None:
        self.expired.append((entry.context.deadline, self.loop.now))
        self.answer(entry)


SECONDS = st.integers(0, 100).map(float)


@given(st.lists(st.tuples(SECONDS, SECONDS, SECONDS), max_size=30), SECONDS)
def test_each_expires_at_its_deadline_unless_it_was_answered_before(
    requests: list[tuple[float, float, float]], closed_at: float
) -> None:
    """Requests arrive at any time, with any deadline, and are answered after any time; the batcher closes meanwhile."""
    waiting = Waiting()
    due: list[tuple[float, Callable[[], object]]] = [(closed_at, waiting.deadlines.close)]
    missed = []

    def arrive(entries: list[Entry], deadline: float) -> None:
        entries.append(waiting.add(deadline))

    def leave(entries: list[Entry]) -> None:
        waiting.answer(entries[0])

    for arrives, waits, takes in requests:
        entries: list[Entry] = []
        due.append((arrives, partial(arrive, entries, arrives + waits)))
        due.append((arrives + takes, partial(leave, entries)))
        if waits < takes:
            missed.append(arrives + waits)
    for at, act in sorted(due, key=lambda one: one[0]):
        waiting.loop.run_until(at)
        act()
    waiting.loop.run_until(300)
    kept = [deadline for deadline, now in waiting.expired if deadline == now]
    assert kept == [deadline for deadline, _ in waiting.expired]
    # a request whose answer and deadline come at the same moment may get either
    assert not (set(missed) - set(kept))
    assert len(kept) <= len(missed) + sum(waits == takes for _, waits, takes in requests)
    assert not waiting.deadlines
    assert not waiting.loop.pending


def test_deadlines_in_order_share_one_timer() -> None:
    waiting = Waiting()
    for number in range(1000):
        waiting.loop.run_until(number / 100)
        waiting.answer(waiting.add(number / 100 + 30))
    late = [waiting.add(40 + number / 100) for number in range(3)]
    assert waiting.loop.made == 1
    waiting.loop.run_until(100)
    assert [deadline for deadline, _ in waiting.expired] == [entry.context.deadline for entry in late]
    assert waiting.loop.made <= 1 + 1 + len(late)


def test_a_timer_that_fires_early_does_not_fire_again_and_again() -> None:
    waiting = Waiting()
    waiting.loop.is_rounded = True
    for number in range(100):
        waiting.add(1 + number / 1000 + 0.0004)
    waiting.loop.run_until(3)
    assert len(waiting.expired) == 100
    assert all(0 <= now - deadline <= 0.0021 for deadline, now in waiting.expired)
    assert waiting.loop.made <= 202


def test_after_the_end_no_timer_refers_to_the_owner() -> None:
    waiting = Waiting()
    waiting.answer(waiting.add(30))
    assert waiting.loop.pending == 1
    waiting.deadlines.close()
    assert not waiting.loop.pending
