"""Whether the machine itself stood still: what nobody can answer through is not the service's doing."""

from __future__ import annotations

import threading
import time

from tests.soak.journal import AccessLog

STALL_SECONDS = 0.2
_BEAT_SECONDS = 0.1


class Heartbeat(threading.Thread):
    """Sleeps, and notes by how much it slept longer than it meant to, where that is long."""

    def __init__(self, journal: AccessLog) -> None:
        super().__init__(name="heartbeat")
        self._journal = journal
        self.stop = threading.Event()

    def run(self) -> None:
        last = time.monotonic()
        while not self.stop.wait(_BEAT_SECONDS):
            now = time.monotonic()
            late_seconds = now - last - _BEAT_SECONDS
            if late_seconds > STALL_SECONDS:
                self._journal.note("stall", seconds=late_seconds)
            last = now
