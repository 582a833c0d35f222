"""A client for thousands of single rows per second: its connections, and when they may send."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator

from tests.soak.connection import Connection
from tests.soak.dialects import DIALECTS
from tests.soak.ledger import Ledger

ANSWER_SECONDS = 30.0
"""A response that takes longer counts as lost; the service's own deadline is 10 s."""

_RECONNECT_SECONDS = 0.05


class FastClient:
    """All connections to one service, and their results. `rate` limits the requests per second; None for no limit.

    While `light` is true they send one request at a time, `light_rate` per second. Each of `kinds` is (dialect,
    connections, requests in flight on each): more than one are pipelined.
    """

    def __init__(
        self,
        port: int,
        key: str,
        kinds: list[tuple[str, int, int]],
        numbers: Iterator[int],
        rate: float | None,
        light_rate: float = 0,
    ) -> None:
        self.port = port
        self.key = key
        self.ledger = Ledger()
        self.latencies_seconds: list[float] = []
        self.stopping = False
        self.again: deque[int] = deque()
        self._numbers = numbers
        self.light = False
        self._rate = rate
        self._light_rate = light_rate
        self._idle: deque[tuple[Connection, int]] = deque()
        self._loop = asyncio.get_running_loop()
        self._connections = [
            Connection(self, DIALECTS[name], depth) for name, connections, depth in kinds for _ in range(connections)
        ]
        self._tasks = [asyncio.create_task(self._connect(each)) for each in self._connections]
        self._tasks += [asyncio.create_task(self._watch()), asyncio.create_task(self._release())]

    def use_key(self, key: str) -> None:
        """Use this key from the next request on."""
        self.key = key
        for connection in self._connections:
            connection.use_key(key)

    async def stop(self) -> None:
        """Stop sending, wait for the outstanding responses, and close."""
        self.stopping = True
        end = time.monotonic() + ANSWER_SECONDS
        while any(connection.waiting for connection in self._connections) and time.monotonic() < end:
            await asyncio.sleep(0.05)
        for connection in self._connections:
            connection.end("timeout")
        await asyncio.sleep(0.1)
        for task in self._tasks:
            task.cancel()

    def number(self) -> int:
        """The number for the next request; raises StopIteration when all were sent."""
        return self.again.popleft() if self.again else next(self._numbers)

    def free(self, connection: Connection, requests: int) -> None:
        """Report that a connection may send this many more requests."""
        if self.stopping:
            return
        if self._rate is None and not self.light:
            connection.send(requests)
        else:
            self._idle.extend([(connection, connection.times_made)] * requests)

    def lost(self, connection: Connection) -> None:
        if not self.stopping:
            self._tasks.append(asyncio.create_task(self._connect(connection)))
            self._tasks = [task for task in self._tasks if not task.done()]

    async def _connect(self, connection: Connection) -> None:
        while not self.stopping:
            try:
                await self._loop.create_connection(lambda: connection, "127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(_RECONNECT_SECONDS)
            else:
                return

    async def _release(self) -> None:
        """Let connections send at the configured rate; capacity that no free connection can use is lost."""
        unbounded = 1e9
        last, due = time.monotonic(), 0.0
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            rate = self._light_rate if self.light else self._rate or unbounded
            due = min(due + (now - last) * rate, rate / 10 + 1)
            last = now
            if self.light:
                due = min(due, 0 if any(each.waiting for each in self._connections) else 1)
            while due >= 1 and self._idle and not self.stopping:
                connection, times_made = self._idle.popleft()
                if connection.times_made == times_made:  # otherwise it was lost meanwhile
                    connection.send(1)
                    due -= 1

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            late = time.monotonic() - ANSWER_SECONDS
            for connection in self._connections:
                if connection.waiting and connection.waiting[0][1] < late:
                    connection.end("timeout")
