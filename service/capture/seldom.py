"""A log that is not flooded by what goes on and on."""

from __future__ import annotations

import logging
import time

LOG_SECONDS = 60.0


class Seldom:
    """Warns of the same thing once a minute at most."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._next: dict[str, float] = {}

    def warn(self, message: str, *arguments: object) -> None:
        now = time.monotonic()
        if now >= self._next.get(message, 0.0):
            self._next[message] = now + LOG_SECONDS
            self._log.warning(message, *arguments)
