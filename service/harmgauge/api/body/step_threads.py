"""Threads that take turns at bodies that are slow to read and responses that are slow to build.

Reading a large JSON body takes 100 ms, another client's image 1 ms. With turns of two milliseconds the small one is
done first, whichever arrived first, and work that is no longer needed ends after its current step. Work that needs more
than a turn continues on one thread, which rests between its turns for as long as a turn: the event loop can take
the GIL at least half of the time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from harmgauge.api.body.steps import Steps
from harmgauge.api.waiting import Waiting

TURN_SECONDS = 0.002
"""Switching between pieces of work takes about 20 us."""

LOOK_SECONDS = 0.1
"""How often the event loop checks whether the client is still connected."""

T = TypeVar("T")


class StepThreads:
    """Runs work in steps; the first turn of each piece of work runs on one of `threads` threads. For use on one event
    loop.
    """

    def __init__(self, threads: int) -> None:
        self._short = ThreadPoolExecutor(threads, "read")
        self._long = ThreadPoolExecutor(1, "read-long")

    async def run(
        self, steps: Steps[T], waiting: Waiting, left: Callable[[], bool], threads: ThreadPoolExecutor | None = None
    ) -> T:
        """Run the steps and return their result, or raise their exception; `left` returns whether the client is gone.

        The first turn runs on one of `threads`, if given. Calls `waiting` before each step, and raises its
        DeadlinePassed and CallerLeft.
        """
        work = _Work(steps, waiting, self._long)
        (threads or self._short).submit(work.take_turn)
        try:
            while not work.result.done():
                await asyncio.wait([work.result], timeout=LOOK_SECONDS)
                waiting.has_left = waiting.has_left or left()
                if not work.result.done() and waiting.is_over():
                    waiting()
            return work.result.result()
        finally:
            if work.result.cancel():  # no client waits any more, or the drain has ended
                waiting.has_left = True
            del work  # an error's traceback references this frame: with the error's future that would be a cycle


class _Work(Generic[T]):
    """Work in steps; `result` belongs to the event loop. Once it is done, for any reason, no further step runs."""

    def __init__(self, steps: Steps[T], waiting: Waiting, long: ThreadPoolExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[T] = self._loop.create_future()
        self._steps = steps
        self._waiting = waiting
        self._long = long

    def take_turn(self) -> None:
        end = time.monotonic() + TURN_SECONDS
        try:
            while not self.result.done():
                self._waiting()
                next(self._steps)
                if time.monotonic() > end:
                    self._long.submit(self._rest_and_go_on)
                    return
            self._steps.close()
        except StopIteration as last:
            self._loop.call_soon_threadsafe(self._give, last.value)
        except BaseException as error:
            error.__traceback__ = None if error.__traceback__ is None else error.__traceback__.tb_next  # no cycle
            self._loop.call_soon_threadsafe(self._fail, error)

    def _rest_and_go_on(self) -> None:
        time.sleep(TURN_SECONDS)
        self.take_turn()

    def _give(self, result: T) -> None:
        if not self.result.done():
            self.result.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if not self.result.done():
            self.result.set_exception(error)
