"""Crowds of reads take turns, in order, and leave the loop to others in between."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from harmgauge.api.turnstile import REST, Traffic, Turnstile

pytestmark = pytest.mark.anyio

BUSY = Traffic()
BUSY.came_at = math.inf


async def test_the_first_one_does_not_wait() -> None:
    turnstile = Turnstile(BUSY)
    assert not await turnstile.enter("a")
    assert await turnstile.enter("a")


async def test_a_crowd_passes_in_order_and_others_go_in_between() -> None:
    turnstile = Turnstile(BUSY)
    passed: list[int] = []
    rounds = 0

    async def one(number: int) -> None:
        await turnstile.enter("a")
        passed.append(number)
        rounds_at.append(rounds)

    async def others() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    rounds_at: list[int] = []
    traffic = asyncio.create_task(others())
    await asyncio.gather(*(one(number) for number in range(20)))
    traffic.cancel()
    assert passed == list(range(20))
    assert len(set(rounds_at)) == 20, "two passed in one round"


async def test_as_many_as_may_pass_at_once() -> None:
    turnstile = Turnstile(BUSY, at_once=8)
    entered = [asyncio.create_task(turnstile.enter("a")) for _ in range(17)]
    await asyncio.sleep(0)
    rounds = 0
    while not all(task.done() for task in entered):
        before = sum(task.done() for task in entered)
        await asyncio.sleep(0.001)
        assert sum(task.done() for task in entered) - before <= 8
        rounds += 1
        assert rounds < 1000


async def test_a_crowd_takes_a_part_of_the_loop_and_no_more() -> None:
    turnstile = Turnstile(BUSY)

    async def busy() -> None:
        await turnstile.enter("a")
        end = time.perf_counter() + 0.004
        while time.perf_counter() < end:
            pass

    begin = time.perf_counter()
    await asyncio.gather(*(busy() for _ in range(10)))
    assert time.perf_counter() - begin > 0.7 * 9 * (1 + REST) * 0.004


async def test_nobody_rests_where_there_is_no_traffic() -> None:
    turnstile = Turnstile(Traffic())

    async def busy() -> None:
        await turnstile.enter("a")
        end = time.thread_time() + 0.01
        while time.thread_time() < end:
            pass

    taken = []
    for _ in range(3):  # a busy machine may stall meanwhile, but not each time
        begin = time.perf_counter()
        await asyncio.gather(*(busy() for _ in range(20)))
        taken.append(time.perf_counter() - begin)
    assert min(taken) < 20 * (1 + REST) * 0.01


async def test_who_left_is_passed_over() -> None:
    turnstile = Turnstile(BUSY)
    await turnstile.enter("a")
    leaving = asyncio.create_task(turnstile.enter("a"))
    staying = asyncio.create_task(turnstile.enter("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await asyncio.wait_for(staying, 10)
    assert leaving.cancelled()
    await asyncio.sleep(0.1)
    assert not await turnstile.enter("a"), "it stays shut"


async def test_a_crowd_waits_for_itself() -> None:
    """A lone caller passes next, however many of another holder wait already."""
    turnstile = Turnstile(BUSY)
    passed: list[str] = []

    async def one(who: str) -> None:
        await turnstile.enter(who)
        passed.append(who)

    crowd = [asyncio.create_task(one("crowd")) for _ in range(50)]
    await asyncio.sleep(0)
    alone = [asyncio.create_task(one(who)) for who in ("scraper", "kubelet")]
    await asyncio.gather(*crowd, *alone)
    assert len(passed) == 52
    assert {passed.index("scraper"), passed.index("kubelet")} <= set(range(5))
