"""Batching: every request gets its own result, whatever the others in its batch do."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import weakref

import pytest

from harmgauge.errors import CallerLeft, DeadlinePassed, InferenceFailed, Overloaded, TooLarge
from harmgauge.inference.batcher import Batcher
from harmgauge.inference.caller import RequestContext
from harmgauge.inference.outputs import Outputs
from tests.support.fakes import FakeRuntime, Notes, batching, rows_of, run, settled
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


async def begun(runtime: FakeRuntime, runs: int) -> None:
    """Wait until this many runs have begun."""
    await until(lambda: runtime.begun == runs)


async def test_a_thousand_requests_of_random_sizes_each_get_their_own_scores() -> None:
    async with batching(max_queue_rows=10_000) as (batcher, runtime, notes):
        chance = random.Random(0)

        async def client(number: int) -> None:
            await asyncio.sleep(chance.random() / 10)
            values = [number * 100 + index for index in range(chance.choice([1, 1, 1, 2, 7, 30]))]
            outputs = await run(batcher, rows_of(*values))
            assert outputs.score.tolist() == values
            assert outputs.probabilities[:, 1].tolist() == [-value for value in values]

        await asyncio.gather(*(client(number) for number in range(1, 1001)))
        assert max(runtime.batches) <= 8
        assert sum(runtime.batches) == sum(notes.batch_rows)
        assert batcher.rows == 0
        assert len(notes.queue_seconds) == 1000
        assert notes.inferences == len(runtime.batches)


async def test_an_idle_batcher_answers_at_once_and_a_busy_one_fills_its_batches() -> None:
    async with batching(workers=1) as (batcher, runtime, _):
        await run(batcher, rows_of(1))
        assert runtime.batches == [1]
        runtime.gate.clear()
        waiting = [asyncio.ensure_future(run(batcher, rows_of(0)))]
        await begun(runtime, 2)
        waiting += [asyncio.ensure_future(run(batcher, rows_of(value))) for value in range(1, 17)]
        await settled()
        runtime.gate.set()
        await asyncio.gather(*waiting)
        assert runtime.batches == [1, 1, 8, 8], "one ran; those that came meanwhile went together"


async def test_nothing_is_kept_of_a_request_that_was_answered() -> None:
    async with batching() as (batcher, _, _):
        rows = [rows_of(number) for number in range(50)]
        kept = [weakref.ref(each) for each in rows]
        while rows:
            await run(batcher, rows.pop())
        await until(lambda: gc.collect() >= 0 and not any(each() is not None for each in kept))


async def test_a_large_request_is_shared_among_idle_workers() -> None:
    async with batching(workers=2) as (batcher, runtime, _):
        outputs = await run(batcher, rows_of(*range(10)))
        assert outputs.score.tolist() == list(range(10))
        assert sorted(runtime.batches) == [1, 3, 3, 3], "a quarter for each that runs or is in line"


async def test_an_inference_that_would_end_its_thread_is_a_failure_like_others() -> None:
    async with batching(workers=1) as (batcher, _, _):
        with pytest.raises(InferenceFailed):
            await run(batcher, rows_of(-3))
        seen = [batcher.failed]
        assert (await run(batcher, rows_of(5))).score.tolist() == [5]
        assert [*seen, batcher.failed] == [True, False]
        assert batcher.lost_workers(10) == 0


async def test_a_worker_that_hangs_is_counted_until_it_comes_back() -> None:
    async with batching() as (batcher, runtime, _):
        runtime.gate.clear()
        running = [asyncio.ensure_future(run(batcher, rows_of(number))) for number in range(2)]
        await until(lambda: batcher.lost_workers(0.01) == 2)
        assert batcher.lost_workers(10) == 0
        runtime.gate.set()
        await asyncio.gather(*running)
        await settled()
        assert batcher.lost_workers(0.01) == 0


async def test_a_bad_neighbour_fails_alone() -> None:
    async with batching(workers=1) as (batcher, runtime, _):
        runtime.gate.clear()
        first = asyncio.ensure_future(run(batcher, rows_of(0)))
        await begun(runtime, 1)
        waiting = [asyncio.ensure_future(run(batcher, rows_of(value))) for value in (1, 2, -1, 3)]
        await settled()
        runtime.gate.set()
        answers = await asyncio.gather(first, *waiting, return_exceptions=True)
        good = [answer.score.tolist() for answer in answers if isinstance(answer, Outputs)]
        assert good == [[0], [1], [2], [3]]
        assert isinstance(answers[3], InferenceFailed)
        assert "secret" not in answers[3].detail
        assert "secret" in str(answers[3].__cause__)


async def test_a_large_request_that_fails_in_its_middle_fails_once() -> None:
    async with batching(workers=1) as (batcher, runtime, _):
        values = [*range(20), -1, *range(60)]
        with pytest.raises(InferenceFailed):
            await run(batcher, rows_of(*values))
        assert (await run(batcher, rows_of(5))).score.tolist() == [5]
        await settled()
        assert batcher.rows == 0
        assert sum(runtime.batches) < len(values), "what still waited was dropped"


async def test_a_client_that_leaves_costs_no_inference_and_no_neighbour() -> None:
    async with batching(workers=1) as (batcher, runtime, _):
        runtime.gate.clear()
        running = asyncio.ensure_future(run(batcher, rows_of(0)))
        await begun(runtime, 1)
        next_in_line = asyncio.ensure_future(run(batcher, rows_of(0)))
        await settled()
        in_line, leaving, staying = (asyncio.ensure_future(run(batcher, rows_of(value))) for value in (1, 2, 3))
        await settled()
        in_line.cancel()
        leaving.cancel()
        running.cancel()
        await settled()
        assert not staying.done()
        runtime.gate.set()
        assert (await staying).score.tolist() == [3]
        assert next_in_line.done()
        assert sum(runtime.batches) == 3, "what ran already, and those who stayed"
        assert batcher.rows == 0


async def test_a_full_queue_refuses_at_once_and_says_when_to_return() -> None:
    async with batching(workers=1, max_batch_rows=4, max_queue_rows=12) as (batcher, runtime, _):
        runtime.gate.clear()
        waiting = [asyncio.ensure_future(run(batcher, rows_of(*range(4)))) for _ in range(3)]
        await settled()
        with pytest.raises(Overloaded) as refusal:
            await run(batcher, rows_of(1))
        assert int(refusal.value.retry_after_seconds or 0) >= 1
        runtime.gate.set()
        assert len(await asyncio.gather(*waiting)) == 3
        assert (await run(batcher, rows_of(1))).score.tolist() == [1]


async def test_callers_that_left_cost_no_inference_and_make_room() -> None:
    async with batching(workers=1, max_batch_rows=4, max_queue_rows=11) as (batcher, runtime, _):
        gone: set[int] = set()

        def send(number: int) -> asyncio.Future[Outputs]:
            caller = RequestContext(left=lambda: number in gone)
            return asyncio.ensure_future(run(batcher, rows_of(number), caller))

        runtime.gate.clear()
        waiting = [send(0)]
        await begun(runtime, 1)
        waiting += [send(number) for number in range(1, 11)]
        await settled()
        assert batcher.rows == 11
        gone.update((6, 8))
        more = [send(11), send(12)]
        await settled()
        assert batcher.rows == 11, "it was full until those who had left were looked for"
        gone.add(9)
        runtime.gate.set()
        answers = await asyncio.gather(*waiting, *more, return_exceptions=True)
        assert [number for number, answer in enumerate(answers) if isinstance(answer, CallerLeft)] == [6, 8, 9]
        assert sum(runtime.batches) == 10


async def test_a_deadline_that_passes_in_the_queue_costs_no_inference() -> None:
    async with batching(workers=1) as (batcher, runtime, _):
        runtime.gate.clear()
        patient = [asyncio.ensure_future(run(batcher, rows_of(1)))]
        await begun(runtime, 1)
        patient.append(asyncio.ensure_future(run(batcher, rows_of(2))))
        begin = time.monotonic()
        with pytest.raises(DeadlinePassed):
            await run(batcher, rows_of(3), RequestContext(asyncio.get_running_loop().time() + 0.05))
        assert time.monotonic() - begin < 5, "answered in time, not when its turn came"
        runtime.gate.set()
        await asyncio.gather(*patient)
        assert sum(runtime.batches) == 2


async def test_a_request_that_could_never_fit_is_told_to_split() -> None:
    async with batching() as (batcher, _, _):
        with pytest.raises(TooLarge, match="split it"):
            await run(batcher, rows_of(*range(101)))


async def test_a_runtime_that_loses_rows_is_an_error_not_a_mix_up() -> None:
    async with batching() as (batcher, runtime, _):
        runtime.answer_short = True
        with pytest.raises(InferenceFailed) as failure:
            await run(batcher, rows_of(1, 2))
        assert "score (0,)" in str(failure.value.__cause__)
        runtime.answer_short = False
        runtime.shapes["probabilities"] = (3,)  # but it returns two
        with pytest.raises(InferenceFailed) as failure:
            await run(batcher, rows_of(1, 2))
        assert "probabilities (1, 2)" in str(failure.value.__cause__)


async def test_a_request_cancelled_in_the_moment_in_which_a_batch_ends_holds_nobody_up() -> None:
    """Its future is done at once, but its task leaves the queue only in the next iteration of the loop: in between it
    is still there.
    """
    runtime = FakeRuntime()
    batcher = Batcher(runtime, 1, 1, 100, Notes())
    runtime.gate.clear()
    tasks = [asyncio.create_task(run(batcher, rows_of(first))) for first in range(1, 7)]
    await asyncio.sleep(0)
    runtime.gate.set()
    time.sleep(0.1)  # the end of the batch is now the next event of the loop
    for task in tasks[2:5]:
        task.cancel()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [False] * 2 + [True] * 3 + [False]
    assert batcher.rows == 0
    batcher.close()
