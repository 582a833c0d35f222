"""Greedy batching: whatever waits is run as soon as a worker is free. No timer, so an idle service answers at once and
a busy one fills its batches by itself.

The event loop owns the queue; worker threads only run the graph. Rows are counted, not requests.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

import numpy as np

from service.errors import CallerLeft, DeadlinePassed, InferenceFailed, Overloaded, TooLarge
from service.inference.caller import PATIENT, Caller
from service.inference.runtime import Outputs, Rows, Runtime


class Observer(Protocol):
    """Told what the batcher does, on the event loop."""

    def queue_changed(self, rows: int) -> None: ...
    def batch_started(self, rows: int, queue_seconds: list[float]) -> None: ...
    def batch_finished(self, inference_seconds: float) -> None: ...


@dataclass(eq=False)
class _Entry:
    """One request's rows, and its answer while pieces of it come in."""

    rows: Rows
    caller: Caller
    outputs: Outputs
    answered: asyncio.Future[Outputs]
    since: float
    taken: int = 0
    finished: int = 0


@dataclass(frozen=True)
class _Piece:
    """Rows `start` to `stop` of one entry."""

    entry: _Entry
    start: int
    stop: int


@dataclass
class _Batch:
    pieces: list[_Piece]
    result: Outputs | Exception | None = None
    seconds: float = field(default=0.0)

    def run(self, runtime: Runtime) -> None:
        """On a worker thread. An exception becomes the result: it must reach the requests, not end the thread."""
        begin = time.perf_counter()
        try:
            parts = [piece.entry.rows[piece.start : piece.stop] for piece in self.pieces]
            rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
            outputs = runtime.run(rows)
            due = (len(rows), runtime.classes)
            if outputs.score.shape != due[:1] or outputs.probabilities.shape != due:
                given = f"scores {outputs.score.shape} and probabilities {outputs.probabilities.shape}"
                raise RuntimeError(f"{len(rows)} rows of {runtime.classes} classes gave {given}")
            self.result = outputs
        except Exception as error:
            self.result = error
        self.seconds = time.perf_counter() - begin


class Batcher:
    """Takes rows from any number of requests, answers each with its own outputs.

    Make it, use it and close it on one running event loop.
    """

    def __init__(
        self, runtime: Runtime, workers: int, max_batch_rows: int, max_queue_rows: int, observer: Observer
    ) -> None:
        self._runtime = runtime
        self._max_batch_rows = max_batch_rows
        self._max_queue_rows = max_queue_rows
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Entry] = deque()
        self._again: deque[_Batch] = deque()  # pieces of a failed batch, each to be run alone
        self._queue_rows = 0
        self._rows_per_second = 0.0
        self._next_look = 0.0
        self._handed_out = 0  # batches that are running, or next in line for a worker
        self._jobs: SimpleQueue[_Batch | None] = SimpleQueue()
        # Daemons: an inference that hangs must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{index}", daemon=True) for index in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, rows: Rows, caller: Caller = PATIENT) -> Outputs:
        """The outputs of `rows` (n, *shape), n >= 1, in order. Cancelled, it leaves the queue.

        Raises TooLarge or Overloaded without queueing, DeadlinePassed and CallerLeft where `caller` waits no longer,
        InferenceFailed where the graph failed on these rows.
        """
        count = len(rows)
        if count > self._max_queue_rows:
            raise TooLarge(f"{count} instances in one request; at most {self._max_queue_rows} fit. Split the request.")
        if self._queue_rows + count > self._max_queue_rows:
            self._drop_the_departed()
        if self._queue_rows + count > self._max_queue_rows:
            raise Overloaded(
                f"{self._queue_rows} rows are waiting and at most {self._max_queue_rows} may; try again later.",
                {"Retry-After": str(self._seconds_to_drain())},
            )
        outputs = Outputs(np.empty(count, np.float32), np.empty((count, self._runtime.classes), np.float32))
        entry = _Entry(rows, caller, outputs, self._loop.create_future(), time.perf_counter())
        timer = None
        if caller.deadline < math.inf:
            timer = self._loop.call_at(caller.deadline, self._expire, entry)
        self._queue.append(entry)
        self._count(count)
        self._dispatch()
        try:
            return await entry.answered
        finally:
            if timer is not None:
                timer.cancel()
            if not entry.answered.done() or entry.answered.cancelled():
                self._forget(entry)

    def close(self) -> None:
        """End the threads once their running batches are done; whatever still waits is not run."""
        for _ in self._threads:
            self._jobs.put(None)

    def _dispatch(self) -> None:
        # One batch for each worker and as many in line, so that a worker never waits for the event loop in between.
        while self._handed_out < 2 * len(self._threads) and (batch := self._next_batch()) is not None:
            self._handed_out += 1
            self._jobs.put(batch)

    def _next_batch(self) -> _Batch | None:
        if self._again:
            return self._again.popleft()
        # Rows are shared among the idle workers: one request of 32 on two idle cores is two runs of 16.
        idle = max(1, len(self._threads) - self._handed_out)
        room = min(self._max_batch_rows, math.ceil(self._queue_rows / idle))
        pieces: list[_Piece] = []
        now = time.perf_counter()
        while self._queue and room:
            entry = self._queue[0]
            if self._dropped(entry):
                continue
            stop = min(len(entry.rows), entry.taken + room)
            pieces.append(_Piece(entry, entry.taken, stop))
            room -= stop - entry.taken
            self._count(entry.taken - stop)
            entry.taken = stop
            if stop == len(entry.rows):
                self._queue.popleft()
        if not pieces:
            return None
        rows = sum(piece.stop - piece.start for piece in pieces)
        self._observer.batch_started(rows, [now - piece.entry.since for piece in pieces if piece.start == 0])
        return _Batch(pieces)

    def _work(self) -> None:
        while (batch := self._jobs.get()) is not None:
            batch.run(self._runtime)
            try:
                self._loop.call_soon_threadsafe(self._finished, batch)
            except RuntimeError:  # the loop was closed: nobody waits any more
                return

    def _finished(self, batch: _Batch) -> None:
        self._handed_out -= 1
        self._observer.batch_finished(batch.seconds)
        if isinstance(batch.result, Outputs):
            self._hand_out(batch.pieces, batch.result, batch.seconds)
        elif len(batch.pieces) > 1:  # one of them is bad: none of the others may suffer for it
            self._again.extend(_Batch([piece]) for piece in batch.pieces if not piece.entry.answered.done())
        else:
            failure = InferenceFailed(
                "The graph could not be run on this input; the service's log says why, under this request's id."
            )
            failure.__cause__ = batch.result
            self._drop(batch.pieces[0].entry, failure)
        self._dispatch()

    def _hand_out(self, pieces: list[_Piece], outputs: Outputs, seconds: float) -> None:
        begin = 0
        for piece in pieces:
            entry, end = piece.entry, begin + piece.stop - piece.start
            entry.outputs.score[piece.start : piece.stop] = outputs.score[begin:end]
            entry.outputs.probabilities[piece.start : piece.stop] = outputs.probabilities[begin:end]
            entry.finished += end - begin
            begin = end
            if entry.finished == len(entry.rows) and not entry.answered.done():
                entry.answered.set_result(entry.outputs)
        rate = begin / max(seconds, 1e-6) * len(self._threads)
        self._rows_per_second += 0.1 * (rate - self._rows_per_second)

    def _dropped(self, entry: _Entry) -> bool:
        """Whether nobody waits for the entry any more; it is out of the queue then."""
        if entry.caller.left():
            self._drop(entry, CallerLeft())
        elif entry.caller.deadline <= self._loop.time():
            self._expire(entry)
        return entry.answered.done()

    def _drop_the_departed(self) -> None:
        """Make room; at most ten times a second, for a look at every entry is not for free."""
        if self._loop.time() >= self._next_look:
            self._next_look = self._loop.time() + 0.1
            for entry in list(self._queue):
                self._dropped(entry)

    def _expire(self, entry: _Entry) -> None:
        self._drop(entry, _too_late())

    def _drop(self, entry: _Entry, why: Exception) -> None:
        if not entry.answered.done():
            entry.answered.set_exception(why)
        self._forget(entry)

    def _forget(self, entry: _Entry) -> None:
        """Drop what still waits of a request that nobody waits for."""
        if entry.taken < len(entry.rows) and entry in self._queue:
            self._queue.remove(entry)
            self._count(entry.taken - len(entry.rows))

    def _count(self, change: int) -> None:
        self._queue_rows += change
        self._observer.queue_changed(self._queue_rows)

    def _seconds_to_drain(self) -> int:
        """Whole seconds, at least 1: what `Retry-After` asks for."""
        return max(1, min(60, math.ceil(self._queue_rows / max(self._rows_per_second, 1.0))))


def _too_late() -> DeadlinePassed:
    return DeadlinePassed(
        "The scores were not there by the request's deadline, and it was dropped; try again later, send fewer "
        "instances at once, or wait longer (HARMGAUGE_DEADLINE_SECONDS and the request's own deadline)."
    )
