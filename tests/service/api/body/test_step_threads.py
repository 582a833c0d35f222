"""Long reads take turns; a read that nobody waits for does not begin, or ends after its current step."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from harmgauge.api.body.step_threads import StepThreads
from harmgauge.api.body.steps import Steps, collect, finish, one_step
from harmgauge.api.waiting import Waiting
from harmgauge.errors import CallerLeft, DeadlinePassed, Unprocessable

pytestmark = pytest.mark.anyio


def never() -> bool:
    return False


def counting(log: list[str], name: str, steps: int, seconds: float = 0.002) -> Steps[str]:
    for _ in range(steps):
        log.append(name)
        time.sleep(seconds)
        yield
    return name


async def test_small_work_overtakes_large_work() -> None:
    threads, log = StepThreads(1), list[str]()
    large = [asyncio.create_task(threads.run(counting(log, "large", 40), Waiting(), never)) for _ in range(3)]
    while not log:
        await asyncio.sleep(0.001)
    small = asyncio.create_task(threads.run(counting(log, "small", 1), Waiting(), never))
    assert await small == "small"
    assert log.count("large") < 60
    assert await asyncio.gather(*large) == ["large"] * 3
    assert log.count("large") == 120


async def test_long_work_goes_on_one_at_a_time_and_rests() -> None:
    threads, at_work, most_at_work = StepThreads(4), 0, 0

    def working() -> Steps[None]:
        nonlocal at_work, most_at_work
        for step in range(20):
            at_work += 1
            if step > 4:  # in its first turn there may be others
                most_at_work = max(most_at_work, at_work)
            time.sleep(0.001)
            at_work -= 1
            yield

    begin = time.monotonic()
    await asyncio.gather(*(threads.run(working(), Waiting(), never) for _ in range(4)))
    assert most_at_work == 1
    assert time.monotonic() - begin > 1.3 * 4 * 16 * 0.001


async def test_what_is_late_is_not_begun() -> None:
    threads, log = StepThreads(1), list[str]()
    held = threading.Event()
    holding = asyncio.create_task(threads.run(one_step(held.wait), Waiting(), never))
    await asyncio.sleep(0)
    late = Waiting(asyncio.get_running_loop().time() + 0.02)
    with pytest.raises(DeadlinePassed):
        await threads.run(counting(log, "late", 1), late, never)
    held.set()
    assert await holding
    assert await threads.run(counting(log, "next", 1), Waiting(), never) == "next"
    assert log == ["next"]


@pytest.mark.parametrize(
    ("waiting", "left", "error"),
    [
        (lambda: Waiting(time.monotonic() + 0.05), never, DeadlinePassed),
        (Waiting, lambda: True, CallerLeft),
    ],
)
async def test_work_ends_when_nobody_waits(
    waiting: Callable[[], Waiting], left: Callable[[], bool], error: type[Exception]
) -> None:
    threads, log = StepThreads(1), list[str]()
    with pytest.raises(error):
        await threads.run(counting(log, "long", 100_000), waiting(), left)
    await threads.run(one_step(time.sleep, 0), Waiting(), never)
    done = len(log)
    await asyncio.sleep(0.05)
    assert len(log) == done < 1000


async def test_errors_are_the_callers() -> None:
    def refuse() -> None:
        raise Unprocessable("no")

    with pytest.raises(Unprocessable, match="no"):
        await StepThreads(1).run(one_step(refuse), Waiting(), never)


def test_steps_here_and_now() -> None:
    assert finish(collect(iter([1, 2, 3]))) == [1, 2, 3]
    assert finish(one_step(divmod, 7, 3)) == (2, 1)
