"""The thread that loads bundles, and the handling of loads that hang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from harmgauge.errors import BundleError

T = TypeVar("T")


class LoadingThread:
    """Runs calls one after another on one thread, because each thread's allocator keeps the memory that a graph once
    took there.

    A call that takes longer than `timeout_seconds` (a file system that no longer responds, native code that never
    returns) cannot be stopped. It keeps its thread, and the next call gets a new one. Use it on the event loop.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._thread = ThreadPoolExecutor(1, "load")
        self._hanging: dict[object, str] = {}

    @property
    def hanging(self) -> str | None:
        """The hanging call, for a message; None if there is none."""
        return next(iter(self._hanging.values()), None)

    async def run(self, what: str, call: Callable[[], T], undo: Callable[[T], object] = lambda _: None) -> T:
        """The result of `call`, which messages refer to as `what`. A result that arrives too late is passed to `undo`.

        Raises BundleError after the timeout, and any exception of the call.
        """
        loop, future = asyncio.get_running_loop(), self._thread.submit(call)

        def end_late() -> None:
            self._hanging.pop(future, None)
            if future.exception() is None:
                undo(future.result())

        def late(_: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop is closed: the process ends
                loop.call_soon_threadsafe(end_late)

        try:
            done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=self._timeout_seconds)
        except asyncio.CancelledError:
            future.add_done_callback(late)
            raise
        if done:
            return future.result()
        self._hanging[future] = what
        self._thread.shutdown(wait=False)
        self._thread = ThreadPoolExecutor(1, "load")
        future.add_done_callback(late)
        raise BundleError(
            f"{what} has taken {self._timeout_seconds:g} s and cannot be stopped; /livez fails until it ends, so that "
            "the service is restarted: check that the disk responds"
        )

    def submit(self, call: Callable[[], object]) -> None:
        """Run the call when the thread is free, without waiting for it."""
        self._thread.submit(call)
