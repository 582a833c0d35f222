"""Greedy batching: waiting rows run as soon as a worker is free.

There is no timer: an idle service answers at once, and a busy one fills its batches by itself. For each worker one
batch runs and one is next in line, which accepts new rows until its turn. Holders take turns (`fair_queue.py`).

The event loop owns the queue; worker threads only run the graph. While a single client sends small requests one after
the other, the loop runs them itself. Rows are counted, not requests.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Hashable

from harmgauge.bundle.named_rows import AnyRows, NamedRows
from harmgauge.errors import CallerLeft, DeadlinePassed, InferenceFailed, Overloaded, TooLarge, no_memory
from harmgauge.inference.batch import Batch, Entry, Observer, Piece
from harmgauge.inference.caller import PATIENT, RequestContext
from harmgauge.inference.deadlines import TOO_LATE, Deadlines
from harmgauge.inference.fair_queue import FairQueue
from harmgauge.inference.length_groups import row_weight
from harmgauge.inference.outputs import Outputs, Runtime, copy_rows, empty_like
from harmgauge.inference.workers import Workers

AT_ONCE_SECONDS, ALONE_SECONDS = 0.004, 0.1
"""The event loop runs rows itself if that is expected to take at most AT_ONCE_SECONDS, because other connections wait
meanwhile, and if no other has sent any for ALONE_SECONDS.
"""


class Batcher:
    """Accepts rows from any number of requests, and answers each with its own outputs.

    Create it on any thread; use and close it on `loop`, by default the running one.
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
        self._queue = FairQueue()
        self._again: deque[Batch] = deque()  # pieces of a failed batch, each to be run separately
        self._in_line: list[Batch] = []  # batches that accept rows, or did at the last check
        self.rows = 0
        """Rows accepted and not yet scored: in the queue, in line, or running."""
        self._rows_per_second = 0.0
        self._next_look = 0.0
        self._handed_out = 0  # batches that are running, or next in line for a worker
        self._most_handed_out = 2 * workers
        self.workers = workers
        self._last_connection: Hashable = None  # that of the last request, and of all since `_alone_since`
        self._alone_since = 0.0
        self.failed = False
        """Whether the last run of the graph failed."""
        self._deadlines = Deadlines(self._loop, self._expire)
        self._workers = Workers(runtime, workers, self._loop, self._finished)

    def submit(self, rows: AnyRows, context: RequestContext = PATIENT) -> Entry:
        """Queue `rows`, n >= 1; their outputs, in order, become the result of the entry's `answered`.

        Raises TooLarge or Overloaded without queueing. `answered` raises DeadlinePassed or CallerLeft if the client no
        longer waits, InferenceFailed if the graph failed on these rows. A caller that stops waiting must `withdraw` the
        entry.
        """
        count = len(rows)
        if count > self._max_queue_rows:
            raise TooLarge(f"The request has {count} instances; expected at most {self._max_queue_rows}: split it.")
        if self.rows + count > self._max_queue_rows:
            self._make_room(count, context.holder)
        if self.rows + count > self._max_queue_rows:
            raise self._overloaded()
        entry = Entry(rows, context, self._loop.create_future(), time.perf_counter())
        if isinstance(rows, NamedRows):
            entry.weight = row_weight(rows, self._max_batch_rows)
        if context.progress is not None:
            context.progress.waits(count, entry.since)
        if context.connection is not None and context.connection != self._last_connection:
            self._last_connection, self._alone_since = context.connection, entry.since
        self.rows += count
        is_busy = self._queue.lines or self._again or self._handed_out == self._most_handed_out
        if is_busy or count * entry.weight > self._room():
            if count > 1 or self._handed_out < self._most_handed_out or not self._joins(entry):
                self._queue.append(entry)
                self._dispatch()
        else:  # the queue was empty
            entry.taken = count
            batch = Batch([Piece(entry, 0, count)])
            if not self._handed_out and self._runs_at_once(entry):
                self._handed_out += 1
                batch.run(self._runtime)
                self._finished(batch)
                return entry
            self._begin(batch)
        self._deadlines.add(entry)
        entry.has_waited = True
        return entry

    def withdraw(self, entry: Entry) -> None:
        """Remove an entry that is no longer needed: its remaining rows leave the queue."""
        entry.answered.cancel()
        self._forget(entry)

    def lost_workers(self, timeout_seconds: float) -> int:
        """Number of workers that have ended, or have run one batch for longer than that: neither will recover."""
        return self._workers.lost(timeout_seconds)

    def close(self) -> None:
        """End the threads once their running batches are done; rows that are still waiting are not run."""
        self._deadlines.close()
        self._workers.close()

    def _dispatch(self) -> None:
        # One batch for each worker and as many in line, so that a worker never waits for the event loop between
        # batches.
        while (self._again or self._queue.lines) and self._handed_out < self._most_handed_out:
            if self._again:
                self._handed_out += 1
                self._workers.put(self._again.popleft())
            elif pieces := self._take(self._room()):
                self._begin(Batch(pieces))
        while self._queue.lines and (batch := self._emptiest()) is not None:
            for piece in self._take(1):
                if not batch.add(piece):  # it has started just now
                    self._queue.put_back(piece)

    def _begin(self, batch: Batch) -> None:
        self._in_line.append(batch)
        self._handed_out += 1
        self._workers.put(batch)

    def _runs_at_once(self, entry: Entry) -> bool:
        """Whether the event loop itself runs these rows: waking a worker costs more than a small request."""
        if entry.context.connection is None or not self._runtime.is_steady:  # None: the service itself
            return False
        seconds = len(entry.rows) * entry.weight * self.workers / max(self._rows_per_second, 1e-9)
        return seconds <= AT_ONCE_SECONDS and entry.since - self._alone_since >= ALONE_SECONDS

    def _emptiest(self) -> Batch | None:
        """The batch in line with the most room, if any."""
        self._in_line = [batch for batch in self._in_line if batch.is_open]
        emptiest, least = None, self._room()
        for batch in self._in_line:
            if batch.load < least:
                emptiest, least = batch, batch.load
        return emptiest

    def _joins(self, entry: Entry) -> bool:
        """Add a single row to a batch in line, where the queue would put it; false if there is a queue, or no room."""
        if self._queue.lines or self._again or (batch := self._emptiest()) is None:
            return False
        entry.taken = 1
        if not batch.add(Piece(entry, 0, 1)):  # it has started just now
            entry.taken = 0
        return entry.taken == 1

    def _room(self) -> int:
        """Rows for one batch: an equal share for each batch that runs or is in line.

        If the first batch took all of them, the clients would send in lockstep, and workers would idle while answers
        are sent.
        """
        return min(self._max_batch_rows, math.ceil(self.rows / self._most_handed_out))

    def _take(self, room: int) -> list[Piece]:
        """Take waiting rows out of the queue, at most `room`: one at least, however much it weighs."""
        pieces: list[Piece] = []
        while self._queue.lines and room > 0:
            entry = self._queue.first()
            if entry.has_waited and self._dropped(entry):
                continue
            if pieces and entry.weight > room:
                break
            piece = self._queue.take(max(1, room // entry.weight))
            pieces.append(piece)
            room -= (piece.stop - piece.start) * entry.weight
        return pieces

    def _finished(self, batch: Batch) -> None:
        self._handed_out -= 1
        if batch in self._in_line:  # otherwise it would keep its requests' rows and answers until a queue forms
            self._in_line.remove(batch)
        self.rows -= batch.rows
        if not batch.pieces:
            self._dispatch()
            return
        rows, waits = 0, []
        for piece in batch.pieces:
            rows += piece.stop - piece.start
            if piece.start == 0:
                waits.append(batch.began - piece.entry.since)
        for piece in batch.pieces:
            if piece.entry.context.progress is not None:
                piece.entry.context.progress.ran(batch.began, batch.seconds, rows)
        self.failed = not isinstance(batch.result, Outputs)
        if isinstance(batch.result, Outputs):
            self._hand_out(batch.pieces, batch.result)
            rate = rows / max(batch.seconds, 1e-6) * self.workers
            self._rows_per_second += 0.1 * (rate - self._rows_per_second)
        elif len(batch.pieces) > 1:  # one of the requests is bad: the others must not suffer
            for piece in batch.pieces:
                if not piece.entry.answered.done():
                    self._again.append(Batch([piece], is_open=False))
                    self.rows += piece.stop - piece.start
        else:
            failure = InferenceFailed(
                "The graph failed on this input; the service's log has the reason, under this request's id."
            )
            failure.__cause__ = batch.result
            self._drop(batch.pieces[0].entry, failure)
        self._observer.batch_finished(rows, waits, batch.seconds)
        if self._queue.lines or self._again:
            self._dispatch()

    def _hand_out(self, pieces: list[Piece], outputs: Outputs) -> None:
        begin = 0
        for piece in pieces:
            entry, end = piece.entry, begin + piece.stop - piece.start
            if piece.start == 0 and piece.stop == len(entry.rows):  # the whole request
                entry.outputs = outputs if len(pieces) == 1 else outputs.part(begin, end)
            elif not entry.answered.done():
                try:
                    if entry.outputs is None:
                        entry.outputs = empty_like(outputs, len(entry.rows))
                except MemoryError:  # the other requests of this batch still get theirs
                    self._drop(entry, no_memory())
                else:
                    copy_rows(outputs, begin, end, entry.outputs, piece.start)
            entry.finished += end - begin
            begin = end
            if entry.finished == len(entry.rows) and not entry.answered.done():
                assert entry.outputs is not None
                entry.answered.set_result(entry.outputs)
                self._stop_timer(entry)

    def _dropped(self, entry: Entry) -> bool:
        """Whether the entry is no longer needed; it has then left the queue."""
        if entry.context.left():
            self._drop(entry, CallerLeft())
        elif entry.context.deadline <= self._loop.time():
            self._expire(entry)
        elif entry.answered.done():  # cancelled just now: its task runs only in the loop's next round
            self._forget(entry)
        return entry.answered.done()

    def _make_room(self, count: int, holder: Hashable) -> None:
        """Drop the entries of clients that left, then the newest of the holder with most rows, while that is more than
        `holder` would have.
        """
        if self._loop.time() >= self._next_look:  # checking every entry is not free
            self._next_look = self._loop.time() + 0.1
            for entry in list(self._queue):
                self._dropped(entry)
        while self.rows + count > self._max_queue_rows:
            newest = self._queue.newest_of_most(holder, count)
            if newest is None:
                return
            self._drop(newest, self._overloaded())

    def _expire(self, entry: Entry) -> None:
        self._drop(entry, DeadlinePassed(TOO_LATE))

    def _drop(self, entry: Entry, why: Exception) -> None:
        if not entry.answered.done():
            entry.answered.set_exception(why)
        self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        """Drop the waiting rows of a request that is no longer needed."""
        self._stop_timer(entry)
        if entry.waiting_rows and self._queue.remove(entry):
            self.rows -= entry.waiting_rows

    def _stop_timer(self, entry: Entry) -> None:
        if entry.timer is None:
            self._deadlines.pop(entry, None)
        else:
            entry.timer.cancel()
            entry.timer = None  # after firing it would form a reference cycle with the entry

    def _overloaded(self) -> Overloaded:
        seconds_to_drain = max(1, min(60, math.ceil(self.rows / max(self._rows_per_second, 1.0))))
        return Overloaded(
            f"{self.rows} rows are waiting; the limit is {self._max_queue_rows}: try again later.",
            retry_after_seconds=seconds_to_drain,
        )
