"""From outputs to flags, and what never reaches the windows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from service.errors import CallerLeft, DeadlinePassed, NonFiniteScore
from service.inference.batcher import Batcher
from service.inference.caller import Caller
from service.inference.detector import Detector, Scored
from tests.service.fakes import FakeRuntime, Notes
from tests.service.inference.test_batcher import rows_of

Test = Callable[[Detector, FakeRuntime, list[Scored]], Awaitable[None]]


def run(test: Test, threshold: float = 0.1) -> None:
    async def whole() -> None:
        runtime, seen = FakeRuntime(), list[Scored]()
        batcher = Batcher(runtime, 1, 8, 100, Notes())
        try:
            await test(
                Detector(batcher, np.float32(threshold), lambda _, scored, __: seen.append(scored)), runtime, seen
            )
        finally:
            runtime.gate.set()
            batcher.close()

    asyncio.run(whole())


def test_a_flag_is_a_score_strictly_above_the_threshold_in_float32() -> None:
    async def test(detector: Detector, runtime: FakeRuntime, seen: list[Scored]) -> None:
        at = np.float32(0.1)
        scored = await detector.score(rows_of(at, np.nextafter(at, np.float32(1)), np.nextafter(at, np.float32(0))))
        assert scored.is_adversarial.tolist() == [False, True, False]
        assert float(at) > 0.1, "in float64 the first would be flagged"
        assert scored.predictions.tolist() == [0, 0, 0]
        assert seen == [scored]

    run(test)


def test_a_score_that_is_not_finite_fails_its_request_and_is_seen_by_nobody() -> None:
    """A NaN is not above any threshold: it would pass as harmless."""

    async def test(detector: Detector, runtime: FakeRuntime, seen: list[Scored]) -> None:
        with pytest.raises(NonFiniteScore, match="instance 1 is not finite"):
            await detector.score(rows_of(1, -2, 3))
        assert seen == []

    run(test)


def test_a_deadline_that_passes_is_said_and_seen_by_nobody() -> None:
    async def test(detector: Detector, runtime: FakeRuntime, seen: list[Scored]) -> None:
        runtime.gate.clear()
        with pytest.raises(DeadlinePassed):
            await detector.score(rows_of(1), Caller(asyncio.get_running_loop().time() + 0.05))
        runtime.gate.set()
        await asyncio.sleep(0.05)
        assert seen == []

    run(test)


def test_a_caller_that_left_while_the_graph_ran_is_seen_by_nobody() -> None:
    async def test(detector: Detector, runtime: FakeRuntime, seen: list[Scored]) -> None:
        has_left = False
        runtime.gate.clear()
        answer = asyncio.ensure_future(detector.score(rows_of(1), Caller(left=lambda: has_left)))
        await asyncio.sleep(0.05)
        has_left = True
        runtime.gate.set()
        with pytest.raises(CallerLeft):
            await answer
        assert runtime.batches == [1]
        assert seen == []

    run(test)
