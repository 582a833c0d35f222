"""Threads for bodies that take long to read and answers that take long to make: a turn for each, one after the other.

A large JSON body takes 100 ms, another client's picture 1. In turns of two milliseconds the small one is done first,
whoever came first; and work that nobody waits for any more ends with its turn.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from harmgauge.api.body.steps import Steps
from harmgauge.errors import CallerLeft, DeadlinePassed
from harmgauge.inference.caller import RequestContext

TURN_SECONDS = 0.002
"""Handing work back and taking up another costs some 20 us."""

LOOK_SECONDS = 0.1
"""So often is a client looked for whose body is read."""

T = TypeVar("T")


class StepThreads:
    """Work in steps on so many `threads`. Used on one event loop."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "read")

    async def run(self, steps: Steps[T], context: RequestContext) -> T:
        """What the steps give, and what they raise. Raises DeadlinePassed and CallerLeft, and no step is done then."""
        loop = asyncio.get_running_loop()
        work = _Work(steps, loop, self._pool, context.deadline)
        self._pool.submit(work.take_turn)
        done: set[asyncio.Future[T]] = set()
        try:
            while True:
                left_seconds = context.deadline - loop.time()
                done, _ = await asyncio.wait({work.result}, timeout=max(0.0, min(LOOK_SECONDS, left_seconds)))
                if done:
                    return work.result.result()
                if left_seconds <= 0:
                    raise _late()
                if context.left():
                    raise CallerLeft
        finally:
            work.result.cancel()
            del work, done  # an error's traceback holds this frame: with its own future that would be a cycle


class _Work(Generic[T]):
    """`result` is the event loop's; once it is done, for whatever reason, no further step is."""

    def __init__(
        self, steps: Steps[T], loop: asyncio.AbstractEventLoop, pool: ThreadPoolExecutor, deadline: float
    ) -> None:
        self.result: asyncio.Future[T] = loop.create_future()
        self._steps = steps
        self._loop = loop
        self._pool = pool
        self._deadline = deadline

    def take_turn(self) -> None:
        end = time.monotonic() + TURN_SECONDS
        try:
            while not self.result.done():
                if self._loop.time() > self._deadline:
                    raise _late()
                next(self._steps)
                if time.monotonic() > end:
                    self._pool.submit(self.take_turn)
                    return
            self._steps.close()
        except StopIteration as last:
            self._loop.call_soon_threadsafe(self._give, last.value)
        except BaseException as error:
            error.__traceback__ = None if error.__traceback__ is None else error.__traceback__.tb_next  # no cycle
            self._loop.call_soon_threadsafe(self._fail, error)

    def _give(self, result: T) -> None:
        if not self.result.done():
            self.result.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if not self.result.done():
            self.result.set_exception(error)


def _late() -> DeadlinePassed:
    return DeadlinePassed("The body was not read by the request's deadline; send less at once, or ask again later.")
