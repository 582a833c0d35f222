"""From outputs to flags, and results that never reach the windows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from harmgauge.errors import CallerLeft, DeadlinePassed, NonFiniteScore
from harmgauge.inference.batcher import Batcher
from harmgauge.inference.caller import RequestContext
from harmgauge.inference.scorer import RequestScorer, Scored
from tests.support.fakes import FakeRuntime, Notes, rows_of

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def scoring(threshold: float = 0.1) -> AsyncIterator[tuple[RequestScorer, FakeRuntime, list[Scored]]]:
    runtime, seen = FakeRuntime(), list[Scored]()
    batcher = Batcher(runtime, 1, 8, 100, Notes())
    try:
        scorer = RequestScorer(batcher, np.float32(threshold))
        scorer.listeners.append(lambda _, scored, __: seen.append(scored))
        yield scorer, runtime, seen
    finally:
        runtime.gate.set()
        batcher.close()


async def test_a_flag_is_a_score_strictly_above_the_threshold_in_float32() -> None:
    async with scoring() as (detector, _, seen):
        at = np.float32(0.1)
        scored = await detector.score(rows_of(at, np.nextafter(at, np.float32(1)), np.nextafter(at, np.float32(0))))
        assert scored.is_adversarial.tolist() == [False, True, False]
        assert float(at) > 0.1, "in float64 the first would be flagged"
        assert scored.predictions.tolist() == [0, 0, 0]
        assert seen == [scored]


async def test_a_score_that_is_not_finite_fails_its_request_and_is_seen_by_nobody() -> None:
    """NaN is not above any threshold, so it would pass as harmless."""
    async with scoring() as (detector, _, seen):
        with pytest.raises(NonFiniteScore, match="instance 1 is not finite"):
            await detector.score(rows_of(1, -2, 3))
        assert seen == []


async def test_a_deadline_that_passes_is_said_and_seen_by_nobody() -> None:
    async with scoring() as (detector, runtime, seen):
        runtime.gate.clear()
        with pytest.raises(DeadlinePassed):
            await detector.score(rows_of(1), RequestContext(asyncio.get_running_loop().time() + 0.05))
        runtime.gate.set()
        await asyncio.sleep(0.05)
        assert seen == []


async def test_a_caller_that_left_while_the_graph_ran_is_seen_by_nobody() -> None:
    async with scoring() as (detector, runtime, seen):
        has_left = False
        runtime.gate.clear()
        answer = asyncio.ensure_future(detector.score(rows_of(1), RequestContext(left=lambda: has_left)))
        await asyncio.sleep(0.05)
        has_left = True
        runtime.gate.set()
        with pytest.raises(CallerLeft):
            await answer
        assert runtime.batches == [1]
        assert seen == []
