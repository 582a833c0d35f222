"""Answered rows are scored again when nothing else waits, and never otherwise."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from harmgauge.bundle.named_rows import AnyRows
from harmgauge.errors import InferenceFailed, NonFiniteScore
from harmgauge.inference.batcher import Batcher
from harmgauge.inference.caller import PATIENT, Name, RequestContext
from harmgauge.inference.outputs import Outputs
from harmgauge.inference.scorer import RequestScorer, Scored
from harmgauge.rollout import mirror as module
from harmgauge.rollout.mirror import NICE, Mirror
from tests.support.fakes import FakeRuntime, Notes, rows_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


class Seen:
    """Records all events of a mirror."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Scored, Scored]] = []
        self.shed_rows = 0
        self.failures: list[tuple[int, Exception]] = []
        self.watched: list[tuple[Scored, Name | None]] = []

    def scored(self, served: Scored, shadow: Scored) -> None:
        self.pairs.append((served, shadow))

    def shed(self, rows: int) -> None:
        self.shed_rows += rows

    def failed(self, rows: int, error: Exception) -> None:
        self.failures.append((rows, error))


class Doubling(FakeRuntime):
    """Returns twice the score of the served runtime; records the priority of its thread."""

    nice = 0

    def run(self, rows: AnyRows) -> Outputs:
        if sys.platform == "linux":
            self.nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        found = super().run(rows)
        return Outputs(2 * found.score, found.probabilities, found.features)


class Pair:
    """A served detector and the mirror beside it; rows with a score above 3 are flagged."""

    def __init__(self, max_rows: int = 10) -> None:
        self.seen, self.runtime, self.shadow_runtime = Seen(), FakeRuntime(), Doubling()
        self.batcher = Batcher(self.runtime, 1, 8, 100, Notes())
        self.detector = RequestScorer(self.batcher, np.float32(3))
        self.mirror = Mirror(
            self.shadow_runtime,
            np.float32(3),
            self.batcher,
            self.seen,
            lambda _, scored, context: self.seen.watched.append((scored, context.client)),
            batch_rows=2,
            max_rows=max_rows,
        )
        self.detector.listeners.append(self.mirror.put)


def answered(rows: int) -> Scored:
    """The result for this many rows."""
    return Scored(np.zeros(rows, "f4"), np.zeros(rows, "?"), np.zeros(rows, "i8"), np.zeros((rows, 2), "f4"))


@asynccontextmanager
async def paired(max_rows: int = 10) -> AsyncIterator[Pair]:
    pair = Pair(max_rows)
    try:
        yield pair
    finally:
        for runtime in (pair.runtime, pair.shadow_runtime):
            runtime.gate.set()
        pair.mirror.close()
        pair.batcher.close()


async def test_every_request_is_scored_by_both_in_small_batches() -> None:
    async with paired() as pair:
        own = await pair.detector.score(rows_of(1, 2, 3, 4, 5), RequestContext(client=("key", "shop")))
        assert pair.seen.pairs == [], "nothing happens before the answer is out"
        await until(lambda: len(pair.seen.pairs) == 1)
        served, shadow = pair.seen.pairs[0]
        assert served is own
        assert shadow.scores.tolist() == [2, 4, 6, 8, 10]
        assert shadow.is_adversarial.tolist() == [False, True, True, True, True]
        assert pair.seen.watched == [(shadow, ("key", "shop"))]
        assert max(pair.shadow_runtime.batches) <= 2
        await until(lambda: pair.mirror.waiting_rows == 0)
        if sys.platform == "linux":
            assert pair.shadow_runtime.nice == NICE
            assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < NICE, "nobody else's changed"


async def test_while_answers_are_waited_for_it_waits_and_then_sheds() -> None:
    async with paired() as pair:
        pair.runtime.gate.clear()
        answer = asyncio.create_task(pair.detector.score(rows_of(9)))
        await asyncio.sleep(0)
        done = answered(4)
        for _ in range(4):
            pair.mirror.put(rows_of(1, 2, 3, 4), done, PATIENT)
        assert (pair.mirror.waiting_rows, pair.seen.shed_rows) == (8, 8)
        await asyncio.sleep(10 * module.LOOK_SECONDS)
        assert pair.shadow_runtime.batches == []
        pair.runtime.gate.set()
        await answer
        await until(lambda: len(pair.seen.pairs) == 3)
        assert sum(pair.shadow_runtime.batches) == 4 + 4 + 1
        await until(lambda: pair.mirror.waiting_rows == 0)


async def test_the_memory_of_what_waits_is_bounded() -> None:
    async with paired() as pair:
        pair.shadow_runtime.gate.clear()
        body = bytes(module.MAX_WAITING_BYTES)
        row = np.frombuffer(body, np.float32, 3).reshape(1, 3)
        await pair.detector.score(row)
        await pair.detector.score(rows_of(2))
        assert (pair.mirror.waiting_rows, pair.seen.shed_rows) == (1, 1)


async def test_what_fails_is_told_and_hurts_nobody() -> None:
    async with paired() as pair:
        done = answered(1)
        for first in (1, -1, 2, -2):
            pair.mirror.put(rows_of(first), done, PATIENT)
        await until(lambda: pair.mirror.waiting_rows == 0)
        assert sorted(shadow.scores.tolist() for _, shadow in pair.seen.pairs) == [[2], [4]]
        assert {type(error) for _, error in pair.seen.failures} == {InferenceFailed, NonFiniteScore}
        assert [rows for rows, _ in pair.seen.failures] == [1, 1]
        assert len(pair.seen.watched) == 2
        pair.mirror.put(rows_of(-1), done, PATIENT)
        await until(lambda: len(pair.seen.failures) == 3)
        assert pair.mirror.fails
        pair.mirror.put(rows_of(1), done, PATIENT)
        await until(lambda: not pair.mirror.fails)


@pytest.mark.parametrize("who", ["served", "shadow"])
async def test_closed_it_tells_nothing_more_and_its_thread_ends(who: str) -> None:
    async with paired() as pair:
        before = threading.active_count()
        waiting = pair.runtime if who == "served" else pair.shadow_runtime
        waiting.gate.clear()
        answer = asyncio.create_task(pair.detector.score(rows_of(9)))
        await asyncio.sleep(0)
        done = answered(1)
        pair.mirror.put(rows_of(1), done, PATIENT)
        await asyncio.sleep(0.05)
        pair.mirror.close()
        waiting.gate.set()
        await answer
        await until(lambda: threading.active_count() < before)
        told = len(pair.seen.pairs)
        await asyncio.sleep(0.05)
        assert len(pair.seen.pairs) == told == 0
        assert pair.seen.failures == []
