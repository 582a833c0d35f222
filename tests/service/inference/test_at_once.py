"""Small requests of a single client, which the event loop runs itself."""

from __future__ import annotations

import asyncio
import time

import pytest

from harmgauge.bundle.named_rows import AnyRows
from harmgauge.errors import InferenceFailed
from harmgauge.inference.batcher import ALONE_SECONDS, AT_ONCE_SECONDS
from harmgauge.inference.caller import RequestContext
from harmgauge.inference.outputs import Outputs
from tests.support.fakes import batching, rows_of, run, settled

pytestmark = pytest.mark.anyio


async def test_the_event_loop_runs_the_small_requests_of_a_single_client_itself() -> None:
    async with batching() as (batcher, _, _):
        alone = RequestContext(connection=("127.0.0.1", 1))
        for _ in range(10):
            await run(batcher, rows_of(1), alone)
        assert not batcher.submit(rows_of(2), alone).answered.done(), "it has not been alone for long enough"
        await asyncio.sleep(ALONE_SECONDS)
        entry = batcher.submit(rows_of(3), alone)
        assert entry.answered.done()
        assert (await entry.answered).score.tolist() == [3]

        other = batcher.submit(rows_of(4), RequestContext(connection=("127.0.0.1", 2)))
        assert not other.answered.done()
        await other.answered
        assert not batcher.submit(rows_of(5), alone).answered.done(), "another client has come"
        await settled()
        assert batcher.rows == 0


async def test_another_client_counts_even_if_a_worker_runs_its_request() -> None:
    async with batching() as (batcher, runtime, _):
        one, other = RequestContext(connection="a"), RequestContext(connection="b")
        for _ in range(10):
            await run(batcher, rows_of(1), one)
        await asyncio.sleep(ALONE_SECONDS)
        runtime.gate.clear()
        busy = batcher.submit(rows_of(2), RequestContext())  # from the service itself
        waiting = batcher.submit(rows_of(3), other)
        runtime.gate.set()
        await asyncio.gather(busy.answered, waiting.answered)
        assert not batcher.submit(rows_of(4), one).answered.done()
        await settled()


async def test_the_event_loop_runs_nothing_that_takes_long() -> None:
    async with batching() as (batcher, runtime, _):
        alone = RequestContext(connection="a")
        plain = runtime.run

        def slow(rows: AnyRows) -> Outputs:
            time.sleep(2 * AT_ONCE_SECONDS)
            return plain(rows)

        runtime.run = slow  # type: ignore[method-assign]  # only here it is slow
        for _ in range(40):
            await run(batcher, rows_of(1), alone)
        assert not batcher.submit(rows_of(2), alone).answered.done()
        await settled()


async def test_the_event_loop_runs_nothing_whose_time_depends_on_the_values() -> None:
    async with batching() as (batcher, runtime, _):
        runtime.is_steady = False
        alone = RequestContext(connection="a")
        for _ in range(10):
            await run(batcher, rows_of(1), alone)
        await asyncio.sleep(ALONE_SECONDS)
        assert not batcher.submit(rows_of(2), alone).answered.done()
        await settled()


async def test_an_error_on_the_event_loop_is_the_answer() -> None:
    async with batching() as (batcher, _, _):
        alone = RequestContext(connection="a")
        for _ in range(10):
            await run(batcher, rows_of(1), alone)
        await asyncio.sleep(ALONE_SECONDS)
        for value in (-1, -3):
            with pytest.raises(InferenceFailed):
                await run(batcher, rows_of(value), alone)
        assert batcher.lost_workers(10) == 0
        assert (await run(batcher, rows_of(6), alone)).score.tolist() == [6]
