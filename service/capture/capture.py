"""Flagged inputs on their way to files: the event loop hands over references, a thread does everything else.

What waits is bounded in bytes. Whatever goes wrong here is counted and told to the log, and no request hears of it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from service.capture import flagged
from service.capture.flagged import Flagged, Source
from service.capture.metrics import CaptureMetrics
from service.capture.places import Place, file_name
from service.capture.table import to_batch, to_parquet
from service.inference.bundle import InputSpec
from service.inference.caller import Caller, Origin
from service.inference.detector import Scored
from service.inference.outputs import Rows

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.1
"""Between two looks at what came. Each takes Python's lock for a moment, so that there must not be many."""

CHUNK_REQUESTS = 64
"""Made into columns at once, some 0.5 ms; in between the event loop gets Python's lock."""

TIDY_SECONDS = 30.0
RETRY_SECONDS = (1.0, 30.0)
"""After a write that failed; twice as long each time, up to the second."""

LOG_SECONDS = 60.0


@dataclass(frozen=True)
class Limits:
    """`ratio` of the flagged rows are kept; a file is due at `file_bytes`, or `file_seconds` after its first row; no
    more than `queue_bytes` wait.
    """

    ratio: float
    file_bytes: int
    file_seconds: float
    queue_bytes: int


@dataclass(frozen=True)
class _Part:
    """Rows that were made into columns, and the memory that they were counted with."""

    batch: pa.RecordBatch
    held_bytes: int
    first_time: float


class Capture:
    """`put` and `close` are for the event loop; all bundles that the process serves in turn have the input `spec`."""

    def __init__(self, place: Place, name: str, spec: InputSpec, limits: Limits, metrics: CaptureMetrics) -> None:
        self._place = place
        self._name = name
        self._spec = spec
        self._limits = limits
        self._metrics = metrics
        self._random = np.random.default_rng()
        self._token = secrets.token_hex(4)
        self._files = 0
        self._came: deque[Flagged] = deque()
        self._parts: deque[_Part] = deque()
        # Each is written by one thread only: what is held is their difference, without a lock.
        self._put_bytes = self._done_bytes = 0
        self._put_rows = self._done_rows = 0
        self._failed_writes = 0  # in a row
        self._next_try = self._next_tidy = 0.0
        self._next_log: dict[str, float] = {}
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="capture", daemon=True)
        metrics.queue_bytes.set_function(lambda: self._put_bytes - self._done_bytes)

    def start(self) -> None:
        """Begin to write. First makes a table of nothing much: what Arrow loads for it must not be loaded later on."""
        blank = np.zeros((1, *self._spec.shape), self._spec.numpy_dtype)
        one = np.zeros(1, np.int64)
        source = Source("", "", "", "", 0.0, ("",))
        nothing = Flagged(source, Origin(), 0.0, one, one.astype(np.float32), one, blank, is_all=True)
        to_parquet([to_batch([nothing], self._spec)], self._spec)
        self._thread.start()

    def put(self, source: Source, rows: Rows, scored: Scored, caller: Caller) -> None:
        """Keep the flagged ones among a request's rows (n, *shape), as many of them as are drawn; never raises."""
        index = np.flatnonzero(scored.is_adversarial)
        if self._limits.ratio < 1 and len(index):
            index = index[self._random.random(len(index)) < self._limits.ratio]
        if not len(index):
            return
        try:
            kept = flagged.take(source, caller.origin, rows, scored, index)
        except MemoryError:
            self._drop("failed", len(index))
            return
        if self._put_bytes - self._done_bytes + kept.held_bytes > self._limits.queue_bytes:
            self._drop("unwritable" if self._failed_writes else "queue_full", len(index))
            return
        self._put_bytes += kept.held_bytes
        self._put_rows += len(index)
        self._came.append(kept)
        if not self._wake.is_set():
            self._wake.set()

    async def close(self, seconds: float) -> None:
        """Write all that waits; at most so long."""
        self._closing = True
        self._next_try = 0.0
        self._wake.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, seconds)
        if lost := self._put_rows - self._done_rows:
            self._metrics.dropped("shutdown", lost)
            log.warning("%d flagged inputs could not be written to %s before the end", lost, self._name)

    def _drop(self, reason: str, rows: int) -> None:
        self._metrics.dropped(reason, rows)
        self._seldom(logging.WARNING, "flagged inputs for %s are dropped: %s", self._name, reason)

    def _seldom(self, level: int, message: str, *arguments: object) -> None:
        """Log it, unless the same was logged within the last minute."""
        now = time.monotonic()
        if now >= self._next_log.get(message, 0.0):
            self._next_log[message] = now + LOG_SECONDS
            log.log(level, message, *arguments)

    def _work(self) -> None:
        while not (self._closing and not self._came and not self._parts):
            self._wake.wait(1.0)
            if not self._closing:
                time.sleep(GATHER_SECONDS)
            self._wake.clear()
            try:
                self._gather()
                while self._is_due() and self._write():
                    pass
                self._tidy()
            except Exception:
                log.exception("the capture stumbled, and goes on")
            if self._closing and self._parts:
                time.sleep(GATHER_SECONDS)
                self._wake.set()

    def _gather(self) -> None:
        """Make what came into columns, a little at a time."""
        while self._came:
            chunk = [self._came.popleft() for _ in range(min(CHUNK_REQUESTS, len(self._came)))]
            held_bytes = sum(kept.held_bytes for kept in chunk)
            try:
                batch = to_batch(chunk, self._spec)
            except Exception:
                log.exception("flagged inputs could not be made into a table")
                rows = sum(len(kept.positions) for kept in chunk)
                self._metrics.dropped("failed", rows)
                self._done(rows, held_bytes)
            else:
                self._parts.append(_Part(batch, held_bytes, chunk[0].time))
            del chunk
            time.sleep(0.001)

    def _is_due(self) -> bool:
        if not self._parts or time.monotonic() < self._next_try:
            return False
        waiting_bytes = sum(part.held_bytes for part in self._parts)
        age_seconds = time.time() - self._parts[0].first_time
        # A clock that was set back must not keep them for ever.
        is_old = not 0 <= age_seconds < self._limits.file_seconds
        return self._closing or is_old or waiting_bytes >= self._limits.file_bytes

    def _write(self) -> bool:
        """One file of the oldest parts; they stay where it could not be written, which gives False."""
        parts, held_bytes = list[_Part](), 0
        for part in self._parts:
            if parts and held_bytes + part.held_bytes > self._limits.file_bytes:
                break
            parts.append(part)
            held_bytes += part.held_bytes
        name = file_name(parts[0].first_time, self._token, self._files)
        try:
            self._place.write(name, to_parquet([part.batch for part in parts], self._spec))
        except Exception as error:  # a disk, a network, a store: whatever it is, it may be well again later
            self._put_off(error)
            return False
        if self._failed_writes:
            log.info("flagged inputs can be written to %s again", self._name)
        self._files += 1
        self._failed_writes, self._next_try = 0, 0.0
        rows = sum(part.batch.num_rows for part in parts)
        for _ in parts:
            self._parts.popleft()
        self._metrics.captured.inc(rows)
        self._done(rows, held_bytes)
        self._next_tidy = 0.0
        return True

    def _put_off(self, error: Exception) -> None:
        self._metrics.failures.inc()
        first, most = RETRY_SECONDS
        wait_seconds = min(most, first * 2 ** min(self._failed_writes, 10))
        self._failed_writes += 1
        self._next_try = time.monotonic() + wait_seconds
        self._seldom(logging.WARNING, "flagged inputs cannot be written to %s (%s): trying on", self._name, error)

    def _done(self, rows: int, held_bytes: int) -> None:
        self._done_rows += rows
        self._done_bytes += held_bytes

    def _tidy(self) -> None:
        if time.monotonic() < self._next_tidy:
            return
        self._next_tidy = time.monotonic() + TIDY_SECONDS
        try:
            self._place.tidy()
        except OSError as error:
            self._seldom(logging.WARNING, "%s, where flagged inputs go, cannot be tidied: %s", self._name, error)
