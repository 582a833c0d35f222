"""Counts how often the threads of a process went to sleep, including threads that ended meanwhile."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from tests.bench.proc import ThreadSwitches, voluntary_switches

SAMPLE_SECONDS = 0.1
"""A thread's last switches are missed if they come less than this before its end."""


class Wakeups:
    """Adds up voluntary context switches from snapshots. A thread that starts later counts from 0."""

    def __init__(self, first: ThreadSwitches) -> None:
        self._first = first
        self._last = dict(first)

    def add(self, snapshot: ThreadSwitches) -> None:
        self._last |= snapshot

    @property
    def count(self) -> int:
        return sum(last - self._first.get(thread, 0) for thread, last in self._last.items())


class WakeupCounter:
    """Samples a process from a thread for the length of a `with` block; then `count` is complete."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._wakeups = Wakeups(voluntary_switches(process))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    @property
    def count(self) -> int:
        return self._wakeups.count

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()
        self._wakeups.add(voluntary_switches(self._process))

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self._wakeups.add(voluntary_switches(self._process))
