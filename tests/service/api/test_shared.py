"""One computation for all who ask during it, and never one that began before the request."""

from __future__ import annotations

import asyncio

import pytest

from harmgauge.api import shared as module
from harmgauge.api.shared import Shared

pytestmark = pytest.mark.anyio


class Counted:
    """Returns the number of calls, after a moment; counts how many run at a time."""

    def __init__(self) -> None:
        self.begun = 0
        self.at_once = 0
        self.most_at_once = 0
        self.fails = False

    async def make(self) -> int:
        self.begun += 1
        number = self.begun
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.005)
        self.at_once -= 1
        if self.fails:
            raise ValueError("made wrong")
        return number


async def test_a_crowd_shares_one_making() -> None:
    counted = Counted()
    shared = Shared(counted.make)
    assert await asyncio.gather(*(shared.get() for _ in range(50))) == [1] * 50
    assert counted.begun == 1


async def test_who_comes_while_one_is_made_gets_the_next() -> None:
    counted = Counted()
    shared = Shared(counted.make)
    first = asyncio.create_task(shared.get())
    while not counted.begun:
        await asyncio.sleep(0)
    later = await asyncio.gather(*(shared.get() for _ in range(50)))
    assert (await first, later) == (1, [2] * 50)
    assert (counted.begun, counted.most_at_once) == (2, 1)


async def test_a_storm_takes_a_tenth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BURST_SECONDS", 0.05)
    counted = Counted()
    shared = Shared(counted.make)
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.4

    async def ask() -> None:
        while loop.time() < end:
            await shared.get()

    await asyncio.gather(*(ask() for _ in range(16)))
    assert 2 <= counted.begun <= 25, "5 ms each: 10 at once, and 20 in a second"


async def test_who_looks_now_and_then_never_waits() -> None:
    counted = Counted()
    shared = Shared(counted.make)
    begin = asyncio.get_running_loop().time()
    for _ in range(20):
        await shared.get()
    assert asyncio.get_running_loop().time() - begin < 20 * 0.005 * 5, "a tenth of the time would be ten times that"


async def test_one_that_leaves_takes_it_from_nobody_and_an_error_is_not_kept() -> None:
    counted = Counted()
    shared = Shared(counted.make)
    leaving, staying = asyncio.create_task(shared.get()), asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 1
    counted.fails = True
    with pytest.raises(ValueError, match="made wrong"):
        await shared.get()
    counted.fails = False
    assert await shared.get() == 3
