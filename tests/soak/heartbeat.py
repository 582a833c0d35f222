"""Detects stalls of the whole machine, which are not the service's fault."""

from __future__ import annotations

import threading
import time

from tests.soak.journal import AccessLog

STALL_SECONDS = 0.2
_BEAT_SECONDS = 0.1


class Heartbeat(threading.Thread):
    """Sleeps repeatedly, and records how much longer than intended a sleep took, if that is long."""

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
