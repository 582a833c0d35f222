"""All HTTP connections together: limits their number, and the memory that they hold besides request bodies.

No client is shut out because of others. If there is no room for a new connection, one that waits for its client is
closed, of the address with most. If the buffers are full, the connection with the largest buffer is closed.
"""

from __future__ import annotations

import logging
from typing import Protocol

from harmgauge.observe.logs import RateLimitedWarning

log = logging.getLogger(__name__)

SMALL_BUFFER_BYTES = 16 * 2**10
"""A connection's buffer is not counted up to this size: heads of requests and small responses fit into it."""

MAX_BUFFERS_BYTES = 64 * 2**20
"""Limit for all connections: incomplete heads, requests sent ahead, and responses that clients do not take."""


class Connection(Protocol):
    """The interface of a connection."""

    @property
    def waits_for_client(self) -> bool:
        """Whether the client has to act next: send its next request or the rest of one, or take its response."""

    def give_up(self) -> None:
        """Close the connection now, discarding unsent data."""


class Connections:
    """Limits connections to `max_connections`, and their larger buffers to MAX_BUFFERS_BYTES; on one event loop."""

    def __init__(self, max_connections: int) -> None:
        self._max = max_connections
        self._by_address: dict[str, dict[Connection, None]] = {}  # by address, the least recently active first
        self._count = 0
        self._buffers: dict[Connection, int] = {}
        self._buffers_bytes = 0
        self._warning = RateLimitedWarning(log)

    def __len__(self) -> int:
        return self._count

    @property
    def buffers_bytes(self) -> int:
        """Total size of the buffers that are counted."""
        return self._buffers_bytes

    def add(self, connection: Connection, address: str) -> bool:
        """Add a connection, if necessary in place of another; returns whether there is room."""
        if self._count >= self._max and not self.make_room():
            return False
        self._by_address.setdefault(address, {})[connection] = None
        self._count += 1
        return True

    def remove(self, connection: Connection, address: str) -> None:
        """Remove a connection that is closed or about to be. A second call has no effect."""
        self.buffer(connection, 0)
        siblings = self._by_address.get(address, {})
        if connection in siblings:
            del siblings[connection]
            self._count -= 1
            if not siblings:
                del self._by_address[address]

    def active(self, connection: Connection, address: str) -> None:
        """Record activity of the connection's client."""
        siblings = self._by_address.get(address, {})
        if connection in siblings:
            del siblings[connection]
            siblings[connection] = None

    def buffer(self, connection: Connection, size_bytes: int) -> None:
        """Record how many bytes the connection buffers, received or to be sent.

        Closes the connection with the largest buffer, possibly this one, if the total is too large.
        """
        counted = self._buffers.pop(connection, 0)
        if size_bytes > SMALL_BUFFER_BYTES:
            self._buffers[connection] = size_bytes
            self._buffers_bytes += size_bytes
        self._buffers_bytes -= counted
        while self._buffers_bytes > MAX_BUFFERS_BYTES:
            largest = max(self._buffers, key=self._buffers.__getitem__)
            self._buffers_bytes -= self._buffers.pop(largest)
            self._warning.warn("the buffers of all connections are full: closing the connections with the largest")
            largest.give_up()

    def make_room(self) -> bool:
        """Close a connection that waits for its client; returns whether there was one."""
        self._warning.warn("%d connections are open, and there is no room for more: closing idle ones", self._count)
        waiting = self._longest_waiting()
        if waiting is None:
            return False
        connection, address = waiting
        self.remove(connection, address)
        connection.give_up()
        return True

    def _longest_waiting(self) -> tuple[Connection, str] | None:
        """The longest-waiting connection of the address with most connections, among addresses with a connection that
        waits for its client.
        """
        for address, siblings in sorted(self._by_address.items(), key=lambda each: len(each[1]), reverse=True):
            for connection in siblings:
                if connection.waits_for_client:
                    return connection, address
        return None
