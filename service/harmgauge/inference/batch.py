"""Rows of several requests that run through the graph together."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from harmgauge.bundle.named_rows import AnyRows, join
from harmgauge.inference.caller import RequestContext
from harmgauge.inference.outputs import Outputs, Runtime, check_shapes, complete


@dataclass(eq=False, slots=True)
class Entry:
    """One request's rows, and its answer while pieces of it arrive. `since` is its arrival time, by `perf_counter`.

    `taken` rows are in batches, `finished` ones are in `outputs`. Once it `has_waited`, its client may have left. Each
    row counts as `weight` rows in a batch.
    """

    rows: AnyRows
    context: RequestContext
    answered: asyncio.Future[Outputs]
    since: float
    outputs: Outputs | None = None
    taken: int = 0
    finished: int = 0
    has_waited: bool = False
    timer: asyncio.TimerHandle | None = None
    """For its deadline, if it does not share that of others."""
    weight: int = 1

    @property
    def waiting_rows(self) -> int:
        return len(self.rows) - self.taken


@dataclass(eq=False, slots=True)  # one for each request: creating a frozen one takes three times as long
class Piece:
    """Rows `start` to `stop` of one entry."""

    entry: Entry
    start: int
    stop: int

    @property
    def rows(self) -> AnyRows:
        """The rows; all of an entry's without a copy of its views."""
        whole = self.entry.rows
        return whole if self.stop - self.start == len(whole) else whole[self.start : self.stop]


class Observer(Protocol):
    """Counts the batcher's work, on the event loop."""

    def batch_finished(self, rows: int, queue_seconds: list[float], inference_seconds: float) -> None: ...


class Batch:
    """A batch that stays open until a worker starts it, so that rows that arrive in the meantime need not wait for the
    next.

    `rows` counts all rows ever added, `load` by their weight; `pieces` are those still wanted when a worker started.
    `began` and `seconds` (by `perf_counter`) and `result` are set once it has run.
    """

    def __init__(self, pieces: list[Piece], *, is_open: bool = True) -> None:
        self.pieces = pieces
        self.rows = self.load = 0
        for piece in pieces:
            rows = piece.stop - piece.start
            self.rows += rows
            self.load += rows * piece.entry.weight
        self.result: Outputs | BaseException | None = None
        self.began = 0.0
        self.seconds = 0.0
        self.is_open = is_open
        """Whether rows can be added."""
        self._lock = threading.Lock()

    def add(self, piece: Piece) -> bool:
        """Called on the event loop. False if the batch has already started."""
        with self._lock:
            if self.is_open:
                self.pieces.append(piece)
                rows = piece.stop - piece.start
                self.rows += rows
                self.load += rows * piece.entry.weight
            return self.is_open

    def run(self, runtime: Runtime) -> None:
        """Run on a worker thread. An exception becomes the result: it must reach the requests, not end the thread."""
        with self._lock:
            self.is_open = False
        # Entries that have been answered meanwhile (too late, or cancelled) need no inference.
        self.pieces = [piece for piece in self.pieces if not piece.entry.answered.done()]
        self.began = time.perf_counter()
        if not self.pieces:
            return
        try:
            parts = [piece.rows for piece in self.pieces]
            rows = parts[0] if len(parts) == 1 else join(parts)
            outputs = runtime.run(rows)
            check_shapes(outputs, len(rows), runtime.shapes)
            complete(outputs)
            self.result = outputs
        except BaseException as error:  # even SystemExit: if the thread ended, its requests would hang
            self.result = error
        self.seconds = time.perf_counter() - self.began
