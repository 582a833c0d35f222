"""Turns by holder: each item is taken once, in order, and a crowd delays only itself."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.errors import Overloaded
from harmgauge.inference.batch import Entry
from harmgauge.inference.batcher import Batcher
from harmgauge.inference.caller import RequestContext
from harmgauge.inference.fair_queue import FairQueue
from tests.support.fakes import FakeRuntime, Notes, rows_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.integers(1, 9)),
        st.tuples(st.just("take"), st.integers(1, 6), st.booleans()),
        st.tuples(st.just("remove"), st.integers(0, 30), st.none()),
    ),
    max_size=80,
)


@given(steps)
def test_rows_are_taken_once_and_in_order_of_their_holder(steps: list[tuple[str, int, int]]) -> None:
    queue = FairQueue()
    appended: list[Entry] = []
    taken: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    removed: set[int] = set()
    for kind, first, second in steps:
        if kind == "append":
            context = RequestContext(holder=first)
            entry = Entry(rows_of(*range(second)), context, None, len(appended))  # type: ignore[arg-type]  # unanswered
            appended.append(entry)
            queue.append(entry)
        elif kind == "take" and queue.lines:
            due = queue.first()
            piece = queue.take(first)
            assert piece.entry is due
            if second:
                queue.put_back(piece)
                assert queue.first() is due
                again = queue.take(first)
                assert (again.entry, again.start, again.stop) == (piece.entry, piece.start, piece.stop)
            taken[due.context.holder].append((int(due.since), piece.stop - piece.start))  # type: ignore[index]  # all have a context
        elif kind == "remove" and appended:
            entry = appended[first % len(appended)]
            waits = entry in list(queue)
            assert queue.remove(entry) == waits
            removed.add(int(entry.since)) if waits else None
        assert {holder: sum(e.waiting_rows for e in line) for holder, line in queue.lines.items()} == queue._rows
    for numbers in taken.values():
        order = [number for number, _ in numbers]
        assert order == sorted(order)
    for number, entry in enumerate(appended):
        rows = sum(count for numbers in taken.values() for at, count in numbers if at == number)
        assert rows == entry.taken
        assert entry in list(queue) or number in removed or rows == len(entry.rows)


async def test_one_row_beside_a_crowd_of_another_holder_does_not_wait_for_it() -> None:
    runtime = FakeRuntime()
    batcher = Batcher(runtime, 1, 8, 10_000, Notes())
    try:
        runtime.gate.clear()
        crowd = [batcher.submit(rows_of(*range(100)), RequestContext(holder="crowd")) for _ in range(10)]
        await until(lambda: runtime.begun == 1)
        alone = batcher.submit(rows_of(7), RequestContext(holder="alone"))
        runtime.gate.set()
        assert (await alone.answered).score.tolist() == [7]
        assert not any(entry.answered.done() for entry in crowd), "the first of them takes 13 batches"
        for entry in crowd:
            assert (await entry.answered).score.tolist() == list(range(100))
    finally:
        runtime.gate.set()
        batcher.close()


async def test_where_the_queue_is_full_the_newest_of_who_has_most_goes() -> None:
    runtime = FakeRuntime()
    batcher = Batcher(runtime, 1, 8, 100, Notes())
    try:
        runtime.gate.clear()
        crowd = [batcher.submit(rows_of(*range(25)), RequestContext(holder="crowd")) for _ in range(4)]
        await until(lambda: runtime.begun == 1)
        with pytest.raises(Overloaded):
            batcher.submit(rows_of(1), RequestContext(holder="crowd"))
        other = batcher.submit(rows_of(1, 2), RequestContext(holder="other"))
        assert [entry.answered.done() for entry in crowd] == [False, False, False, True]
        with pytest.raises(Overloaded, match="rows are waiting"):
            await crowd[3].answered
        with pytest.raises(Overloaded):
            batcher.submit(rows_of(*range(90)), RequestContext(holder="other"))
        runtime.gate.set()
        assert (await other.answered).score.tolist() == [1, 2]
        await asyncio.gather(*(entry.answered for entry in crowd[:3]))
        assert batcher.rows == 0
    finally:
        runtime.gate.set()
        batcher.close()
