"""Whether the machine itself stood still: what nobody can answer through is not the service's doing."""

from __future__ import annotations

import threading
import time

from tests.soak.journal import Journal

STALL_SECONDS = 0.2
_BEAT_SECONDS = 0.1


class Heartbeat(threading.Thread):
    """Sleeps, and notes when it slept far longer than it meant to."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(name="heartbeat")
        self._journal = journal
        self.stop = threading.Event()

    def run(self) -> None:
        last = time.monotonic()
        while not self.stop.wait(_BEAT_SECONDS):
            now = time.monotonic()
            if now - last > STALL_SECONDS:
                self._journal.note("stall", seconds=now - last)
            last = now
