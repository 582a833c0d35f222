"""Greedy batching: whatever waits is run as soon as a worker is free. No timer, so an idle service answers at once and
a busy one fills its batches by itself: for each worker one batch runs and one is next in line, which takes whatever
comes until its turn.

The event loop owns the queue; worker threads only run the graph. Rows are counted, not requests.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import Protocol

from harmgauge.bundle.rows import Rows
from harmgauge.errors import CallerLeft, DeadlinePassed, InferenceFailed, Overloaded, TooLarge
from harmgauge.inference.batch import Batch, Entry, Piece
from harmgauge.inference.caller import PATIENT, RequestContext
from harmgauge.inference.outputs import Outputs, Runtime, copy_rows, empty_outputs


class Observer(Protocol):
    """Told what the batcher does, on the event loop."""

    def queue_changed(self, rows: int) -> None: ...
    def batch_finished(self, rows: int, queue_seconds: list[float], inference_seconds: float) -> None: ...


class Batcher:
    """Takes rows from any number of requests, answers each with its own outputs.

    Use it and close it on `loop`, by default the running one; made on any thread.
    """

    def __init__(
        self,
        runtime: Runtime,
        workers: int,
        max_batch_rows: int,
        max_queue_rows: int,
        observer: Observer,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._runtime = runtime
        self._max_batch_rows = max_batch_rows
        self._max_queue_rows = max_queue_rows
        self._observer = observer
        self._loop = loop or asyncio.get_running_loop()
        self._queue: deque[Entry] = deque()
        self._again: deque[Batch] = deque()  # pieces of a failed batch, each to be run alone
        self._in_line: list[Batch] = []  # batches that still take rows, or did when last looked at
        self._rows = 0  # accepted and not yet scored: in the queue, in line, running
        self._rows_per_second = 0.0
        self._next_look = 0.0
        self._handed_out = 0  # batches that are running, or next in line for a worker
        self._jobs: SimpleQueue[Batch | None] = SimpleQueue()
        self._running: list[Batch | None] = [None] * workers
        self.failed = False
        """Whether the last run of the graph did."""
        # Daemons: an inference that hangs must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, args=[index], name=f"inference-{index}", daemon=True)
            for index in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def rows(self) -> int:
        """Accepted and not yet scored."""
        return self._rows

    async def run(self, rows: Rows, caller: RequestContext = PATIENT) -> Outputs:
        """The outputs of `rows` (n, *shape), n >= 1, in order. Cancelled, it leaves the queue.

        Raises TooLarge or Overloaded without queueing, DeadlinePassed and CallerLeft where `caller` waits no longer,
        InferenceFailed where the graph failed on these rows.
        """
        count = len(rows)
        if count > self._max_queue_rows:
            raise TooLarge(f"{count} instances in one request; at most {self._max_queue_rows} fit. Split the request.")
        if self._rows + count > self._max_queue_rows:
            self._drop_the_departed()
        if self._rows + count > self._max_queue_rows:
            raise Overloaded(
                f"{self._rows} rows are waiting and at most {self._max_queue_rows} may; try again later.",
                {"Retry-After": str(self._seconds_to_drain())},
            )
        outputs = empty_outputs(count, self._runtime.shapes)
        entry = Entry(rows, caller, outputs, self._loop.create_future(), time.perf_counter())
        if caller.progress is not None:
            caller.progress.waits(count, entry.since)
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

    def lost_workers(self, timeout_seconds: float) -> int:
        """How many of them have ended, or run one batch for longer than that: they will not come back."""
        due = time.perf_counter() - timeout_seconds
        return sum(
            not thread.is_alive() or (batch is not None and 0 < batch.began < due)
            for thread, batch in zip(self._threads, self._running, strict=True)
        )

    @property
    def workers(self) -> int:
        return len(self._threads)

    def close(self) -> None:
        """End the threads once their running batches are done; whatever still waits is not run."""
        for _ in self._threads:
            self._jobs.put(None)

    def _dispatch(self) -> None:
        # One batch for each worker and as many in line, so that a worker never waits for the event loop in between.
        while (self._again or self._queue) and self._handed_out < 2 * len(self._threads):
            batch: Batch | None
            if self._again:
                batch = self._again.popleft()
            else:
                batch = Batch()
                self._fill(batch, self._room())
                if not batch.pieces:
                    continue
                self._in_line.append(batch)
            self._handed_out += 1
            self._jobs.put(batch)
        while self._queue and (batch := self._emptiest()) is not None:
            self._fill(batch, 1)

    def _emptiest(self) -> Batch | None:
        """The batch in line with the most room, if any."""
        self._in_line = [batch for batch in self._in_line if batch.is_open]
        batch = min(self._in_line, key=lambda batch: batch.rows, default=None)
        return batch if batch is not None and batch.rows < self._room() else None

    def _room(self) -> int:
        """Rows for one batch: an equal share for each that runs or is in line.

        Were the first to take all, the clients would send in step, and workers idle while answers go out.
        """
        return min(self._max_batch_rows, math.ceil(self._rows / (2 * len(self._threads))))

    def _fill(self, batch: Batch, room: int) -> None:
        """Move waiting rows, at most `room`, into the batch, unless it has begun."""
        while self._queue and room:
            entry = self._queue[0]
            if self._dropped(entry):
                continue
            stop = min(len(entry.rows), entry.taken + room)
            if not batch.add(Piece(entry, entry.taken, stop)):
                return
            room -= stop - entry.taken
            entry.taken = stop
            if stop == len(entry.rows):
                self._queue.popleft()

    def _work(self, index: int) -> None:
        while (batch := self._jobs.get()) is not None:
            self._running[index] = batch
            batch.run(self._runtime)
            self._running[index] = None
            try:
                self._loop.call_soon_threadsafe(self._finished, batch)
            except RuntimeError:  # the loop was closed: nobody waits any more
                return
            del batch  # waiting for the next must not keep its requests' rows

    def _finished(self, batch: Batch) -> None:
        self._handed_out -= 1
        if batch in self._in_line:  # which would keep it, its requests' rows and answers, until a queue forms
            self._in_line.remove(batch)
        self._count(-batch.rows)
        if not batch.pieces:
            self._dispatch()
            return
        waits = [batch.began - piece.entry.since for piece in batch.pieces if piece.start == 0]
        rows = sum(piece.stop - piece.start for piece in batch.pieces)
        self._observer.batch_finished(rows, waits, batch.seconds)
        for piece in batch.pieces:
            if piece.entry.caller.progress is not None:
                piece.entry.caller.progress.ran(batch.began, batch.seconds, rows)
        self.failed = not isinstance(batch.result, Outputs)
        if isinstance(batch.result, Outputs):
            self._hand_out(batch.pieces, batch.result, batch.seconds)
        elif len(batch.pieces) > 1:  # one of them is bad: none of the others may suffer for it
            for piece in batch.pieces:
                if not piece.entry.answered.done():
                    self._again.append(Batch([piece], is_open=False))
                    self._count(piece.stop - piece.start)
        else:
            failure = InferenceFailed(
                "The graph could not be run on this input; the service's log says why, under this request's id."
            )
            failure.__cause__ = batch.result
            self._drop(batch.pieces[0].entry, failure)
        self._dispatch()

    def _hand_out(self, pieces: list[Piece], outputs: Outputs, seconds: float) -> None:
        begin = 0
        for piece in pieces:
            entry, end = piece.entry, begin + piece.stop - piece.start
            copy_rows(outputs, begin, end, entry.outputs, piece.start)
            entry.finished += end - begin
            begin = end
            if entry.finished == len(entry.rows) and not entry.answered.done():
                entry.answered.set_result(entry.outputs)
        rate = begin / max(seconds, 1e-6) * len(self._threads)
        self._rows_per_second += 0.1 * (rate - self._rows_per_second)

    def _dropped(self, entry: Entry) -> bool:
        """Whether nobody waits for the entry any more; it is out of the queue then."""
        if entry.caller.left():
            self._drop(entry, CallerLeft())
        elif entry.caller.deadline <= self._loop.time():
            self._expire(entry)
        elif entry.answered.done():  # cancelled just now: its task runs in the loop's next round only
            self._forget(entry)
        return entry.answered.done()

    def _drop_the_departed(self) -> None:
        """Make room; at most ten times a second, for a look at every entry is not for free."""
        if self._loop.time() >= self._next_look:
            self._next_look = self._loop.time() + 0.1
            for entry in list(self._queue):
                self._dropped(entry)

    def _expire(self, entry: Entry) -> None:
        self._drop(entry, _too_late())

    def _drop(self, entry: Entry, why: Exception) -> None:
        if not entry.answered.done():
            entry.answered.set_exception(why)
        self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        """Drop what still waits of a request that nobody waits for."""
        if entry.taken < len(entry.rows) and entry in self._queue:
            self._queue.remove(entry)
            self._count(entry.taken - len(entry.rows))

    def _count(self, change: int) -> None:
        self._rows += change
        self._observer.queue_changed(self._rows)

    def _seconds_to_drain(self) -> int:
        """Whole seconds, at least 1: what `Retry-After` asks for."""
        return max(1, min(60, math.ceil(self._rows / max(self._rows_per_second, 1.0))))


def _too_late() -> DeadlinePassed:
    return DeadlinePassed(
        "The scores were not there by the request's deadline, and it was dropped; try again later, send fewer "
        "instances at once, or wait longer (HARMGAUGE_DEADLINE_SECONDS and the request's own deadline)."
    )
