"""Decides which calls may send their message now.

A client can send a whole message only while a read is pending for it; without one it can send 64 KB, HTTP/2's limit on
data sent ahead. So the number of pending reads bounds the memory of incomplete messages. A message that has already
arrived is read in microseconds, so honest clients hardly ever wait here; only a message that arrives slowly or never
occupies a read for long.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable

import grpc

from harmgauge.errors import DeadlinePassed, Overloaded, RequestError

UNFINISHED_BYTES = 256 * 2**20
"""Limit on all messages being read. Ended calls may hold as much again until their clients have been notified."""

FEWEST_READS, MOST_READS = 8, 256
"""Bounds on concurrent reads, whatever the maximum message size."""

MOST_WAITING = 512
"""Calls waiting for their turn, each with at most 64 KB of its message."""

PATIENCE_SECONDS = 1.0
"""Longest time of a read while others wait; less if more connections wait than there are reads, so that each of them
has its turn within about this time.
"""

SLOW_SECONDS = 10.0
"""A connection whose read was ended is kept out of the reserve for this time."""

MOST_SLOW = 4096
"""Number of connections remembered as slow."""


def reads_for(max_body_bytes: int) -> int:
    """Number of messages of up to this size that may be read at once."""
    return max(FEWEST_READS, min(MOST_READS, UNFINISHED_BYTES // max_body_bytes))


class _Read:
    """A read; `began` is None until its turn. `end` answers the call with an error, which also ends `receive`."""

    __slots__ = ("began", "end", "error", "holder", "turn")

    def __init__(self, holder: Hashable, end: Callable[[RequestError], None]) -> None:
        self.holder = holder
        self.end = end
        self.began: float | None = None
        self.turn: asyncio.Future[None] | None = None
        self.error: RequestError | None = None


class Reads:
    """Runs at most `most` reads at a time, shared among holders: a holder is a key on a connection.

    A quarter is a reserve for holders that have no other reads, and whose last reads were not too slow. Among those
    that wait, the holder with the fewest reads comes first. If no read finishes, the oldest read of the holder with the
    most is ended once it exceeds its time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.reserve = most // 4
        self._reading: dict[_Read, None] = {}
        self._ended = 0
        self._counts: dict[Hashable, int] = {}
        self._waiting: dict[Hashable, deque[_Read]] = {}
        self._waiting_calls = 0
        self._slow: dict[Hashable, float] = {}
        self._look_again: asyncio.TimerHandle | None = None

    async def read(
        self,
        receive: Callable[[], Awaitable[bytes]],
        end: Callable[[RequestError], None],
        holder: Hashable,
        deadline: float,
    ) -> bytes:
        """Wait for a turn and return the result of `receive`, until the event loop's clock reaches `deadline`.

        Raises DeadlinePassed or Overloaded. If `receive` was running, `end` has been called with that error first.
        """
        read = _Read(holder, end)
        timer = asyncio.get_running_loop().call_at(deadline, self._late, read)
        try:
            if self._waiting or not self._may_begin(holder):
                await self._turn(read)
            else:
                self._begin(read)
            if read.error is None:
                message = await receive()
        except grpc.aio.AbortError:
            if read.error is None:
                raise
        finally:
            timer.cancel()
            self._over(read)
        if read.error is not None:
            raise read.error
        return message

    def _may_begin(self, holder: Hashable) -> bool:
        reading = len(self._reading)
        free = min(self.most - reading, 2 * self.most - reading - self._ended)
        return free > (0 if holder not in self._counts and not self._is_slow(holder) else self.reserve)

    def _is_slow(self, holder: Hashable) -> bool:
        return holder in self._slow and asyncio.get_running_loop().time() < self._slow[holder]

    def _begin(self, read: _Read) -> None:
        read.began = asyncio.get_running_loop().time()
        self._reading[read] = None
        self._counts[read.holder] = self._counts.get(read.holder, 0) + 1

    async def _turn(self, read: _Read) -> None:
        read.turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(read.holder, deque()).append(read)
        self._waiting_calls += 1
        self._serve()
        if self._waiting_calls > MOST_WAITING:
            most = max(self._waiting.values(), key=len)
            self._refuse(most[-1], _too_many())
        await read.turn

    def _serve(self) -> None:
        """Give every free read to the next in line; if there is none, make sure that one becomes free."""
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        while self._waiting:
            holder = min(self._waiting, key=lambda holder: (self._is_slow(holder), self._counts.get(holder, 0)))
            if self._may_begin(holder):
                read = self._waiting[holder][0]
                self._leave(read)
                if holder in self._waiting:  # after the others
                    self._waiting[holder] = self._waiting.pop(holder)
                self._begin(read)
                _wake(read)
            elif not self._make_room(holder):
                break

    def _make_room(self, holder: Hashable) -> bool:
        """End a read in favour of one that waits; false if none has exceeded its time yet."""
        if not self._counts or self._ended >= self.most:  # ending more of them would free nothing
            return False
        most = max(self._counts, key=self._counts.__getitem__)
        if self._counts.get(holder, 0) >= self._counts[most]:
            most = holder
        oldest = next(read for read in self._reading if read.holder == most)
        loop = asyncio.get_running_loop()
        ends = (oldest.began or 0.0) + PATIENCE_SECONDS * min(1.0, self.most / len(self._waiting))
        if loop.time() < ends:
            self._look_again = loop.call_at(ends, self._serve)
            return False
        self._end(oldest, _too_slow())
        return True

    def _late(self, read: _Read) -> None:
        if read.error is not None:  # ended just now, and its task has not run since
            return
        error = DeadlinePassed("The message was incomplete at the call's deadline; send less at once, or faster.")
        if read.began is None:
            self._refuse(read, error)
        elif read in self._reading:
            self._end(read, error)
            self._serve()

    def _end(self, read: _Read, error: RequestError) -> None:
        self._stop_counting(read)
        self._ended += 1  # its bytes are held until its client has been notified
        self._slow[read.holder] = asyncio.get_running_loop().time() + SLOW_SECONDS
        if len(self._slow) > MOST_SLOW:
            del self._slow[next(iter(self._slow))]
        read.error = error
        read.end(error)

    def _refuse(self, read: _Read, error: RequestError) -> None:
        self._leave(read)
        read.error = error
        _wake(read)

    def _leave(self, read: _Read) -> None:
        line = self._waiting[read.holder]
        line.remove(read)
        self._waiting_calls -= 1
        if not line:
            del self._waiting[read.holder]

    def _stop_counting(self, read: _Read) -> None:
        del self._reading[read]
        self._counts[read.holder] -= 1
        if not self._counts[read.holder]:
            del self._counts[read.holder]

    def _over(self, read: _Read) -> None:
        """The read has finished, or never will."""
        if read in self._reading:
            self._stop_counting(read)
        elif read.began is not None:
            self._ended -= 1
        elif read.error is None:  # the client left while waiting
            self._leave(read)
        if self._waiting:
            self._serve()


def _wake(read: _Read) -> None:
    if read.turn is not None and not read.turn.done():  # the client may have left just now
        read.turn.set_result(None)


def _too_slow() -> Overloaded:
    return Overloaded(
        "The message arrived too slowly while other calls waited; send less at once, or try again later.",
        retry_after_seconds=1,
    )


def _too_many() -> Overloaded:
    return Overloaded("Too many calls are waiting to send their message; try again later.", retry_after_seconds=1)
