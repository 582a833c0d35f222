"""Reading on threads ends if nobody waits for the response."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress

import pytest

from harmgauge.api.body.step_threads import StepThreads
from harmgauge.api.body.steps import one_step
from harmgauge.api.waiting import Waiting
from harmgauge.errors import CallerLeft, DeadlinePassed

pytestmark = pytest.mark.anyio


@pytest.fixture
def threads() -> StepThreads:
    return StepThreads(1)


async def read(
    threads: StepThreads, work: Callable[[Waiting], object], seconds: float = 60, left: threading.Event | None = None
) -> object:
    deadline = asyncio.get_running_loop().time() + seconds
    has_left = (lambda: False) if left is None else left.is_set
    waiting = Waiting(deadline)
    return await threads.run(one_step(work, waiting), waiting, has_left)


def for_ever(check: Waiting) -> None:
    while True:
        check()
        time.sleep(0.001)


async def test_what_the_thread_gives_or_raises(threads: StepThreads) -> None:
    assert await read(threads, lambda _: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await read(threads, lambda _: 1 / 0)


async def test_work_that_looks_ends_at_the_deadline(threads: StepThreads) -> None:
    with pytest.raises(DeadlinePassed, match="could not be read by the request's deadline"):
        await read(threads, for_ever, 0.05)
    assert await read(threads, lambda _: 7) == 7, "the thread is free again"


async def test_work_that_looks_ends_when_the_client_has_left(threads: StepThreads) -> None:
    left = threading.Event()
    asyncio.get_running_loop().call_later(0.05, left.set)
    with pytest.raises(CallerLeft):
        await read(threads, for_ever, left=left)
    assert await read(threads, lambda _: 7) == 7


@pytest.mark.parametrize("how", ["deadline", "client"])
async def test_what_waits_for_a_thread_does_not_begin(threads: StepThreads, how: str) -> None:
    """It is answered at once, and later work gets its turn."""
    release, begun = threading.Event(), list[object]()
    busy = asyncio.create_task(read(threads, lambda _: release.wait(60)))
    await asyncio.sleep(0)
    left = threading.Event()
    if how == "client":
        left.set()
    with pytest.raises(DeadlinePassed if how == "deadline" else CallerLeft):
        await read(threads, begun.append, 0.05 if how == "deadline" else 60, left)
    assert not busy.done()
    release.set()
    assert await busy is True
    assert await read(threads, lambda _: 7) == 7
    assert begun == []


async def test_the_drains_end_ends_the_reading(threads: StepThreads) -> None:
    ended = threading.Event()

    def work(check: Waiting) -> None:
        try:
            for_ever(check)
        finally:
            ended.set()

    task = asyncio.create_task(read(threads, work))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 60)


async def test_a_failure_leaves_nothing_for_the_cycle_collector(threads: StepThreads) -> None:
    class Body:
        pass

    gone = []

    async def refused() -> None:
        body = Body()
        gone.append(weakref.ref(body))

        def fail(_: Waiting) -> None:
            raise KeyError(id(body))

        with suppress(KeyError):
            await read(threads, fail)

    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            await refused()
        await read(threads, lambda _: 0)
        assert [each() for each in gone] == [None] * 3
    finally:
        gc.enable()
