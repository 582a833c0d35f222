"""Admits requests a few at a time, so that a crowd of them leaves most of the event loop to traffic."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Hashable

REST = 3
LONGEST_REST_SECONDS = 0.02

TRAFFIC_SECONDS = 0.1
"""More traffic is assumed to follow within this time after a traffic request, and is given room."""


class Traffic:
    """Time of the last traffic request, in seconds of `perf_counter`."""

    def __init__(self) -> None:
        self.came_at = -math.inf


class Turnstile:
    """Lets at most `at_once` requests pass in a round of the event loop; while there is traffic, the next pass after a
    rest of REST times as long as that round took. So a crowd takes at most a quarter of the loop's time. Clients take
    turns, so a crowd delays itself, and others hardly at all.

    Admission holds nothing: a request that has passed may take as long as it likes.
    """

    def __init__(self, traffic: Traffic, at_once: int = 1) -> None:
        self._traffic = traffic
        self._at_once = at_once
        self._lines: dict[Hashable, deque[asyncio.Future[None]]] = {}  # in order: the first is the next to pass
        self._is_turning = False  # whether some were admitted in this round
        self._has_timer = False
        self._turned_at = 0.0
        self._opens_at = 0.0

    async def enter(self, who: Hashable) -> bool:
        """Wait for a turn; returns whether waiting was necessary."""
        loop = asyncio.get_running_loop()
        if not (self._is_turning or self._lines) and time.perf_counter() >= self._opens_at:
            self._turn(loop)
            return False
        mine = loop.create_future()
        self._lines.setdefault(who, deque()).append(mine)
        if not self._is_turning:
            self._set_timer(loop)
        await mine
        return True

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_turning = True
        self._turned_at = time.perf_counter()
        loop.call_soon(self._rest, loop)  # after the requests just admitted

    def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.perf_counter()
        self._is_turning = False
        self._opens_at = now
        if now - self._traffic.came_at < TRAFFIC_SECONDS:
            self._opens_at += min(LONGEST_REST_SECONDS, REST * (now - self._turned_at))
        if self._lines:
            self._set_timer(loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._has_timer:
            self._has_timer = True
            loop.call_later(max(0.0, self._opens_at - time.perf_counter()), self._open, loop)

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._has_timer = False
        through = 0
        while self._lines and through < self._at_once:
            first = self._next()
            if not first.done():  # otherwise it was cancelled
                first.set_result(None)
                through += 1
        if through:
            self._turn(loop)

    def _next(self) -> asyncio.Future[None]:
        who = next(iter(self._lines))
        line = self._lines.pop(who)
        first = line.popleft()
        if line:
            self._lines[who] = line  # queue behind the others
        return first


class Turnstiles:
    """`looks` is for requests that are neither traffic nor probes; probes pass many at a time, and never wait for
    looks.
    """

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.looks = Turnstile(self.traffic)
        self.probes = Turnstile(self.traffic, at_once=8)
