"""Threads for bodies that take long to read and answers that take long to make: a turn for each, one after the other.

A large JSON body takes 100 ms, another client's picture 1. In turns of two milliseconds the small one is done first,
whoever came first; and work that nobody waits for any more ends with its step. What takes more than a turn goes on on
one thread, which rests as long as it works: Python's lock is free for the event loop at least half of the time.
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
"""Handing work back and taking up another costs some 20 us."""

LOOK_SECONDS = 0.1
"""How often the event loop looks whether the client is still there."""

T = TypeVar("T")


class StepThreads:
    """Work in steps, the first turn of each on so many `threads`. Used on one event loop."""

    def __init__(self, threads: int) -> None:
        self._short = ThreadPoolExecutor(threads, "read")
        self._long = ThreadPoolExecutor(1, "read-long")

    async def run(self, steps: Steps[T], waiting: Waiting, left: Callable[[], bool]) -> T:
        """What the steps give, and what they raise; `left` says whether the client is gone.

        Raises DeadlinePassed and CallerLeft as `waiting` does, which is asked before each step.
        """
        work = _Work(steps, waiting, self._long)
        self._short.submit(work.take_turn)
        try:
            while not work.result.done():
                await asyncio.wait([work.result], timeout=LOOK_SECONDS)
                waiting.has_left = waiting.has_left or left()
                if not work.result.done() and waiting.is_over():
                    waiting()
            return work.result.result()
        finally:
            if work.result.cancel():  # nobody waits any more, by the drain's end too
                waiting.has_left = True
            del work  # an error's traceback holds this frame: with the error's own future that would be a cycle


class _Work(Generic[T]):
    """`result` is the event loop's; once it is done, for whatever reason, no further step is."""

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
