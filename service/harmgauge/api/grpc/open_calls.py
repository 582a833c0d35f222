"""Counts open calls, including those whose response the client has not taken.

C-core keeps a call until its response is taken or its connection ends; nothing else removes it. Each takes about 30 KB.
"""

from __future__ import annotations

from harmgauge.errors import Overloaded

MOST_CALLS = 1024
"""Limit over all connections. Beyond it, each connection may still have its share, at least `FEWEST_CALLS`."""

FEWEST_CALLS = 16


class OpenCalls:
    """Counts calls by connection, so that one connection cannot use up the limit."""

    def __init__(self) -> None:
        self._calls = 0
        self._counts: dict[str, int] = {}

    def begin(self, connection: str) -> None:
        """Count a call until `end` is called for it. Raises Overloaded."""
        mine = self._counts.get(connection, 0)
        if self._calls >= MOST_CALLS and mine >= max(FEWEST_CALLS, MOST_CALLS // len(self._counts)):
            raise Overloaded(
                f"{self._calls} calls are open, {mine} of them on this connection; read their answers first.",
                retry_after_seconds=1,
            )
        self._calls += 1
        self._counts[connection] = mine + 1

    def end(self, connection: str) -> None:
        self._calls -= 1
        self._counts[connection] -= 1
        if not self._counts[connection]:
            del self._counts[connection]
